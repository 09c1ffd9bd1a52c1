"""Explicit Runge-Kutta rules on the velocity of a straight path: rectified flow."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zoo.core.grid import GridPoint, Step
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
    the time sigma / (alpha + sigma).

    Args:
        method: the tableau; one, two, two, four or six evaluations a step.
    """

    _: KW_ONLY
    method: Literal["euler", "midpoint", "heun", "rk4", "rk5"] = "heun"
    from_pure_noise: ClassVar[bool] = True

    @property
    def order(self) -> int:  # type: ignore[override]  # a setting decides
        """Of the tableau."""
        return {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "rk5": 5}[self.method]

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        rows, b = TABLEAUS[self.method]
        now, next = step.now, step.next
        t = now.sigma / _scale(now)
        h = next.sigma / _scale(next) - t
        y = x_t / _scale(now)
        u = [_velocity(denoise, x_t, now)]
        for row in rows:
            at = _point(step, t + sum(row) * h, is_next=math.isclose(sum(row), 1))
            u.append(_velocity(denoise, _scale(at) * _moved(y, h, row, u), at))
        return _scale(next) * _moved(y, h, b, u), ()


def _scale(at: GridPoint) -> float:
    return at.alpha + at.sigma


def _velocity(denoise: Denoise, x: Tensor, at: GridPoint) -> Tensor:
    prediction = denoise(x, at)
    return prediction.eps - prediction.x_0


def _moved(y: Tensor, h: float, weights: tuple[float, ...], u: list[Tensor]) -> Tensor:
    for weight, u_i in zip(weights, u, strict=True):
        if weight:
            y = y + (h * weight) * u_i
    return y


def _point(step: Step, t: float, *, is_next: bool) -> GridPoint:
    """The point of the walk's own path at the time t of the straight one."""
    return step.next if is_next else step.at(nsr=t / (1 - t))
