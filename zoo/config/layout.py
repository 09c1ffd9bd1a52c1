"""The shape of a config: which keys there are at the top, and where components stand."""

from __future__ import annotations

from typing import Any, Literal

from zoo.config.marks import Path

COMPONENTS: dict[Path, str] = {
    ("denoiser",): "denoisers",
    ("classifier",): "classifiers",
    ("schedule",): "schedules",
    ("parameterization",): "parameterizations",
    ("scaling",): "scalings",
    ("conditioner",): "conditioners",
    ("sampler",): "samplers",
    ("sampling", "spacing"): "spacings",
    ("sampling", "guidance"): "guidances",
    ("data",): "data",
    ("training", "objective"): "objectives",
    ("training", "optimizer"): "optimizers",
    ("voice", "mel"): "mels",
    ("voice", "f0"): "f0",
    ("voice", "units"): "units",
    ("voice", "vocoder"): "vocoders",
}
"""Where components stand, each with the plural name of its kind."""

OPTIONAL: frozenset[Path] = frozenset({("conditioner",), ("data",), ("sampling", "guidance")})
"""The components that may be null, which is the same as absent."""

LISTS: frozenset[Path] = frozenset({("sampling", "guidance")})
"""The components that may be a list, applied in order."""

CONTEXT: dict[Path, frozenset[str]] = {
    ("denoiser",): frozenset({"schedule", "parameterization", "shape"}),
    ("data",): frozenset({"shape", "voice"}),
    ("training", "objective"): frozenset({"parameterization"}),
    ("training", "optimizer"): frozenset({"parameters", "learning_rate"}),
    ("voice", "vocoder"): frozenset({"mel"}),
}
"""The parameters that the zoo supplies when it builds a component, so that a config may not set them."""

KEYS: dict[str, Any] = {
    "inherits": str | list[str],
    "summary": str,
    "paper": str,
    "license": str,
    "shape": list[int | None],
    "denoiser": None,
    "classifier": None,
    "schedule": None,
    "parameterization": None,
    "scaling": None,
    "conditioner": None,
    "sampler": None,
    "sampling": dict[str, Any],
    "data": None,
    "training": dict[str, Any],
    "voice": dict[str, Any],
    "notes": dict[str, str],
}
"""The keys at the top in their usual order, with the types of those that are not components."""

OF_A_CLASSIFIER: tuple[str, ...] = ("inherits", "summary", "paper", "license", "shape", "classifier", "notes")
"""The keys at the top of a classifier's config, which is no model: it guides one."""

SAMPLING: dict[str, Any] = {
    "steps": int,
    "spacing": None,
    "guidance": None,
    "clip": bool | float | tuple[float, float] | dict[str, Any] | None,
    "precision": Literal["float32", "bf16", "auto"],
    "compile": Literal["off", "step", "graph"],
}
"""The keys of `sampling`, likewise; the last two may be left out."""

VOICE: tuple[str, ...] = ("mel", "f0", "units", "vocoder")
"""The keys of `voice`: what a model of voices is made from and heard by."""

DEFAULTS: dict[str, Any] = {
    "schedule": {"name": "linear"},
    "parameterization": {"name": "eps"},
    "scaling": {"name": "identity"},
    "sampler": {"name": "ddim"},
    "sampling": {"steps": 50, "spacing": {"name": "trailing"}, "guidance": None, "clip": None},
}
"""What the config of a model need not say; that of a classifier has none of it."""


def named(path: Path, value: Any) -> Any:
    """The value at `path` with each component that is a bare string written as `{name: string}`."""
    if path in COMPONENTS:
        if isinstance(value, str):
            return {"name": value}
        if path in LISTS and isinstance(value, list):
            return [{"name": item} if isinstance(item, str) else item for item in value]
    if isinstance(value, dict) and len(path) < 2:
        return {key: named((*path, key), item) for key, item in value.items()}
    return value
