"""DPM-Solver (2M) for the reverse SDE, on predictions of the noise."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from zoo.core.exponential import is_finite
from zoo.core.grid import GridPoint, Step
from zoo.core.quadrature import phi
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class Past(NamedTuple):
    """One evaluation: where, and the prediction of the noise."""

    at: GridPoint
    eps: Tensor


@dataclass(frozen=True)
class DPM2MSDE(Sampler[tuple[()] | Past]):
    """Two-step rule on the noise prediction e (Lu et al. 2022b, SDE-DPM-Solver-2M).

    With lambda = log(alpha / sigma), h = lambda_s - lambda_t and r = h_before / h:

        x_s = alpha_s / alpha_t x_t - 2 sigma_s (e^h - 1) e - sigma_s w (e - e_before) / r
              + sigma_s sqrt(e^(2 h) - 1) z

    w = e^h - 1 for "midpoint", 2 ((e^h - 1) / h - 1) for "heun". The first step has no term in w. A step onto clean
    data would leave noise there: it takes x_0 instead.

    Args:
        solver: the weight w.
        lower_order_final: leave the term in w out of the last step too, which steadies few steps.
    """

    _: KW_ONLY
    solver: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True
    order: ClassVar[int] = 2
    stochastic: ClassVar[bool] = True
    from_pure_noise: ClassVar[bool] = False

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()] | Past, noise: Noise
    ) -> tuple[Tensor, tuple[()] | Past]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        prediction = denoise(x_t, now)
        if not is_finite(now, next):
            return straight(prediction, next), ()
        e, h = prediction.eps, next.lam - now.lam
        x_s = next.alpha / now.alpha * x_t - 2 * next.sigma * math.expm1(h) * e
        if isinstance(state, Past) and not (self.lower_order_final and step.is_last):
            r = (now.lam - state.at.lam) / h
            w = math.expm1(h) if self.solver == "midpoint" else 2 * h * phi(2, h)
            x_s = x_s - next.sigma * w / r * (e - state.eps)
        return x_s + next.sigma * math.sqrt(math.expm1(2 * h)) * noise(x_t, now, next), Past(now, e)

    def init(self) -> tuple[()] | Past:
        return ()
