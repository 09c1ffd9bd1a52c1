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
        conditions: by name, the safetensors file that holds a tensor of that name: (1 or more, ...), dealt to the
            samples in turn.
        label: what the tables call it; None takes the name.
    """

    config: str
    pretrained: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shape: Sequence[int] | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
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
class Fewer:
    """What every sampler is asked to come up to: the error of one walk, in as few evaluations as it can.

    Each sampler walks the way that this walk goes, from its start state at its first time to its last time, on every
    spacing of the suite, laid between those two times.

    Args:
        sampler: of the walk that sets the bar.
        spacing: its own; None takes the model's.
        steps: its own.
        most: evaluations after which a sampler has not made it.
    """

    sampler: Any
    steps: int
    spacing: Any = None
    most: int = 101

    def __post_init__(self) -> None:
        for key in ("steps", "most"):
            _at_least(key, getattr(self, key), 1)


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
    """How long the first steps of a user take and what memory they need, each in processes of its own.

    Args:
        repeats: processes for each.
        budgets: by what is done, seconds that it should not need, Python's own start included.
        large: a config that is built on the meta device, and whose fresh weights are written and loaded again, by the
            zoo and by others; None leaves that out.
        shipped: a config whose shipped weights are loaded, and sampled from once; None leaves that out.
    """

    repeats: int = 9
    budgets: Mapping[str, float] = field(default_factory=lambda: {"zoo list": 0.3})
    large: str | None = None
    shipped: str | None = None

    def __post_init__(self) -> None:
        _at_least("repeats", self.repeats, 1)
        for name, seconds in self.budgets.items():
            if name not in self.titles:
                raise ValueError(f"budgets: {name!r} is not done here; what is: {', '.join(self.titles)}")
            if not seconds > 0:
                raise ValueError(f"budgets: {name} must be positive, got {seconds:g}")

    @property
    def titles(self) -> list[str]:
        """What is done, in the order of the table; the first is what Python itself takes."""
        listed = ["python", "import zoo", "zoo list"]
        if self.large or self.shipped:
            listed.append("import torch")
        if self.large:
            listed += ["build on meta", "load", "load: torch.load", "load: diffusers"]
        if self.shipped:
            listed += ["load, shipped", "first picture"]
        return listed


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How the memory of sampling is measured, of each model with fresh weights and its own sampler.

    Args:
        batches: samples that are walked together; each has a process of its own.
        steps: of the walk; memory does not grow after the longest history.
        precisions: of the network's arithmetic.
        guided: whether classifier-free guidance doubles the batch; None for what the model's own does.
    """

    batches: Sequence[int] = (1, 8, 64)
    steps: int = 6
    precisions: Sequence[Literal["float32", "bf16"]] = ("float32",)
    guided: bool | None = None

    def __post_init__(self) -> None:
        for batch in self.batches:
            _at_least("batches", batch, 1)
        _at_least("steps", self.steps, 1)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Our run of a model beside another implementation's, with fresh weights that both share.

    Args:
        config: a config's name or path.
        peer: "textbook" for DiffNet as papers write it, "diffusers" for the exported folder there.
        steps: of the walk, which are its evaluations.
        sampler: of both sides.
        batch: samples that are walked together.
        overrides: laid over the config.
        shape: of one sample, where the config leaves it open.
        precision: of our network; the peer's is float32.
        compile: of our network.
        bar: the largest difference of the two results, relative to the largest value; beyond it nothing is timed.
        label: what the table calls it; None takes the name and the batch.
    """

    config: str
    peer: Literal["textbook", "diffusers"]
    steps: int = 50
    sampler: str = "ddim"
    batch: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shape: Sequence[int] | None = None
    precision: Literal["float32", "bf16", "auto"] = "float32"
    compile: Literal["off", "step", "graph"] = "off"
    bar: float = 1e-4
    label: str | None = None

    def __post_init__(self) -> None:
        for key in ("steps", "batch"):
            _at_least(key, getattr(self, key), 1)
        if not self.bar > 0:
            raise ValueError(f"bar must be positive, got {self.bar:g}")

    @property
    def title(self) -> str:
        """What the table calls it."""
        return self.label or f"{Path(self.config).stem} {self.sampler} {self.precision} x{self.batch}"


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
        fewer: None to leave it out; needs a reference, and neither steps nor nfe.
        quality: None to leave it out.
        draws: likewise; a suite has one of the two.
        learning: None to leave it out.
        pairs: runs beside other implementations on the same weights.
        startup: None to leave it out.
        memory: likewise.
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
    fewer: Fewer | None = None
    quality: Quality | None = None
    draws: Draws | None = None
    learning: Learning | None = None
    pairs: Sequence[Pair] = ()
    startup: Startup | None = None
    memory: Memory | None = None

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
