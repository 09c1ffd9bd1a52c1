"""The optimizers of the zoo."""

from registry.tables import optimizers

optimizers.lazy(
    "adamw",
    "zoo.optimizers:adamw",
    summary="Adam with decoupled weight decay.",
    paper="Loshchilov & Hutter 2019, arXiv 1711.05101",
)
