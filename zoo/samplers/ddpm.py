"""DDPM: ancestral sampling (Ho et al. 2020, algorithm 2)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.grid import Step
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise, Noise, Sampler

Variance = Literal["fixed-small", "fixed-large", "learned", "learned-range", "learned-value"]


class VarianceError(ZooError, ValueError):
    """A learned variance was asked of a network that has none."""


@dataclass(frozen=True)
class DDPM(Sampler[tuple[()]]):
    """One draw from the Gaussian q(x_s | x_t, x_0), with x_0 as the network sees it.

    With a = alpha_t / alpha_s and beta = sigma_t^2 - a^2 sigma_s^2 over the steps that are kept:

        mean = alpha_s beta / sigma_t^2 x_0 + a sigma_s^2 / sigma_t^2 x_t       (eq. 7)
        beta_tilde = sigma_s^2 / sigma_t^2 beta                                  (eq. 7)
        x_s = mean + sqrt(variance) z,  no noise onto clean data

    Args:
        variance: "fixed-small" is beta_tilde and "fixed-large" beta (section 3.2). With the raw second half v of
            a network that learns it: "learned" is exp(v), "learned-value" v, and "learned-range" is
            exp(f log beta + (1 - f) log beta_tilde), f = (v + 1) / 2 (Nichol & Dhariwal 2021, eq. 15).
    """

    _: KW_ONLY
    variance: Variance = "fixed-small"
    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = True
    from_pure_noise: ClassVar[bool] = True
    reads_score: ClassVar[bool] = True

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: x_s is x_t
            return x_t, ()
        prediction = denoise(x_t, now)
        a = now.alpha / next.alpha
        beta = now.sigma**2 - a**2 * next.sigma**2
        beta_tilde = next.sigma**2 / now.sigma**2 * beta
        x_s = (next.alpha * beta / now.sigma**2) * prediction.x_0 + (a * next.sigma**2 / now.sigma**2) * x_t
        if beta_tilde <= 0:
            return x_s, ()
        variance = self._variance(prediction, beta, beta_tilde)
        if prediction.score is not None:
            x_s = x_s + variance * prediction.score
        return x_s + variance**0.5 * noise(x_t, now, next), ()

    def _variance(self, prediction: Prediction, beta: float, beta_tilde: float) -> float | Tensor:
        if self.variance == "fixed-small":
            return beta_tilde
        if self.variance == "fixed-large":
            return beta
        if prediction.var is None:
            raise VarianceError(
                f"ddpm: variance {self.variance!r} needs a network with learned_variance: true; "
                "use 'fixed-small' or 'fixed-large'"
            )
        if self.variance == "learned":
            return prediction.var.exp()
        if self.variance == "learned-value":
            return prediction.var
        f = (prediction.var + 1) / 2
        log_beta, log_beta_tilde = torch.tensor([beta, beta_tilde], dtype=torch.float64).log().tolist()
        log_variance: Tensor = f * log_beta + (1 - f) * log_beta_tilde
        return log_variance.exp()
