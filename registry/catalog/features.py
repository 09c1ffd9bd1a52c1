"""The feature extractors of the zoo."""

from registry.tables import features

features.lazy(
    "classifier",
    "zoo.metrics.classifier:Classifier",
    summary="The last features of a small CNN, trained on the real examples.",
    facts={"needs": "labels"},
)
