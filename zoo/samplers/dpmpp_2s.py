"""DPM-Solver++ (2S): single steps of second order on the data prediction."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


@dataclass(frozen=True)
class DPMpp2S(Sampler[tuple[()]]):
    """Two evaluations a step: D at x_t, D_r at the fraction r of the step in lambda (Lu et al. 2022b, algorithm 1).

    With h = lambda_s - lambda_t:

        u   = sigma_r / sigma_t x_t + alpha_r (1 - e^(-r h)) D
        x_s = sigma_s / sigma_t x_t + alpha_s (1 - e^-h) ((1 - 1 / (2 r)) D + 1 / (2 r) D_r).

    Onto clean data and from pure noise a step has order 1.

    Args:
        r: where the inner evaluation lies.
    """

    _: KW_ONLY
    r: float = 0.5
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not 0 < self.r < 1:
            raise ValueError(f"r must lie between 0 and 1, got {self.r:g}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        prediction = denoise(x_t, now)
        h = next.lam - now.lam
        if not h or not math.isfinite(h):
            return straight(prediction, next), ()
        x_0 = prediction.x_0
        inner = step.at(nsr=now.nsr * math.exp(-self.r * h))
        u = inner.sigma / now.sigma * x_t - inner.alpha * math.expm1(-self.r * h) * x_0
        mixed = (1 - 1 / (2 * self.r)) * x_0 + 1 / (2 * self.r) * denoise(u, inner).x_0
        return next.sigma / now.sigma * x_t - next.alpha * math.expm1(-h) * mixed, ()
