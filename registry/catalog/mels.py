"""The mel analyses of the zoo."""

from registry.tables import mels

mels.lazy(
    "hifigan",
    "zoo.voice.mel:HifiGanMel",
    summary="Natural logarithm, reflected edges, 22.05 kHz and 80 bins: HiFi-GAN.",
    paper="Kong et al. 2020, HiFi-GAN, arXiv 2010.05646",
    facts={"log": "ln"},
)
mels.lazy(
    "nsf-hifigan",
    "zoo.voice.mel:NsfHifiGanMel",
    summary="Decimal logarithm, reflected edges, 44.1 kHz and 128 bins: diff-svc.",
    facts={"log": "log10"},
)
mels.lazy(
    "openvpi",
    "zoo.voice.mel:OpenvpiMel",
    summary="Natural logarithm, 44.1 kHz and 128 bins, with shifted keys: DiffSinger, DDSP-SVC.",
    facts={"log": "ln"},
)
mels.lazy(
    "pwg",
    "zoo.voice.mel:PwgMel",
    summary="Decimal logarithm, silent edges, 24 kHz and 80 bins: diff-svc and the first DiffSinger.",
    facts={"log": "log10"},
)
