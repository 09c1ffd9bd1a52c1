"""Ancestral steps: go further down than asked, then come up again with fresh noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Noise, Sampler


@dataclass(frozen=True, kw_only=True)
class Ancestral(Sampler[tuple[()]]):
    """A single-step rule that goes down to sigma_down, and up to sigma_s with noise; see :func:`split`.

    Args:
        eta: from 0, no noise, to 1, the reverse process; what lies above is cut at sigma_up = sigma_s.
        s_noise: factor of the noise, a little above 1 to make up for detail that networks lose.
    """

    eta: float = 1.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ValueError(f"eta must be at least 0, got {self.eta:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when eta > 0."""
        return self.eta > 0

    def raised(self, x: Tensor, sigma_up: float, x_t: Tensor, step: Step, noise: Noise) -> Tensor:
        """x + s_noise sigma_up z, for the step that began at x_t."""
        return x + self.s_noise * sigma_up * noise(x_t, step.now, step.next) if sigma_up else x


def split(now: GridPoint, next: GridPoint, eta: float) -> tuple[GridPoint, float]:
    """A step as one down to a point of less noise, and noise that comes up from there.

    sigma_up = sigma_s min(1, eta sqrt(1 - (alpha_t sigma_s / (alpha_s sigma_t))^2)), sigma_down^2 = sigma_s^2 -
    sigma_up^2: eta = 0 is the step without noise, eta = 1 has the variance of the reverse process (Song et al. 2021,
    eq. 16).

    Returns:
        The lower point (alpha_s, sigma_down), which keeps the time of ``next``, and sigma_up.
    """
    if not eta or not next.sigma or now[1:] == next[1:]:
        return next, 0.0
    ratio = now.alpha * next.sigma / (next.alpha * now.sigma)
    part = min(1.0, eta * math.sqrt(max(0.0, 1 - ratio**2)))
    return next._replace(sigma=next.sigma * math.sqrt(1 - part**2)), next.sigma * part


def carry(x_t: Tensor, x_0: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
    """The exact solution of the probability-flow ODE for a constant x_0 (DPM-Solver++-1).

    x_s = (sigma_s / sigma_t) x_t + (alpha_s - (sigma_s / sigma_t) alpha_t) x_0
    """
    if not now.sigma:
        raise MixError(
            Reason.RULE_AT_DATA,
            "predictions of the data lead nowhere from clean data (sigma = 0): start above it, or take ddim",
        )
    keep = next.sigma / now.sigma
    return keep * x_t + (next.alpha - keep * now.alpha) * x_0
