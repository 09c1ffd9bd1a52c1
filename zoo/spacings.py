"""Spacings: which times a walk of so many steps visits.

Every spacing gives the times from the start to the end, one more than there are steps. The end belongs to the
grid, not to the sampler: "clean" is x_0 itself, "first" the least noise of the table (time 0), a number any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.schedule import Schedule

End = Literal["clean", "first"] | float


class SpacingError(ZooError, ValueError):
    """A spacing that does not fit the schedule or the number of steps."""


def _end(schedule: Schedule, end: End) -> float:
    if end == "clean":
        return schedule.t_clean
    return schedule.t_min if end == "first" else float(end)


def _table(schedule: Schedule, steps: int, name: str) -> int:
    """T of a table schedule that has room for so many steps."""
    _at_least_one(steps)
    if schedule.steps is None:
        raise SpacingError(f"spacing {name!r} counts trained steps and this schedule is continuous: use 'trailing'")
    if steps > schedule.steps:
        raise SpacingError(f"steps: {steps} are more than the {schedule.steps} trained steps that {name!r} picks from")
    return schedule.steps


def _at_least_one(steps: int) -> None:
    if steps < 1:
        raise SpacingError(f"steps must be at least 1, got {steps}")


def _line(start: float, end: float, count: int) -> Tensor:
    return torch.linspace(start, end, count, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Leading:
    """t = k (T // N) + offset for k = N-1..0: DDIM's and PNDM's own; it never visits T - 1.

    Args:
        offset: added to every time; latent diffusion's models use 1.
        end: where the last step goes.
        whole: keep every multiple of the stride below T, which may be more than N (DDIM's and PNDM's code).
    """

    offset: int = 0
    end: End = "clean"
    whole: bool = False

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = _table(schedule, steps, "leading")
        stride = total // steps
        times = list(range(0, total, stride)) if self.whole else [k * stride for k in range(steps)]
        if times[-1] + self.offset >= total or self.offset < 0:
            raise SpacingError(f"offset {self.offset} moves time {times[-1]} outside 0..{total - 1}")
        return [*(float(t + self.offset) for t in reversed(times)), _end(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class Trailing:
    """t = round(T - k T / N) - 1 for k = 0..N-1: from T - 1, no evaluation is wasted (Lin et al. 2024, table 2).

    On a continuous schedule: N equal steps in t from its start to its end.

    Args:
        end: where the last step goes.
    """

    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        _at_least_one(steps)
        end = _end(schedule, self.end)
        if schedule.steps is not None:
            total = _table(schedule, steps, "trailing")
            marks = torch.arange(total, 0, -total / steps, dtype=torch.float64)[:steps]
            return [*(marks.round() - 1).tolist(), end]
        if schedule.t_min == schedule.t_clean:
            times = schedule.shifted(_line(schedule.t_max, schedule.t_clean, steps + 1))
            return [*times[:-1].tolist(), end]
        return [*schedule.shifted(_line(schedule.t_max, schedule.t_min, steps)).tolist(), end]


@dataclass(frozen=True, kw_only=True)
class Linspace:
    """N equal steps in t from the schedule's start to its least noise, both visited; then the end.

    Where the least noise is none at all, as on vp and flow, the last visited time lies one step above it.

    Args:
        rounded: visit whole times of a table only.
        skip_last: N + 1 equal points without the last (the grid of multistep solvers in diffusers).
        end: where the last step goes.
    """

    rounded: bool = True
    skip_last: bool = False
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        _at_least_one(steps)
        # Clean data has no noise to ask the network about
        skip = self.skip_last or schedule.t_min == schedule.t_clean
        times = _line(schedule.t_max, schedule.t_min, steps + skip)[:steps]
        if self.rounded and schedule.steps is not None:
            _table(schedule, steps, "linspace")
            times = times.round()
        return [*schedule.shifted(times).tolist(), _end(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """t = floor(u^2), u equally spaced from 0 to sqrt(top T): more steps near the data (Song et al. 2021, app. D.2).

    With many steps the first squares share a whole time; a step between equal times changes nothing, as in DDIM's code.

    Args:
        top: how much of the schedule is walked; the walk starts below its end.
        end: where the last step goes.
    """

    top: float = 0.8
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = _table(schedule, steps, "quadratic")
        if not 0 < self.top < 1:
            raise SpacingError(f"top must lie in (0, 1), got {self.top:g}")
        times = (_line(0, (self.top * total) ** 0.5, steps) ** 2).floor().flip(0)
        return [*times.tolist(), _end(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class DiffSVC:
    """The times of diff-svc: every interval-th time below k_step, then the least noise of the table.

    With that end the last step goes from time 0 to time 0 and changes nothing, as in the old code.

    Args:
        k_step: how many of the trained steps are walked; None walks all.
        interval: the stride ("pndm_speedup"), which then decides the number of steps; None derives it from N.
        end: where the last step goes.
    """

    k_step: int | None = None
    interval: int | None = None
    end: End = "first"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = _table(schedule, steps if self.interval is None else 1, "diff-svc")
        k_step = total if self.k_step is None else self.k_step
        if not 1 <= k_step <= total:
            raise SpacingError(f"k_step must lie in 1..{total}, got {k_step}")
        if self.interval is None and steps > k_step:
            raise SpacingError(f"steps: {steps} are more than the {k_step} trained steps of k_step")
        interval = max(1, k_step // steps) if self.interval is None else self.interval
        if interval < 1:
            raise SpacingError(f"interval must be at least 1, got {interval}")
        return [*(float(t) for t in reversed(range(0, k_step, interval))), _end(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class LogSNR:
    """Equal steps in log(sigma / alpha), from the schedule's start to its least noise.

    Args:
        sigma_max: sigma / alpha at the start; None takes the schedule's.
        sigma_min: sigma / alpha of the last evaluation; None takes the schedule's least noise.
        end: where the last step goes.
    """

    sigma_max: float | None = None
    sigma_min: float | None = None
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        _at_least_one(steps)
        high, low = _noise_range(schedule, self.sigma_max, self.sigma_min)
        return _at_ratios(schedule, _line(high.log().item(), low.log().item(), steps).exp(), self.end)


@dataclass(frozen=True, kw_only=True)
class Karras:
    """nsr = (max^(1/rho) + u (min^(1/rho) - max^(1/rho)))^rho, u from 0 to 1 (Karras et al. 2022, eq. 5).

    Args:
        rho: 7 puts most steps near the data, 1 spaces the noise equally.
        sigma_max: sigma / alpha at the start; None takes the schedule's.
        sigma_min: sigma / alpha of the last evaluation; None takes the schedule's least noise.
        end: where the last step goes.
    """

    rho: float = 7.0
    sigma_max: float | None = None
    sigma_min: float | None = None
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        _at_least_one(steps)
        if not self.rho > 0:
            raise SpacingError(f"rho must be positive, got {self.rho:g}")
        high, low = _noise_range(schedule, self.sigma_max, self.sigma_min)
        ramp = _line(float(high ** (1 / self.rho)), float(low ** (1 / self.rho)), steps)
        return _at_ratios(schedule, ramp**self.rho, self.end)


def _noise_range(schedule: Schedule, sigma_max: float | None, sigma_min: float | None) -> tuple[Tensor, Tensor]:
    """The greatest and least sigma / alpha of a walk, both positive and finite."""
    ends = torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)
    most, least = schedule(ends).nsr.tolist()
    high = most if sigma_max is None else sigma_max
    low = least if sigma_min is None else sigma_min
    if not 0 < low < high < float("inf"):
        raise SpacingError(
            f"sigma / alpha must fall from a finite sigma_max to a positive sigma_min, got {high:g} and {low:g}; "
            "set sigma_max and sigma_min"
        )
    # A hair of slack: a number that was read off the schedule may be rounded
    if high > most * (1 + 1e-6):
        raise SpacingError(f"sigma_max: the schedule's sigma / alpha ends at {most:g}, got {high:g}")
    return torch.tensor(high, dtype=torch.float64), torch.tensor(low, dtype=torch.float64)


def _at_ratios(schedule: Schedule, nsr: Tensor, end: End) -> list[float]:
    return [*schedule.inverse(nsr).tolist(), _end(schedule, end)]


@dataclass(frozen=True, kw_only=True)
class Respaced:
    """The times of guided-diffusion: the trained steps cut into equal sections, each with its own count.

    Within a section of length L and count c the stride is (L - 1) / (c - 1), rounded to whole times.

    Args:
        sections: one count a section, from the data to the noise, which then decide the number of steps; None makes
            one section of N.
    """

    sections: Sequence[int] | None = None

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = _table(schedule, 1, "respaced")
        counts = [steps] if self.sections is None else list(self.sections)
        times: list[int] = []
        start = 0
        for index, count in enumerate(counts):
            length = total // len(counts) + (index < total % len(counts))
            if not 1 <= count <= length:
                raise SpacingError(f"sections: {count} steps do not fit a section of {length} trained steps")
            stride = (length - 1) / (count - 1) if count > 1 else 1.0
            times += [start + round(k * stride) for k in range(count)]
            start += length
        return [*(float(t) for t in reversed(times)), schedule.t_clean]
