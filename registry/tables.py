"""The kinds of components, one registry each."""

from __future__ import annotations

from typing import Any

from registry.plugins import Broken
from registry.registry import Registry

kinds: dict[str, Registry[Any]] = {}
"""The registries by the plural name of their kind."""


def _kind(plural: str, singular: str) -> Registry[Any]:
    kinds[plural] = Registry(singular, group=f"zoo.{plural}")
    return kinds[plural]


denoisers = _kind("denoisers", "denoiser")
samplers = _kind("samplers", "sampler")
schedules = _kind("schedules", "schedule")
parameterizations = _kind("parameterizations", "parameterization")
spacings = _kind("spacings", "spacing")
guidances = _kind("guidances", "guidance")
objectives = _kind("objectives", "objective")
scalings = _kind("scalings", "scaling")
importers = _kind("importers", "importer")
data = _kind("data", "dataset")
conditioners = _kind("conditioners", "conditioner")
optimizers = _kind("optimizers", "optimizer")
features = _kind("features", "feature extractor")
classifiers = _kind("classifiers", "classifier")
mels = _kind("mels", "mel")
f0 = _kind("f0", "f0 method")
units = _kind("units", "unit encoder")
vocoders = _kind("vocoders", "vocoder")


def broken() -> list[Broken]:
    """The plug-ins of every kind that cannot be used, as far as is known."""
    return [row for registry in kinds.values() for row in registry.broken]
