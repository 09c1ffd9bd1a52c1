"""Spacings in time: counted in trained steps, or equal parts of the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from zoo.core.refusals import Reason
from zoo.core.schedule import Schedule
from zoo.spacings.base import End, SpacingError, at_least_one, end_time, line, table_size


@dataclass(frozen=True, kw_only=True)
class Leading:
    """t = k (T // N) + offset for k = N-1..0: DDIM's and PNDM's own; it never visits T - 1.

    Args:
        offset: added to every time; latent diffusion's models use 1.
        end: where the last step goes.
        whole: keep every multiple of the stride below T, which may be more than N (DDIM's and PNDM's code).
        skip_last: t = k (T // (N + 1)) + offset for k = N..1: no evaluation at time 0 (the multistep solvers of
            diffusers).
    """

    offset: int = 0
    end: End = "clean"
    whole: bool = False
    skip_last: bool = False

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = table_size(schedule, steps, "leading")
        if self.skip_last and (self.whole or steps >= total):
            raise SpacingError(f"skip_last leaves out one of whole = false and at most {total - 1} steps")
        stride = total // (steps + self.skip_last)
        first = int(self.skip_last)
        times = list(range(0, total, stride)) if self.whole else [k * stride for k in range(first, steps + first)]
        if times[-1] + self.offset >= total or self.offset < 0:
            raise SpacingError(f"offset {self.offset} moves time {times[-1]} outside 0..{total - 1}")
        return [*(float(t + self.offset) for t in reversed(times)), end_time(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class Trailing:
    """t = round(T - k T / N) - 1 for k = 0..N-1: from T - 1, no evaluation is wasted (Lin et al. 2024, table 2).

    On a continuous schedule: N equal steps in t from its start to its end.

    Args:
        end: where the last step goes.
        last: on a continuous schedule, the time of the last evaluation; the times are stretched toward it,
            1 - t in proportion ("shift_terminal" of diffusers' flow models). None for where they fall.
    """

    end: End = "clean"
    last: float | None = None

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        at_least_one(steps)
        end = end_time(schedule, self.end)
        if schedule.steps is not None:
            if self.last is not None:
                raise SpacingError("last is for continuous schedules; a table's walk ends by 'end'")
            total = table_size(schedule, steps, "trailing")
            marks = torch.arange(total, 0, -total / steps, dtype=torch.float64)[:steps]
            return [*(marks.round() - 1).tolist(), end]
        if schedule.t_min == schedule.t_clean:
            times = schedule.shifted(line(schedule.t_max, schedule.t_clean, steps + 1))[:-1]
        else:
            times = schedule.shifted(line(schedule.t_max, schedule.t_min, steps))
        if self.last is not None:
            if steps == 1 or not schedule.t_clean <= self.last < float(times[-2]):
                raise SpacingError(f"last: {self.last:g} is not below the other times of {steps} steps")
            way = times[0] - times
            times = times[0] - way * ((times[0] - self.last) / way[-1])
        return [*times.tolist(), end]


@dataclass(frozen=True, kw_only=True)
class Linspace:
    """N equal steps in t from the schedule's start to its least noise, both visited; then the end.

    Where the least noise is none at all, as on vp and flow, the last visited time lies one step above it.

    Args:
        rounded: visit whole times of a table only.
        skip_last: N + 1 equal points without the last (the grid of multistep solvers in diffusers).
        end: where the last step goes.
        last: the time of the last evaluation; None for the schedule's least noise.
    """

    rounded: bool = True
    skip_last: bool = False
    end: End = "clean"
    last: float | None = None

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        at_least_one(steps)
        # Clean data has no noise to ask the network about
        last = schedule.t_min if self.last is None else self.last
        if not schedule.t_clean <= last < schedule.t_max:
            raise SpacingError(f"last must lie within {schedule.t_clean:g}..{schedule.t_max:g}, got {last:g}")
        skip = self.skip_last or last == schedule.t_clean
        times = line(schedule.t_max, last, steps + skip)[:steps]
        if self.rounded and schedule.steps is not None:
            table_size(schedule, steps, "linspace")
            times = times.round()
        return [*schedule.shifted(times).tolist(), end_time(schedule, self.end)]


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """t = floor(u^2), u equally spaced from 0 to sqrt(top T): more steps near the data (Song et al. 2021, app. D.2).

    With many steps the first squares share a whole time; a step between equal times changes nothing, as in DDIM's code.
    On a continuous schedule with times from 0: equal steps in sqrt(t) from its start ("time_quadratic" of DPM-Solver).

    Args:
        top: how much of a table is walked; the walk starts below its end.
        end: where the last step goes.
    """

    top: float = 0.8
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        if schedule.steps is None:
            at_least_one(steps)
            end = end_time(schedule, self.end)
            if schedule.t_clean < 0 or end < 0:
                raise SpacingError(
                    "spacing 'quadratic' takes roots of times, and this schedule has negative ones: use 'trailing'",
                    Reason.COUNTS_STEPS,
                )
            # a root squared may come out a hair above what it was taken of
            times = (line(schedule.t_max**0.5, end**0.5, steps + 1)[:-1] ** 2).clamp(max=schedule.t_max)
            return [*times.tolist(), end]
        total = table_size(schedule, steps, "quadratic")
        if not 0 < self.top < 1:
            raise SpacingError(f"top must lie in (0, 1), got {self.top:g}")
        times = (line(0, (self.top * total) ** 0.5, steps) ** 2).floor().flip(0)
        return [*times.tolist(), end_time(schedule, self.end)]


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
        total = table_size(schedule, steps if self.interval is None else 1, "diff-svc")
        k_step = total if self.k_step is None else self.k_step
        if not 1 <= k_step <= total:
            raise SpacingError(f"k_step must lie in 1..{total}, got {k_step}")
        if self.interval is None and steps > k_step:
            raise SpacingError(f"steps: {steps} are more than the {k_step} trained steps of k_step")
        interval = max(1, k_step // steps) if self.interval is None else self.interval
        if interval < 1:
            raise SpacingError(f"interval must be at least 1, got {interval}")
        return [*(float(t) for t in reversed(range(0, k_step, interval))), end_time(schedule, self.end)]


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
        total = table_size(schedule, 1, "respaced")
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


@dataclass(frozen=True, kw_only=True)
class LCM:
    """N of the times that a consistency model was distilled at, which end at T - 1 (Luo et al. 2023, section 4.3).

    The model's own are t_i = i (T // M) - 1, i = 1..M; of these every (M / N)-th is taken, from the greatest.

    Args:
        trained: M, the number of steps of the distillation.
        end: where the last step goes.
    """

    trained: int = 50
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        total = table_size(schedule, steps, "lcm")
        if not steps <= self.trained <= total:
            raise SpacingError(f"trained: expected {steps} (the steps) to {total} (the table), got {self.trained}")
        own = [i * (total // self.trained) - 1 for i in range(self.trained, 0, -1)]
        chosen = [own[k * self.trained // steps] for k in range(steps)]
        return [*map(float, chosen), end_time(schedule, self.end)]
