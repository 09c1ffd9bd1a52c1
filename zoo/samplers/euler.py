"""Euler's rule in the noise-to-signal ratio, with churn if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.churn import Churned
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight, transfer


@dataclass(frozen=True, kw_only=True)
class Euler(Churned):
    """x_s / alpha_s = x^ / alpha^ + (s_next - s^) eps(x^, s^), s = sigma / alpha (Karras et al. 2022, algorithm 2).

    Without churn this is DDIM with eta = 0.

    Args:
        ask_first: ask the network before the churn and not after it, as diffusers does: eps then belongs to less
            noise than x^ has.
    """

    ask_first: bool = False
    order: ClassVar[int] = 1

    @property
    def joins(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether x_0 and eps may come of different predictions: without churn."""
        return not self.s_churn

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        asked = denoise(x_t, step.now) if self.ask_first else None
        x, up = self.churned(x_t, step, noise)
        prediction = denoise(x, up) if asked is None else asked
        if up is step.now:
            return straight(prediction, step.next), ()
        return transfer(x, prediction.eps, up, step.next), ()
