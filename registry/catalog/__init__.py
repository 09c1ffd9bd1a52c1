"""Table of contents: every built-in component by strings only, so that listing imports nothing.

A module for each kind, its entries sorted by name. `facts` repeats what the class itself says, for lists that must not
import it; a test compares the two.
"""

from registry.catalog import (
    classifiers,
    conditioners,
    data,
    denoisers,
    f0,
    features,
    guidances,
    importers,
    mels,
    objectives,
    optimizers,
    parameterizations,
    samplers,
    scalings,
    schedules,
    spacings,
    units,
    vocoders,
)

__all__ = [
    "classifiers",
    "conditioners",
    "data",
    "denoisers",
    "f0",
    "features",
    "guidances",
    "importers",
    "mels",
    "objectives",
    "optimizers",
    "parameterizations",
    "samplers",
    "scalings",
    "schedules",
    "spacings",
    "units",
    "vocoders",
]
