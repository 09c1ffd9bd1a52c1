"""What training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on at ``step``.

    Attributes:
        parameters: all of them.
        trained: those that are not frozen.
        left: what did not fit of the weights that the run begins with, a line each.
        remarks: what does not stop the run and may not be meant, a line each.
    """

    step: int
    steps: int
    data: str
    parameters: int
    trained: int
    device: str
    left: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """One update of the weights.

    Attributes:
        peak_bytes: the most memory so far: of the process, or of the device where that has its own.
        seconds_left: until the last update at the mean speed so far, samples and checkpoints included.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    examples_per_second: float
    peak_bytes: int
    seconds_left: float


@dataclass(frozen=True)
class Sampled:
    """A grid of samples was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class Saved:
    """The model and the state to go on from were written.

    Attributes:
        loss: of the update; None after Ctrl-C.
    """

    step: int
    path: Path
    loss: float | None = None


@dataclass(frozen=True)
class Finished:
    """The last update is done."""

    step: int
    path: Path


Event = Started | Stepped | Sampled | Saved | Finished
