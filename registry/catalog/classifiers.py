"""The classifiers of the zoo."""

from registry.tables import classifiers

classifiers.lazy(
    "adm-classifier",
    "zoo.classifiers.adm:ADMClassifier",
    summary="The way down of the ADM UNet and a pool, for noisy images.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
    facts={"data": "images"},
)
