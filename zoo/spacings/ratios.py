"""Spacings in noise: levels of sigma / alpha, and the times where the schedule has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from registry.values import shown
from zoo.core.refusals import Reason
from zoo.core.schedule import Schedule
from zoo.spacings.base import End, SpacingError, at_least_one, end_time, line


@dataclass(frozen=True, kw_only=True)
class LogSNR:
    """Equal steps in log(sigma / alpha), from the schedule's start to its least noise.

    log nsr = log min + u^rho (log max - log min), u from 1 to 0: "exponential" at rho = 1, else "polyexponential".
    DPM-Solver's uniform steps in lambda are the same.

    Args:
        rho: 1 for equal steps; larger ones are dense near the data.
        ramp: in place of u^rho, what it is at equal steps from the start, falling from 1 to 0, such as steps that were
            fitted to a model (Sabour et al. 2024); for other numbers of steps, linear in between.
        sigma_max: sigma / alpha at the start; None takes the schedule's.
        sigma_min: sigma / alpha of the last evaluation; None takes the schedule's least noise.
        end: where the last step goes.
    """

    rho: float = 1.0
    ramp: Sequence[float] | None = None
    sigma_max: float | None = None
    sigma_min: float | None = None
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        at_least_one(steps)
        if not self.rho > 0:
            raise SpacingError(f"rho must be positive, got {self.rho:g}")
        high, low = _noise_range(schedule, self.sigma_max, self.sigma_min)
        ramp = line(1, 0, steps) ** self.rho if self.ramp is None else self._fitted(self.ramp, steps)
        return _at_ratios(schedule, (low.log() + ramp * (high.log() - low.log())).exp(), self.end)

    def _fitted(self, ramp: Sequence[float], steps: int) -> Tensor:
        """(steps,) the given ramp, linear in between."""
        given = torch.tensor(list(ramp), dtype=torch.float64)
        if len(given) < 2 or (float(given[0]), float(given[-1])) != (1, 0) or not (given.diff() < 0).all():
            raise SpacingError(f"ramp must fall strictly from 1 to 0, got {shown(list(ramp))}")
        if self.rho != 1:
            raise SpacingError(f"give rho or ramp, not both; got rho {self.rho:g}")
        place = line(0, len(given) - 1, steps)
        left = place.floor().long().clamp(max=len(given) - 2)
        return torch.lerp(given[left], given[left + 1], place - left)


@dataclass(frozen=True, kw_only=True)
class Karras:
    """nsr = (max^(1/rho) + u (min^(1/rho) - max^(1/rho)))^rho, u from 0 to 1 (Karras et al. 2022, eq. 5).

    Args:
        rho: 7 puts most steps near the data, 1 spaces the noise equally.
        sigma_max: sigma / alpha at the start; None takes the schedule's.
        sigma_min: sigma / alpha of the last evaluation; None takes the schedule's least noise.
        end: where the last step goes.
    """

    rho: float = 7.0
    sigma_max: float | None = None
    sigma_min: float | None = None
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        at_least_one(steps)
        if not self.rho > 0:
            raise SpacingError(f"rho must be positive, got {self.rho:g}")
        high, low = _noise_range(schedule, self.sigma_max, self.sigma_min)
        ramp = line(float(high ** (1 / self.rho)), float(low ** (1 / self.rho)), steps)
        return _at_ratios(schedule, ramp**self.rho, self.end)


@dataclass(frozen=True, kw_only=True)
class Beta:
    """nsr = min + (max - min) q(1 - u), u from 0 to 1, with the quantiles q of a Beta distribution.

    With both shapes below 1 the steps are dense at both ends (Lee et al. 2024, section 4.2).

    Args:
        alpha: first shape of the distribution.
        beta: second shape.
        sigma_max: sigma / alpha at the start; None takes the schedule's.
        sigma_min: sigma / alpha of the last evaluation; None takes the schedule's least noise.
        end: where the last step goes.
    """

    alpha: float = 0.6
    beta: float = 0.6
    sigma_max: float | None = None
    sigma_min: float | None = None
    end: End = "clean"

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]:
        at_least_one(steps)
        if not (self.alpha > 0 and self.beta > 0):
            raise SpacingError(f"alpha and beta must be positive, got {self.alpha:g} and {self.beta:g}")
        high, low = _noise_range(schedule, self.sigma_max, self.sigma_min)
        share = [_beta_quantile(float(p), self.alpha, self.beta) for p in line(1, 0, steps)]
        return _at_ratios(schedule, low + (high - low) * torch.tensor(share, dtype=torch.float64), self.end)


def _beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p, by halving; p in 0..1."""
    low, high = 0.0, 1.0
    # below 1 / 2 halves reach the smallest floats, above it the neighbours of 1
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _beta_cdf(middle, a, b) < p else (low, middle)
    return 1.0 if p >= 1 else low if p > 0 else 0.0


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):  # where the fraction of the other tail converges faster
        return 1 - _beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    # evaluated from the tail: 100 terms are exact to rounding for shapes of the order of 1
    fraction = 1.0
    for m in range(100, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    return front / (1 - (a + b) * x / ((a + 1) * fraction))


def _noise_range(schedule: Schedule, sigma_max: float | None, sigma_min: float | None) -> tuple[Tensor, Tensor]:
    """The greatest and least sigma / alpha of a walk, both positive and finite."""
    ends = torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)
    most, least = schedule(ends).nsr.tolist()
    high = most if sigma_max is None else sigma_max
    low = least if sigma_min is None else sigma_min
    if not 0 < low < high < float("inf"):
        raise SpacingError(
            f"sigma / alpha must fall from a finite sigma_max to a positive sigma_min, got {high:g} and {low:g}; "
            "set sigma_max and sigma_min",
            Reason.FINITE_NOISE,
        )
    # A hair of slack: a number that was read off the schedule may be rounded
    if high > most * (1 + 1e-6):
        raise SpacingError(f"sigma_max: the schedule's sigma / alpha ends at {most:g}, got {high:g}")
    return torch.tensor(high, dtype=torch.float64), torch.tensor(low, dtype=torch.float64)


def _at_ratios(schedule: Schedule, nsr: Tensor, end: End) -> list[float]:
    return [*schedule.inverse(nsr).tolist(), end_time(schedule, end)]
