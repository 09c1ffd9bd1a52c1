"""DDIM: the implicit family between the probability-flow ODE and ancestral sampling."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler


@dataclass(frozen=True)
class DDIM(Sampler[tuple[()]]):
    """x_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c z (Song et al. 2021, eq. 12 and 16).

    c = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2). eta = 0 is Euler's rule on the ODE, eta = 1
    is DDPM with its small variance. Walking a rising grid with eta = 0 inverts an image into its noise.

    Args:
        eta: from 0, no noise, to 1, ancestral.
    """

    _: KW_ONLY
    eta: float = 0.0
    order: ClassVar[int] = 1
    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must lie in 0..1, got {self.eta:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when eta > 0."""
        return self.eta > 0

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        prediction = denoise(x_t, now)
        c = 0.0
        if self.eta and next.sigma and next.alpha:
            ratio = now.alpha * next.sigma / (next.alpha * now.sigma)
            c = self.eta * next.sigma * math.sqrt(max(0.0, 1 - ratio**2))
        x_s = next.alpha * prediction.x_0
        if next.sigma:
            x_s = x_s + math.sqrt(next.sigma**2 - c**2) * prediction.eps
        if c:
            x_s = x_s + c * noise(x_t, now, next)
        return x_s, ()
