"""DPM2: the midpoint rule between noise levels, the middle taken on a logarithmic scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.churn import Churned
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight, transfer


@dataclass(frozen=True, kw_only=True)
class DPM2(Churned):
    """Two evaluations a step, after the churn (k-diffusion's DPM2, after DPM-Solver-2 of Lu et al. 2022).

    With s = sigma / alpha: e_1 at x^, e_2 at s_m = s^^(1 - ratio) s_next^ratio on Euler's line,

        x_s / alpha_s = x^ / alpha^ + (s_next - s^) ((1 - 1 / (2 ratio)) e_1 + 1 / (2 ratio) e_2).

    Onto clean data, from it and from pure noise a step is Euler's.

    Args:
        ratio: where e_2 lies, in log s; 1/2 is the midpoint rule.
    """

    ratio: float = 0.5
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must lie in 0..1 and not be 0, got {self.ratio:g}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        next = step.next
        x, up = self.churned(x_t, step, noise)
        prediction = denoise(x, up)
        if not (next.sigma and up.sigma and up.alpha):
            return straight(prediction, next), ()
        middle = step.at(nsr=up.nsr ** (1 - self.ratio) * next.nsr**self.ratio)
        e_1 = prediction.eps
        e_2 = denoise(transfer(x, e_1, up, middle), middle).eps
        mixed = (1 - 1 / (2 * self.ratio)) * e_1 + 1 / (2 * self.ratio) * e_2
        return transfer(x, mixed, up, next), ()
