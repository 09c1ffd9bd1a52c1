"""Suites: what a benchmark compares, and how often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

IDENTITY = "identity"
"""The model that is no network: what it takes is the cost of the loop."""


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model to be measured.

    Args:
        config: a config's name or path, a file of weights, or ``identity`` for the loop without a network.
        pretrained: whether the weights that are shipped under the name are loaded.
        overrides: laid over the config.
        shape: of one sample, where the config leaves it open, and for ``identity``.
        label: what the tables call it; None takes the name.
    """

    config: str
    pretrained: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shape: Sequence[int] | None = None
    label: str | None = None

    @property
    def title(self) -> str:
        """What the tables call it."""
        return self.label or Path(self.config).stem


@dataclass(frozen=True, kw_only=True)
class SamplerChoice:
    """A sampler that is measured on a grid of its own.

    Args:
        sampler: its spec.
        spacing: its only one, whatever the suite's are; None for those of the suite.
    """

    sampler: Any
    spacing: Any = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The fine solution that errors are measured against.

    Args:
        sampler: a deterministic one.
        steps: number of its steps; the solution with half as many tells how far it can be trusted.
        spacing: of its times; None takes the model's.
    """

    sampler: Any = "unipc"
    steps: int = 1000
    spacing: Any = None

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 2)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How samples are compared with real data.

    Args:
        data: the real examples.
        features: what both are compared in.
        samples: how many of each cell.
        real: the most examples that are read.
    """

    data: Any
    features: Any = "classifier"
    samples: int = 1000
    real: int = 10_000

    def __post_init__(self) -> None:
        _at_least("samples", self.samples, 2)
        _at_least("real", self.real, 10)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How samples are compared with exact draws, for a model that knows its data: by sliced 2-Wasserstein distance.

    Args:
        samples: how many of each cell, and draws of the data.
        directions: how many lines both are projected to.
    """

    samples: int = 2000
    directions: int = 128

    def __post_init__(self) -> None:
        _at_least("samples", self.samples, 2)
        _at_least("directions", self.directions, 1)


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How each model is trained for a while, from fresh weights, on the same examples with the same noise.

    Args:
        data: the examples.
        steps: updates of the weights.
        batch: examples an update.
        learning_rate: of AdamW, constant after the warm-up; gradients are clipped at norm 1.
        warmup: updates in which it rises from zero.
        held_out: examples that are not trained on, whose loss is measured before and after.
    """

    data: Any
    steps: int = 200
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 20
    held_out: int = 512

    def __post_init__(self) -> None:
        for key in ("steps", "batch", "held_out"):
            _at_least(key, getattr(self, key), 1)
        _at_least("warmup", self.warmup, 0)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0 and finite, got {self.learning_rate:g}")


@dataclass(frozen=True, kw_only=True)
class Startup:
    """How long the first steps of a user take, each in a process of its own.

    Args:
        repeats: processes for each.
        budget: seconds that none should need.
    """

    repeats: int = 9
    budget: float = 0.3

    def __post_init__(self) -> None:
        _at_least("repeats", self.repeats, 1)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark: every model with every sampler, spacing and number of steps.

    Args:
        title: one line.
        models: what is sampled.
        samplers: specs, or ``{sampler: ..., spacing: ...}`` for one with a spacing of its own.
        steps: numbers of steps.
        nfe: instead, numbers of evaluations: each sampler takes as many steps as they pay for.
        spacings: specs; None for the model's own.
        n: samples of a cell that are compared with the reference.
        batch: samples that are walked, and timed, together.
        seed: of the start noise, which all cells share.
        labels: classes, dealt to the samples in turn; None for no condition.
        guidance: as ``zoo.sample`` takes it: None is the model's own, a number the scale of classifier-free
            guidance, [] none at all.
        precision: of the state and of networks without weights.
        threads: of torch.
        as_written: time the loop also without tables of weights.
        peers: loops of other libraries that are timed beside ours, on the state of the first model: "diffusers ddim".
        repeats: timed walks of a cell, after one that is not; 0 leaves times out.
        reference: None to leave errors out.
        quality: None to leave it out.
        draws: likewise; a suite has one of the two.
        learning: None to leave it out.
        startup: None to leave it out.
    """

    title: str = ""
    models: Sequence[ModelChoice] = ()
    samplers: Sequence[SamplerChoice] = ()
    steps: Sequence[int] = ()
    nfe: Sequence[int] = ()
    spacings: Sequence[Any] | None = None
    n: int = 64
    batch: int = 64
    seed: int = 0
    labels: Sequence[int] | None = None
    guidance: float | str | Mapping[str, Any] | Sequence[Any] | None = None
    precision: Literal["float32", "float64"] = "float32"
    threads: int = 1
    repeats: int = 5
    as_written: bool = False
    peers: Sequence[str] = ()
    reference: Reference | None = None
    quality: Quality | None = None
    draws: Draws | None = None
    learning: Learning | None = None
    startup: Startup | None = None

    def __post_init__(self) -> None:
        for key in ("n", "batch", "threads"):
            _at_least(key, getattr(self, key), 1)
        _at_least("repeats", self.repeats, 0)
        for key in ("steps", "nfe"):
            for count in getattr(self, key):
                _at_least(key, count, 1)
        if self.steps and self.nfe:
            raise ValueError("give steps or nfe, not both")
        if self.quality is not None and self.draws is not None:
            raise ValueError("give quality (real data) or draws (of a model that knows its data), not both")
        if self.labels is not None and not self.labels:
            raise ValueError("labels: expected at least one class, or null")


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{key} must be at least {least}, got {value}")
