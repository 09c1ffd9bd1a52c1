"""Explicit Runge-Kutta rules on the velocity of a straight path: rectified flow."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.parameterization import Prediction
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler

Tableau = tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]

# Butcher's tableaus: the rows a_i of the inner stages, and the weights b. A stage lies at c_i = sum of its row.
TABLEAUS: dict[str, Tableau] = {
    "euler": ((), (1.0,)),
    "midpoint": (((1 / 2,),), (0.0, 1.0)),
    "heun": (((1.0,),), (1 / 2, 1 / 2)),
    "rk4": (((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "rk5": (
        (
            (1 / 4,),
            (1 / 8, 1 / 8),
            (0.0, -1 / 2, 1.0),
            (3 / 16, 0.0, 0.0, 9 / 16),
            (-3 / 7, 2 / 7, 12 / 7, -12 / 7, 8 / 7),
        ),
        (7 / 90, 0.0, 32 / 90, 12 / 90, 32 / 90, 7 / 90),
    ),
}


@dataclass(frozen=True)
class FlowRK(Sampler[tuple[()]]):
    """x_s = x_t + (s - t) sum_i b_i u_i on dx / dt = u = eps - x_0, alpha = 1 - t, sigma = t (Liu et al. 2023, eq. 1).

    u_i is the velocity at x_t + (s - t) sum_j a_ij u_j and time t + c_i (s - t). "rk5" is Butcher's rule of six stages,
    as OpenVPI's acoustic models use it. Another path is straightened: x / (alpha + sigma) lies on the straight one at
    the time sigma / (alpha + sigma). Or its own velocity is taken, dx / dt = alpha' x_0 + sigma' eps in the
    schedule's time t (Karras et al. 2022, eq. 4).

    Args:
        method: the tableau; one, two, two, four or six evaluations a step.
        alpha: where the second evaluation of "heun" lies: the weights become 1 - 1 / (2 alpha) and 1 / (2 alpha).
        time: "straight", or "own" for the schedule's.
        last: "euler" takes one evaluation for the step onto clean data, where "full" asks the network there too. In
            its own time a path may be infinitely steep there, and the step is always Euler's.
    """

    _: KW_ONLY
    method: Literal["euler", "midpoint", "heun", "rk4", "rk5"] = "heun"
    alpha: float = 1.0
    time: Literal["straight", "own"] = "straight"
    last: Literal["full", "euler"] = "full"
    from_pure_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must lie in 0..1 and not be 0, got {self.alpha:g}")
        if self.alpha != 1 and self.method != "heun":
            raise ValueError(f"alpha belongs to method 'heun', not to {self.method!r}")

    @property
    def order(self) -> int:  # type: ignore[override]  # a setting decides
        """Of the tableau."""
        return {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "rk5": 5}[self.method]

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, ()
        rows, b = self._tableau(next)
        path = _Own(step) if self.time == "own" else _Straight(step)
        t = path.time(now)
        h = path.time(next) - t
        y = x_t / path.scale(now)
        u = [path.velocity(denoise(x_t, now), now)]
        for row in rows:
            at = next if math.isclose(sum(row), 1) else path.point(t + sum(row) * h)
            u.append(path.velocity(denoise(path.scale(at) * _moved(y, h, row, u), at), at))
        return path.scale(next) * _moved(y, h, b, u), ()

    def _tableau(self, next: GridPoint) -> Tableau:
        if not next.sigma and (self.last == "euler" or self.time == "own"):
            return TABLEAUS["euler"]
        if self.alpha != 1:
            return ((self.alpha,),), (1 - 1 / (2 * self.alpha), 1 / (2 * self.alpha))
        return TABLEAUS[self.method]


class _Straight:
    """The straight path that every path is, when x is divided by alpha + sigma."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def scale(self, at: GridPoint) -> float:
        return at.alpha + at.sigma

    def time(self, at: GridPoint) -> float:
        return at.sigma / (at.alpha + at.sigma)

    def point(self, t: float) -> GridPoint:
        return self.step.at(nsr=t / (1 - t))

    def velocity(self, prediction: Prediction, at: GridPoint) -> Tensor:
        return prediction.eps - prediction.x_0


class _Own:
    """The path as it is, in the schedule's time."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def scale(self, at: GridPoint) -> float:
        return 1.0

    def time(self, at: GridPoint) -> float:
        return at.t

    def point(self, t: float) -> GridPoint:
        return self.step.at(t=t)

    def velocity(self, prediction: Prediction, at: GridPoint) -> Tensor:
        d_alpha, d_sigma = self.step.grid.rate(at)
        if not math.isfinite(d_sigma):
            raise MixError(
                Reason.RULE_AT_DATA,
                "FlowRK cannot step from clean data (sigma = 0) in the own time of a path that is infinitely steep "
                "there: start above it, or take time 'straight'",
            )
        velocity = d_sigma * prediction.eps
        return velocity + d_alpha * prediction.x_0 if d_alpha else velocity


def _moved(y: Tensor, h: float, weights: tuple[float, ...], u: list[Tensor]) -> Tensor:
    for weight, u_i in zip(weights, u, strict=True):
        if weight:
            y = y + (h * weight) * u_i
    return y
