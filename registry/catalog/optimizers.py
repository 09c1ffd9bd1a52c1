"""The optimizers of the zoo."""

from registry.tables import optimizers

optimizers.lazy(
    "adafactor",
    "zoo.optimizers:adafactor",
    summary="A running square in row and column sums: hardly any memory.",
    paper="Shazeer & Stern 2018, arXiv 1804.04235",
)
optimizers.lazy(
    "adam",
    "zoo.optimizers:adam",
    summary="Adam.",
    paper="Kingma & Ba 2015, arXiv 1412.6980",
)
optimizers.lazy(
    "adamw",
    "zoo.optimizers:adamw",
    summary="Adam with decoupled weight decay.",
    paper="Loshchilov & Hutter 2019, arXiv 1711.05101",
)
optimizers.lazy(
    "sgd",
    "zoo.optimizers:sgd",
    summary="Gradient descent with momentum.",
    paper="Sutskever et al. 2013, On the importance of initialization and momentum in deep learning",
)
