"""Churn: noise that a step adds before it goes down, and removes with everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Noise, Sampler


@dataclass(frozen=True, kw_only=True)
class Churned(Sampler[tuple[()]]):
    """A single-step rule that may first go up in noise (Karras et al. 2022, algorithm 2, lines 4 to 6).

    With s = sigma / alpha and N steps: s^ = (1 + gamma) s, gamma = min(s_churn / N, sqrt(2) - 1) where
    s_tmin <= s <= s_tmax, else 0; x^ / alpha^ = x / alpha + s_noise sqrt(s^^2 - s^2) z.

    Args:
        s_churn: how much noise in all; 0 for none.
        s_tmin: the lowest s at which noise is added.
        s_tmax: the highest; None for no limit.
        s_noise: factor of the noise, a little above 1 to make up for detail that networks lose.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float | None = None
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        if not self.s_churn >= 0:
            raise ValueError(f"s_churn must be at least 0, got {self.s_churn:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when s_churn > 0."""
        return self.s_churn > 0

    def churned(self, x_t: Tensor, step: Step, noise: Noise) -> tuple[Tensor, GridPoint]:
        """The state after the noise, and where it is."""
        now = step.now
        high = math.inf if self.s_tmax is None else self.s_tmax
        # pure noise has no higher level to go to, and a step that stands still stays
        if not now.alpha or now.nsr == step.next.nsr or not (self.s_churn and self.s_tmin <= now.nsr <= high):
            return x_t, now
        up = step.at(nsr=now.nsr * (1 + min(self.s_churn / step.total, math.sqrt(2) - 1)))
        spread = up.alpha * self.s_noise * math.sqrt(up.nsr**2 - now.nsr**2)
        return up.alpha / now.alpha * x_t + spread * noise(x_t, now, up), up
