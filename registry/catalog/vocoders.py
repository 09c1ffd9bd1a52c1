"""The vocoders of the zoo."""

from registry.tables import vocoders

vocoders.lazy(
    "griffin-lim",
    "zoo.voice.vocoders.griffin_lim:GriffinLim",
    summary="Phases that fit the mel, found by iteration; needs no weights.",
    paper="Griffin & Lim 1984; Perraudin et al. 2013, a fast Griffin-Lim algorithm",
    facts={"weights": False, "f0": "optional"},
)
vocoders.lazy(
    "hifigan",
    "zoo.voice.vocoders.hifigan:HifiGan",
    summary="HiFi-GAN from published files.",
    paper="Kong et al. 2020, HiFi-GAN, arXiv 2010.05646",
    facts={"weights": True, "f0": "unused"},
)
vocoders.lazy(
    "nsf-hifigan",
    "zoo.voice.vocoders.hifigan:NsfHifiGan",
    summary="HiFi-GAN with sines that follow the pitch: diff-svc, OpenVPI, DDSP-SVC.",
    paper="Wang et al. 2019, neural source-filter, arXiv 1904.12088",
    facts={"weights": True, "f0": "needed"},
)
vocoders.lazy(
    "world",
    "zoo.voice.vocoders.world:World",
    summary="Pulses of the pitch and noise through the mel's envelope; needs no weights.",
    paper="Morise et al. 2016, WORLD, IEICE Transactions E99-D",
    extra="voice",
    facts={"weights": False, "f0": "needed"},
)
