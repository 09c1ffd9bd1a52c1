"""The pitch methods of the zoo."""

from registry.tables import f0

f0.lazy(
    "crepe",
    "zoo.voice.f0.crepe:Crepe",
    summary="A network on the waveform, by the rules of diff-svc; slow.",
    paper="Kim et al. 2018, CREPE, arXiv 1802.06182",
    extra="voice",
)
f0.lazy(
    "dio",
    "zoo.voice.f0.world:Dio",
    summary="Zero crossings in bands, refined by StoneMask: the fastest.",
    paper="Morise et al. 2009, Fast and reliable F0 estimation method based on the period extraction",
    extra="voice",
)
f0.lazy(
    "fcpe",
    "zoo.voice.f0.fcpe:Fcpe",
    summary="A small conformer whose package carries its weights: fast and robust.",
    paper="Luo et al. 2025, FCPE, arXiv 2509.15140",
    extra="voice",
)
f0.lazy(
    "harvest",
    "zoo.voice.f0.world:Harvest",
    summary="Zero crossings in many bands, joined to contours: few gaps.",
    paper="Morise 2017, Harvest: a high-performance fundamental frequency estimator from speech signals",
    extra="voice",
)
f0.lazy(
    "parselmouth",
    "zoo.voice.f0.praat:Parselmouth",
    summary="Praat's autocorrelation, with the edges of diff-svc or of openvpi.",
    paper="Boersma 1993, Accurate short-term analysis of the fundamental frequency",
    extra="voice",
)
f0.lazy(
    "rmvpe",
    "zoo.voice.f0.rmvpe:Rmvpe",
    summary="A deep U-Net for voices among instruments, from a file of weights.",
    paper="Wei et al. 2023, RMVPE, arXiv 2306.15412",
)
