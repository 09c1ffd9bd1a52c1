"""Grids: the times that a sampler walks, fixed in float64 before the loop.

A step always goes from ``grid[i]`` to ``grid[i + 1]``, so nobody ever computes a "previous t".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from zoo.core.errors import ZooError
from zoo.core.schedule import Schedule


class GridError(ZooError, ValueError):
    """Times that cannot be walked."""


class GridPoint(NamedTuple):
    """One row of a grid: the schedule's time and its two scales, as Python floats.

    Floats, not tensors, so that a step promotes no dtype and waits for no device.
    """

    t: float
    alpha: float
    sigma: float

    @property
    def alpha_bar(self) -> float:
        """alpha^2."""
        return self.alpha * self.alpha

    @property
    def nsr(self) -> float:
        """sigma / alpha; inf where alpha = 0."""
        return self.sigma / self.alpha if self.alpha else math.inf

    @property
    def lam(self) -> float:
        """DPM-Solver's lambda = log(alpha / sigma): inf at clean data, -inf at pure noise."""
        if not self.sigma:
            return math.inf
        return math.log(self.alpha / self.sigma) if self.alpha else -math.inf


@dataclass(frozen=True)
class Grid:
    """The rows of a walk, from its start to its end, and how to find a point off the grid.

    Args:
        points: N + 1 rows for N steps. A row whose scales are those of the row before up to rounding takes them over,
            so that the step between stands still.
        schedule: where points between rows come from; None for a bare table of rows, between which t is
            linear in log(nsr) and alpha is that of a variance-preserving path unless all rows have
            alpha = 1 (variance exploding) or alpha + sigma = 1 (flow).

    Raises:
        GridError: with fewer than one row or a scale that is negative or not finite.
    """

    points: tuple[GridPoint, ...]
    schedule: Schedule | None = None
    kind: str = field(init=False, default="vp")

    def __post_init__(self) -> None:
        if not self.points:
            raise GridError("a grid needs at least one row of (t, alpha, sigma)")
        object.__setattr__(self, "points", tuple(_without_rounding(GridPoint(*row) for row in self.points)))
        for row, point in enumerate(self.points):
            if not all(math.isfinite(number) for number in point) or point.alpha < 0 or point.sigma < 0:
                raise GridError(f"grid row {row}: (t, alpha, sigma) must be finite, scales >= 0; got {tuple(point)}")
            if point.alpha == 0 and point.sigma == 0:
                raise GridError(f"grid row {row}: alpha and sigma are both zero")
        if all(point.alpha == 1 for point in self.points):
            object.__setattr__(self, "kind", "ve")
        elif all(abs(point.alpha + point.sigma - 1) < 1e-12 for point in self.points):
            object.__setattr__(self, "kind", "flow")

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> GridPoint:
        return self.points[index]

    def at(self, *, t: float | None = None, nsr: float | None = None) -> GridPoint:
        """The point at time t, or at noise-to-signal ratio nsr; it may lie outside the grid's ends."""
        if (t is None) == (nsr is None):
            raise GridError("at() takes t or nsr, one of them")
        if self.schedule is not None:
            if t is None:
                assert nsr is not None
                t = float(self.schedule.inverse(torch.tensor(nsr, dtype=torch.float64)))
                # alpha and sigma keep the ratio that was asked for, also past the schedule's ends
                found = _point(self.schedule, t)
                return found if math.isclose(found.nsr, nsr, rel_tol=1e-9) else self._scaled(t, nsr)
            return _point(self.schedule, t)
        times = [point.t for point in self.points if 0 < point.nsr < math.inf]
        logs = [math.log(point.nsr) for point in self.points if 0 < point.nsr < math.inf]
        if len(times) < 2:
            raise GridError("a bare grid needs two rows of finite noise to find points between them")
        if nsr is None:
            assert t is not None
            return self._scaled(t, math.exp(_interpolate(t, times, logs)))
        return self._scaled(_interpolate(math.log(nsr), logs, times), nsr)

    @property
    def least(self) -> GridPoint:
        """The point of the least noise that a network was trained on; clean data on a path that has no such limit."""
        if self.schedule is not None:
            return _point(self.schedule, self.schedule.t_min)
        return min(self.points, key=lambda point: point.nsr or math.inf)

    def rate(self, at: GridPoint) -> tuple[float, float]:
        """d alpha / dt and d sigma / dt at a point: the schedule's slopes, over a whole time of a table."""
        if self.schedule is None:
            raise GridError("a bare grid has no slopes: give it its schedule, Grid(points, schedule)")
        if self.schedule.steps is not None:
            low, high = (
                _point(self.schedule, t)
                for t in (max(at.t - 0.5, self.schedule.t_clean), min(at.t + 0.5, self.schedule.t_max))
            )
            return (high.alpha - low.alpha) / (high.t - low.t), (high.sigma - low.sigma) / (high.t - low.t)
        with torch.inference_mode(False), torch.enable_grad():
            t = torch.tensor(at.t, dtype=torch.float64, requires_grad=True)
            scales = self.schedule(t)
            slopes = [torch.autograd.grad(s, t, retain_graph=True)[0] if s.requires_grad else 0.0 for s in scales]
        return float(slopes[0]), float(slopes[1])

    def _scaled(self, t: float, nsr: float) -> GridPoint:
        """A point of ratio nsr on a path of this grid's kind."""
        alpha = {"ve": 1.0, "flow": 1 / (1 + nsr), "vp": 1 / math.hypot(1, nsr)}[self.kind]
        return GridPoint(t, alpha, alpha * nsr)


