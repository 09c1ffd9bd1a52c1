"""Heun's rule in the noise-to-signal ratio: EDM's sampler, and its family of second-order rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.churn import Churned
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight, transfer


@dataclass(frozen=True, kw_only=True)
class Heun(Churned):
    """Two evaluations a step, after the churn (Karras et al. 2022, algorithm 2; alpha: algorithm 3).

    With s = sigma / alpha and h = s_next - s^: e_1 at x^, e_2 at s^ + alpha h on Euler's line,

        x_s / alpha_s = x^ / alpha^ + h ((1 - 1 / (2 alpha)) e_1 + 1 / (2 alpha) e_2).

    Onto clean data and from pure noise a step is Euler's.

    Args:
        alpha: 1 for Heun's rule, 2/3 for Ralston's, 1/2 for the midpoint.
    """

    alpha: float = 1.0
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must lie in 0..1 and not be 0, got {self.alpha:g}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        next = step.next
        x, up = self.churned(x_t, step, noise)
        prediction = denoise(x, up)
        if not next.sigma or not up.alpha:
            return straight(prediction, next), ()
        there = next if self.alpha == 1 else step.at(nsr=up.nsr + self.alpha * (next.nsr - up.nsr))
        e_1 = prediction.eps
        e_2 = denoise(transfer(x, e_1, up, there), there).eps
        mixed = (1 - 1 / (2 * self.alpha)) * e_1 + 1 / (2 * self.alpha) * e_2
        return transfer(x, mixed, up, next), ()
