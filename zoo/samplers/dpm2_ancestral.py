"""DPM2, the midpoint rule in log noise, with ancestral noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.ancestral import Ancestral, split
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight, transfer


@dataclass(frozen=True, kw_only=True)
class DPM2Ancestral(Ancestral):
    """A midpoint step down to sigma_down, then noise up to sigma_s (k-diffusion's DPM2 ancestral).

    With s = sigma / alpha: e at x_t, e_m on Euler's line at s_m = sqrt(s_t s_down),

        x_s / alpha_s = x_t / alpha_t + (s_down - s_t) e_m + s_noise s_up z,

    s_up = eta s_s sqrt(1 - s_s^2 / s_t^2) and s_down^2 = s_s^2 - s_up^2. Onto clean data and from pure noise the step
    is Euler's.
    """

    order: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now = step.now
        prediction = denoise(x_t, now)
        down, sigma_up = split(now, step.next, self.eta)
        if now.alpha and down.sigma:
            middle = step.at(nsr=(now.nsr * down.nsr) ** 0.5)
            there = transfer(x_t, prediction.eps, now, middle)
            x_s = transfer(x_t, denoise(there, middle).eps, now, down)
        else:
            x_s = straight(prediction, down)
        return self.raised(x_s, sigma_up, x_t, step, noise), ()
