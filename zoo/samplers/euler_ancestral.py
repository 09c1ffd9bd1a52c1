"""Euler's rule with ancestral noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.ancestral import Ancestral, split
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, straight


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(Ancestral):
    """x_s = alpha_s x_0 + sigma_down eps + s_noise sigma_up z (k-diffusion's Euler ancestral).

    sigma_up = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2), sigma_down^2 = sigma_s^2 - sigma_up^2. On
    any path, flow too, this is DDIM with the same eta.
    """

    order: ClassVar[int] = 1
    joins: ClassVar[bool] = True

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        down, sigma_up = split(step.now, step.next, self.eta)
        x_s = straight(denoise(x_t, step.now), down)
        return self.raised(x_s, sigma_up, x_t, step, noise), ()