@dataclass(frozen=True)
class Step:
    """One step of a walk, from ``now`` to ``next`` (up instead of down in an inversion).

    Args:
        now: where x_t is.
        next: where the sampler shall bring it.
        index: 0 for the first step of the walk.
        total: number of steps of the walk.
        grid: the walk, which knows every other point.
    """

    now: GridPoint
    next: GridPoint
    index: int
    total: int
    grid: Grid

    def at(self, *, t: float | None = None, nsr: float | None = None) -> GridPoint:
        """Any point, by its time or by its ratio; it may lie outside the step and the walk."""
        return self.grid.at(t=t, nsr=nsr)

    @property
    def is_last(self) -> bool:
        """Whether the walk ends with this step."""
        return self.index == self.total - 1


def make_grid(schedule: Schedule, times: Sequence[float]) -> Grid:
    """The grid of a schedule at the given times: N + 1 of them make N steps."""
    if not len(times):
        raise GridError("a grid needs at least one time")
    t = torch.tensor([float(time) for time in times], dtype=torch.float64)
    if not t.isfinite().all() or t.min() < schedule.t_clean or t.max() > schedule.t_max:
        raise GridError(
            f"times must lie within the schedule's {schedule.t_clean:g}..{schedule.t_max:g}, "
            f"got {t.min():g}..{t.max():g}"
        )
    alpha, sigma = schedule(t)
    rows = zip(t.tolist(), alpha.tolist(), sigma.tolist(), strict=True)
    return Grid(tuple(GridPoint(*row) for row in rows), schedule)


def _without_rounding(points: Iterable[GridPoint]) -> Iterator[GridPoint]:
    """The rows, without steps that are nothing but rounding: rules that divide by the length of one explode there."""
    before: GridPoint | None = None
    for point in points:
        if before is not None and all(
            math.isclose(one, other, rel_tol=1e-12) for one, other in zip(before[1:], point[1:], strict=True)
        ):
            point = before._replace(t=point.t)
        yield point
        before = point


def _point(schedule: Schedule, t: float) -> GridPoint:
    alpha, sigma = schedule(torch.tensor(t, dtype=torch.float64))
    return GridPoint(t, float(alpha), float(sigma))


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear through (xs, ys), xs monotone either way; the end pieces extend outside."""
    if xs[0] > xs[-1]:
        xs, ys = xs[::-1], ys[::-1]
    right = min(max(sum(node <= x for node in xs), 1), len(xs) - 1)
    low, high = xs[right - 1], xs[right]
    return ys[right - 1] + (ys[right] - ys[right - 1]) * (x - low) / (high - low)
