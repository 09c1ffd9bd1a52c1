"""The feature extractors of the zoo."""

from registry.tables import features

features.lazy(
    "classifier",
    "zoo.metrics.classifier:Classifier",
    summary="The last features of a small CNN, trained on the real examples.",
    facts={"needs": "labels"},
)
features.lazy(
    "inception",
    "zoo.metrics.inception:Inception",
    summary="The Inception features of FID, by torch-fidelity, with its weights at hand.",
    paper="Heusel et al. 2017, GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
    extra="fid",
    facts={"needs": "weights"},
)
features.lazy(
    "pixels",
    "zoo.metrics.pixels:Pixels",
    summary="The pixels themselves, brought down to a small size.",
    facts={"needs": "nothing"},
)
features.lazy(
    "timm",
    "zoo.metrics.timm_network:Timm",
    summary="The pooled features of any of timm's networks.",
    facts={"needs": "weights"},
)
