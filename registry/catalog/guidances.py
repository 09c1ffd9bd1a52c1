"""The guidances of the zoo."""

from registry.tables import guidances

guidances.lazy(
    "autoguidance",
    "zoo.guidance.auto:AutoGuidance",
    summary="Away from a worse version of the same model.",
    paper="Karras et al. 2024, arXiv 2406.02507",
    facts={"needs": "a weaker model"},
)
guidances.lazy(
    "cfg",
    "zoo.guidance.cfg:CFG",
    summary="Classifier-free guidance, in one forward of the doubled batch or in two.",
    paper="Ho & Salimans 2022, arXiv 2207.12598",
    facts={"needs": "conditions"},
)
guidances.lazy(
    "cfg-pp",
    "zoo.guidance.cfg:CFGpp",
    summary="CFG++: the guided x_0 with the unconditional noise.",
    paper="Chung et al. 2024, arXiv 2406.08070",
    facts={"needs": "conditions"},
)
guidances.lazy(
    "classifier",
    "zoo.guidance.classifier:Classifier",
    summary="Uphill on the log-probability that a classifier gives the class.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
    facts={"needs": "a classifier"},
)
guidances.lazy(
    "clip",
    "zoo.guidance.bounds:Clip",
    summary="x_0 clamped to the range of the data.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)
guidances.lazy(
    "interval",
    "zoo.guidance.interval:Interval",
    summary="Another guidance within an interval of noise levels only.",
    paper="Kynkaanniemi et al. 2024, arXiv 2404.07724",
)
guidances.lazy(
    "threshold",
    "zoo.guidance.bounds:Threshold",
    summary="Dynamic thresholding of x_0 by a quantile.",
    paper="Saharia et al. 2022, arXiv 2205.11487",
)
