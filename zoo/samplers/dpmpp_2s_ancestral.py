"""DPM-Solver++ (2S) with ancestral noise: a midpoint step on predictions of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.ancestral import Ancestral, carry, split
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight


@dataclass(frozen=True, kw_only=True)
class DPMpp2SAncestral(Ancestral):
    """A step of DPM-Solver++ (2S) down to sigma_down, then noise up to sigma_s (k-diffusion, after Lu et al. 2022b).

    With D the prediction of x_0 at x_t, and D_m the one in the middle m of t and (alpha_s, sigma_down) in lambda:

        x_m = sigma_m / sigma_t x_t + (alpha_m - sigma_m alpha_t / sigma_t) D
        x_s = sigma_down / sigma_t x_t + (alpha_s - sigma_down alpha_t / sigma_t) D_m + s_noise sigma_up z

    sigma_up = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2), sigma_down^2 = sigma_s^2 - sigma_up^2.
    Onto clean data and from pure noise D takes the place of D_m.
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
            there = carry(x_t, prediction.x_0, now, middle)
            x_s = carry(x_t, denoise(there, middle).x_0, now, down)
        else:
            x_s = straight(prediction, down)
        return self.raised(x_s, sigma_up, x_t, step, noise), ()
