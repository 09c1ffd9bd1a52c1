"""The data sets of the zoo."""

from registry.tables import data

data.lazy(
    "digits",
    "zoo.data.digits:digits",
    summary="scikit-learn's 1,797 handwritten digits, 8 x 8.",
    facts={"classes": 10},
)
data.lazy(
    "images",
    "zoo.data.images:Images",
    summary="Any folder of pictures, cut and resized to the model's shape.",
    facts={"classes": "by folder"},
)
data.lazy(
    "mnist",
    "zoo.data.mnist:mnist",
    summary="28 x 28 handwritten digits, padded to the model's shape.",
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    facts={"classes": 10},
)
data.lazy(
    "voice",
    "zoo.voice.data:Recordings",
    summary="A folder that `zoo voice prepare` made, in pieces of so many frames.",
    extra="voice",
    facts={"classes": "by folder"},
)
