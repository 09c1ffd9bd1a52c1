"""DPM-Solver++ (SDE): a single step of two stages, each with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.ancestral import Ancestral, carry, split
from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Denoise, Noise, straight


@dataclass(frozen=True, kw_only=True)
class DPMppSDE(Ancestral):
    """Both stages are ancestral steps from t on predictions of the data (k-diffusion, after Lu et al. 2022b).

    With D the prediction of x_0 at x_t, and a(D, s) the step from t to s that holds it constant,

        a(D, s) = sigma_down / sigma_t x_t + (alpha_s - sigma_down alpha_t / sigma_t) D + s_noise sigma_up z,
        x_m = a(D, m),    x_s = a((1 - 1 / (2 r)) D + 1 / (2 r) D_m, s),

    where m lies at the fraction r of the step in lambda, sigma_up = eta sigma_s sqrt(1 - (alpha_t sigma_s / (alpha_s
    sigma_t))^2) and sigma_down^2 = sigma_s^2 - sigma_up^2. Onto clean data and from pure noise x_s = a(D, s).

    The noises of both stages belong to one path: draw them so (``noise="brownian"``), and the law of the samples has
    order 2. Independent ones leave it at order 1.

    Args:
        r: where the second evaluation lies.
    """

    r: float = 0.5
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.r <= 1:
            raise ValueError(f"r must lie in 0..1 and not be 0, got {self.r:g}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        prediction = denoise(x_t, now)
        if not next.sigma:
            return straight(prediction, next), ()
        x_0 = prediction.x_0
        if now.alpha:
            middle = step.at(nsr=now.nsr ** (1 - self.r) * next.nsr**self.r)
            x_m = self._stage(x_t, x_0, now, middle, noise)
            x_0 = (1 - 1 / (2 * self.r)) * x_0 + 1 / (2 * self.r) * denoise(x_m, middle).x_0
        return self._stage(x_t, x_0, now, next, noise), ()

    def _stage(self, x_t: Tensor, x_0: Tensor, now: GridPoint, to: GridPoint, noise: Noise) -> Tensor:
        """a(x_0, to)."""
        down, sigma_up = split(now, to, self.eta)
        x_s = carry(x_t, x_0, now, down)
        return x_s + self.s_noise * sigma_up * noise(x_t, now, to) if sigma_up else x_s
