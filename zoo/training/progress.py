"""What training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on at ``step``."""

    step: int
    steps: int
    data: str
    parameters: int
    device: str


@dataclass(frozen=True)
class Stepped:
    """One update of the weights."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    images_per_second: float


@dataclass(frozen=True)
class Sampled:
    """A grid of samples was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Saved:
    """The model and the state to go on from were written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Finished:
    """The last update is done."""

    step: int
    path: Path


Event = Started | Stepped | Sampled | Saved | Finished
