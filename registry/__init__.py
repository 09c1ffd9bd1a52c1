"""Names of everything that can be swapped: the kinds of components, and what is registered under each."""

from registry import catalog as catalog
from registry.entry import Entry
from registry.errors import ArgumentError, NameTaken, Problem, RegistryError, UnknownName, suggest
from registry.plugins import Broken
from registry.registry import Registry
from registry.tables import (
    broken,
    classifiers,
    conditioners,
    data,
    denoisers,
    f0,
    features,
    guidances,
    importers,
    kinds,
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
    "ArgumentError",
    "Broken",
    "Entry",
    "NameTaken",
    "Problem",
    "Registry",
    "RegistryError",
    "UnknownName",
    "broken",
    "classifiers",
    "conditioners",
    "data",
    "denoisers",
    "f0",
    "features",
    "guidances",
    "importers",
    "kinds",
    "mels",
    "objectives",
    "optimizers",
    "parameterizations",
    "samplers",
    "scalings",
    "schedules",
    "spacings",
    "suggest",
    "units",
    "vocoders",
]
