"""The unit encoders of the zoo."""

from registry.tables import units

units.lazy(
    "mfcc",
    "zoo.voice.units.mfcc:MFCC",
    summary="Mel cepstra and their changes; needs no weights.",
    paper="Davis & Mermelstein 1980, Comparison of parametric representations for word recognition",
    facts={"channels": 40, "rate": 50},
)
units.lazy(
    "whisper",
    "zoo.voice.units.whisper:Whisper",
    summary="The encoder of Whisper: trained to write down what is said.",
    paper="Radford et al. 2022, arXiv 2212.04356",
    extra="voice",
    facts={"channels": 384, "rate": 50},
)
