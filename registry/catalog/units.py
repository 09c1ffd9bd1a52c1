"""The unit encoders of the zoo."""

from registry.tables import units

units.lazy(
    "contentvec",
    "zoo.voice.units.hubert:ContentVec",
    summary="ContentVec: HuBERT that was taught to forget the speaker; of so-vits-svc and DDSP-SVC.",
    paper="Qian et al. 2022, ContentVec, arXiv 2204.09224",
    facts={"channels": "256 or 768", "rate": 50},
)
units.lazy(
    "hubert",
    "zoo.voice.units.hubert:Hubert",
    summary="HuBERT, base or large, of any language: files of Hugging Face, fairseq and torchaudio.",
    paper="Hsu et al. 2021, HuBERT, arXiv 2106.07447",
    facts={"channels": "768 or 1024", "rate": 50},
)
units.lazy(
    "hubert-soft",
    "zoo.voice.units.hubert:HubertSoft",
    summary="HuBERT-Soft: soft labels of 100 clusters, the units of diff-svc.",
    paper="van Niekerk et al. 2022, A comparison of discrete and soft speech units, arXiv 2111.02392",
    facts={"channels": 256, "rate": 50},
)
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
