"""The objectives: uniform times, min-SNR weights, log-normal noise levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.core.objective import Objective, uniform_times
from zoo.core.schedule import Marginal, Schedule


@dataclass(frozen=True, kw_only=True)
class Uniform(Objective):
    """L_simple: every time alike, weight 1 (Ho et al. 2020, eq. 14)."""

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        return uniform_times(n, schedule, generator)


@dataclass(frozen=True, kw_only=True)
class MinSNR(Objective):
    """The error of x_0 weighed by min(SNR, gamma), expressed for what the network predicts (Hang et al. 2023).

    eps: min(SNR, gamma) / SNR;  x0: min(SNR, gamma);  v: min(SNR, gamma) / (SNR + 1).

    Args:
        gamma: where the weight is cut.
        predicts: what the network predicts.
    """

    gamma: float = 5.0
    predicts: Literal["eps", "x0", "v"] = "eps"

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        return uniform_times(n, schedule, generator)

    def weight(self, m: Marginal) -> Tensor:
        # written in nsr^2 = 1 / SNR, which is 0 and not inf at clean data
        inverse = m.nsr**2
        if self.predicts == "eps":
            return (self.gamma * inverse).clamp(max=1.0)
        cut = (1 / inverse).clamp(max=self.gamma)
        return cut if self.predicts == "x0" else (self.gamma * inverse).clamp(max=1.0) / (1 + inverse)


@dataclass(frozen=True, kw_only=True)
class LogNormal(Objective):
    """ln(sigma / alpha) ~ N(mean, std^2), weight 1 on the preconditioned output (Karras et al. 2022, table 1).

    The weight lambda = (sigma^2 + sd^2) / (sigma sd)^2 of the paper is 1 / c_out^2: it makes the error of D the plain
    error of F, which is what ``Diffusion.loss`` measures.

    Args:
        mean: of ln(sigma / alpha).
        std: of ln(sigma / alpha).
    """

    mean: float = -1.2
    std: float = 1.2

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        log_nsr = self.mean + self.std * torch.randn(n, dtype=torch.float64, generator=generator)
        t = schedule.inverse(log_nsr.exp()).clamp(schedule.t_min, schedule.t_max)
        return t.round() if schedule.steps is not None else t
