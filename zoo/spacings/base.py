"""What all spacings share: where a walk ends, and whether so many steps fit."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.core.refusals import MixError, Reason
from zoo.core.schedule import Schedule

End = Literal["clean", "first"] | float


class SpacingError(MixError, ValueError):
    """A spacing that does not fit the schedule or the number of steps.

    Args:
        message: what is wrong and what to do.
        reason: which of the reasons for refusing a combination; None for a setting that makes no sense anywhere.
    """

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(reason, message)


def end_time(schedule: Schedule, end: End) -> float:
    """The time that the last step goes to."""
    if end == "clean":
        return schedule.t_clean
    return schedule.t_min if end == "first" else float(end)


def table_size(schedule: Schedule, steps: int, name: str) -> int:
    """T of a table schedule that has room for so many steps."""
    at_least_one(steps)
    if schedule.steps is None:
        raise SpacingError(
            f"spacing {name!r} counts trained steps and this schedule is continuous: use 'trailing'",
            Reason.COUNTS_STEPS,
        )
    if steps > schedule.steps:
        raise SpacingError(
            f"steps: {steps} are more than the {schedule.steps} trained steps that {name!r} picks from",
            Reason.COUNTS_STEPS,
        )
    return schedule.steps


def at_least_one(steps: int) -> None:
    """Refuse a walk without steps."""
    if steps < 1:
        raise SpacingError(f"steps must be at least 1, got {steps}")


def line(start: float, end: float, count: int) -> Tensor:
    """So many equally spaced numbers, both ends among them."""
    return torch.linspace(start, end, count, dtype=torch.float64)
