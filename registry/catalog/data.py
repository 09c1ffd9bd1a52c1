"""The data sets of the zoo."""

from registry.tables import data

data.lazy(
    "digits",
    "zoo.data.digits:digits",
    summary="scikit-learn's 1,797 handwritten digits, 8 x 8.",
    facts={"classes": 10},
)
data.lazy(
    "hub",
    "zoo.data.hub:Hub",
    summary="Pictures of a Hugging Face `datasets` set, on the disk or fetched.",
    extra="datasets",
    facts={"classes": "by column"},
)
data.lazy(
    "images",
    "zoo.data.images:Images",
    summary="Any folder of pictures, cut and resized to the model's shape.",
    facts={"classes": "by folder"},
)
data.lazy(
    "latents",
    "zoo.data.latents:Latents",
    summary="Encoded pictures in .npy or .safetensors files, for latent models.",
    facts={"classes": "by file"},
)
data.lazy(
    "mnist",
    "zoo.data.mnist:mnist",
    summary="28 x 28 handwritten digits, padded to the model's shape.",
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    facts={"classes": 10},
)
data.lazy(
    "shards",
    "zoo.data.shards:Shards",
    summary="Pictures in tar files, as webdataset keeps them.",
    facts={"classes": "by member"},
)
data.lazy(
    "voice",
    "zoo.voice.data:Recordings",
    summary="A folder that `zoo voice prepare` made, in pieces of so many frames.",
    extra="voice",
    facts={"classes": "by folder"},
)
