"""The objectives: uniform times, min-SNR and P2 weights, log-normal noise levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError
from zoo.core.objective import Objective, uniform_times
from zoo.core.parameterization import Parameterization
from zoo.core.schedule import Marginal, Schedule


@dataclass(frozen=True, kw_only=True)
class Uniform(Objective):
    """L_simple: every time alike, weight 1 (Ho et al. 2020, eq. 14)."""

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        return uniform_times(n, schedule, generator)


@dataclass(frozen=True, kw_only=True)
class MinSNR(Objective):
    """The error of x_0 weighed by min(SNR, gamma), whatever the network predicts (Hang et al. 2023, eq. 7).

    An error e of the output is an error c e of x_0, so the weight of the output's square is c^2 min(SNR, gamma):
    min(SNR, gamma) / SNR for eps, min(SNR, gamma) for x0, min(SNR, gamma) / (SNR + 1) for v. A time at which the
    output says nothing about x_0 weighs nothing.

    Args:
        parameterization: of the model; it gives c.
        gamma: where the weight is cut.
    """

    parameterization: Parameterization
    gamma: float = 5.0

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        return uniform_times(n, schedule, generator)

    def weight(self, m: Marginal) -> Tensor:
        c = self.parameterization.x_0(torch.ones_like(m.alpha), torch.zeros_like(m.alpha), m)
        # fmin: at clean data SNR is inf and c may be 0; the second term is exact there
        weight = torch.fmin(m.snr * c**2, self.gamma * c**2)
        return weight.where(c.isfinite(), 0.0)


@dataclass(frozen=True, kw_only=True)
class P2(Objective):
    """The error of eps weighed by 1 / (k + SNR)^gamma, whatever the network predicts (Choi et al. 2022).

    Less weight where there is little noise left to remove, and more where the content of a picture is decided. An error
    e of the output is an error c e of eps, so the weight of the output's square is c^2 / (k + SNR)^gamma:
    1 / (k + SNR)^gamma for eps, SNR / (k + SNR)^gamma for x0. Clean data, which has no eps to tell, weighs nothing.

    Args:
        parameterization: of the model; it gives c.
        k: keeps the weight finite where all is noise.
        gamma: how strongly little noise is held down; 0 is L_simple on eps.

    Raises:
        ArgumentValueError: k is not above 0, or gamma is below 0.
    """

    parameterization: Parameterization
    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not self.k > 0 or not self.gamma >= 0:
            raise ArgumentValueError(
                f"k must be above 0 and gamma must not be below 0, got k={self.k:g} and gamma={self.gamma:g}"
            )

    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        return uniform_times(n, schedule, generator)

    def weight(self, m: Marginal) -> Tensor:
        c = self.parameterization.eps(torch.ones_like(m.alpha), torch.zeros_like(m.alpha), m)
        return (c**2 / (self.k + m.snr) ** self.gamma).nan_to_num(0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class LogNormal(Objective):
    """ln(sigma / alpha) ~ N(mean, std^2), weight 1 on the preconditioned output (Karras et al. 2022, table 1).

    The weight lambda = (sigma^2 + sd^2) / (sigma sd)^2 of the paper is 1 / c_out^2: it makes the error of D the plain
    error of F, which is what ``Diffusion.loss`` measures.

    On the straight path sigma / alpha = t / (1 - t), so ln(sigma / alpha) = logit(t): there mean 0 and std 1 are the
    logit-normal times of flow models (Esser et al. 2024, section 3.1, rf/lognorm(0.00, 1.00)).

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
