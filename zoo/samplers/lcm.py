"""LCM: jump to the data, then back to less noise, with networks trained for it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler


@dataclass(frozen=True)
class LCM(Sampler[tuple[()]]):
    """x_s = alpha_s f + sigma_s z, f = c_skip x_t + c_out x_0 (Song et al. 2023, algorithm 1; Luo et al. 2023).

    For consistency models, whose x_0 is the end of the ODE's path through x_t; the mean that other networks predict
    gives blurred samples. The boundary condition is c_skip = d^2 / (u^2 + d^2), c_out = u / sqrt(u^2 + d^2) with
    u = timestep_scaling t and d = 1/2.

    Args:
        timestep_scaling: of the boundary condition at time t; 10 for latent consistency models, None for f = x_0.
    """

    _: KW_ONLY
    timestep_scaling: float | None = None
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nowhere to jump to
            return x_t, ()
        f = denoise(x_t, now).x_0
        if self.timestep_scaling is not None:
            u, d = self.timestep_scaling * now.t, 0.5
            f = d**2 / (u**2 + d**2) * x_t + u / (u**2 + d**2) ** 0.5 * f
        return next.alpha * f + next.sigma * noise(x_t, now, next) if next.sigma else next.alpha * f, ()
