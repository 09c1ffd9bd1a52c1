"""Continuous schedules: alpha and sigma as formulas of a real time t."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from zoo.core.schedule import Marginal, Schedule, ScheduleError


def _ordered(low_name: str, low: float, high_name: str, high: float) -> None:
    if not 0 <= low < high:
        raise ScheduleError(f"need 0 <= {low_name} < {high_name}, got {low:g} and {high:g}")


class VP(Schedule):
    """The continuous linear schedule of score SDEs (Song et al. 2021, eq. 33).

    log alpha = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2, sigma = sqrt(1 - alpha^2), t in [0, 1].

    Args:
        beta_min: beta at t = 0.
        beta_max: beta at t = 1.
    """

    t_clean, t_max = 0.0, 1.0

    def __init__(self, *, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        _ordered("beta_min", beta_min, "beta_max", beta_max)
        self.beta_min, self.beta_max = beta_min, beta_max

    def __call__(self, t: Tensor) -> Marginal:
        t = t.double()
        log_alpha = -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2
        return Marginal(log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt())

    def inverse(self, nsr: Tensor) -> Tensor:
        # -2 log alpha = log(1 + nsr^2) = a t^2 + b t, solved in the form without cancellation
        a, b = (self.beta_max - self.beta_min) / 2, self.beta_min
        y = torch.log1p(nsr.double() ** 2)
        t = 2 * y / (b + (b * b + 4 * a * y).sqrt())
        # 0 / 0 at clean data where beta_min = 0, inf / inf at pure noise
        return t.where(y > 0, 0.0).where(y.isfinite(), 1.0).clamp(0, 1)


class SubVP(Schedule):
    """The sub-variance-preserving path: alpha as on ``vp``, sigma = 1 - alpha^2 (Song et al. 2021, eq. 29).

    Args:
        beta_min: beta at t = 0.
        beta_max: beta at t = 1.
    """

    t_clean, t_max = 0.0, 1.0

    def __init__(self, *, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        self._vp = VP(beta_min=beta_min, beta_max=beta_max)

    def __call__(self, t: Tensor) -> Marginal:
        alpha, sigma = self._vp(t)
        return Marginal(alpha, sigma**2)

    def inverse(self, nsr: Tensor) -> Tensor:
        # alpha^2 + nsr alpha - 1 = 0, solved in the form without cancellation, and the vp ratio that has this alpha
        half = nsr.double() / 2
        alpha = 1 / (half + (half**2 + 1).sqrt())
        sigma = (half * 2 * alpha).sqrt()
        return self._vp.inverse((sigma / alpha).where(half.isfinite(), math.inf))


class VPCosine(Schedule):
    """The cosine of the angle: alpha = cos(pi t / 2), sigma = sin(pi t / 2), t in [0, 1] (v-diffusion)."""

    t_clean, t_max = 0.0, 1.0

    def __init__(self) -> None:
        pass

    def __call__(self, t: Tensor) -> Marginal:
        # sin of the complement, so that alpha is exactly 0 at t = 1
        t = t.double()
        return Marginal((math.pi / 2 * (1 - t)).sin(), (math.pi / 2 * t).sin())

    def inverse(self, nsr: Tensor) -> Tensor:
        return nsr.double().atan() * (2 / math.pi)


class VE(Schedule):
    """The variance-exploding path: alpha = 1, sigma = sigma_min (sigma_max / sigma_min)^t, t in [0, 1].

    Song et al. 2021, eq. 31, with its clean end at t = -1 where sigma is 0: below t = 0 sigma falls linearly.

    Args:
        sigma_min: sigma at t = 0.
        sigma_max: sigma at t = 1.
    """

    t_clean, t_max = -1.0, 1.0

    def __init__(self, *, sigma_min: float = 0.01, sigma_max: float = 50.0) -> None:
        if sigma_min <= 0:
            raise ScheduleError(f"sigma_min must be positive, got {sigma_min:g}")
        _ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    @property
    def t_min(self) -> float:
        return 0.0

    def __call__(self, t: Tensor) -> Marginal:
        t = t.double()
        sigma = self.sigma_min * (self.sigma_max / self.sigma_min) ** t
        return Marginal(torch.ones_like(t), torch.where(t < 0, self.sigma_min * (1 + t), sigma))

    def inverse(self, nsr: Tensor) -> Tensor:
        nsr = nsr.double()
        t = (nsr / self.sigma_min).log() / math.log(self.sigma_max / self.sigma_min)
        return torch.where(nsr < self.sigma_min, nsr / self.sigma_min - 1, t).clamp(-1, 1)


class EDM(Schedule):
    """Time is the noise level itself: alpha = 1, sigma = t in [0, sigma_max] (Karras et al. 2022, table 1).

    Args:
        sigma_min: the least noise that a walk visits before its clean end.
        sigma_max: the noise that a walk starts from.
    """

    t_clean = 0.0

    def __init__(self, *, sigma_min: float = 0.002, sigma_max: float = 80.0) -> None:
        _ordered("sigma_min", sigma_min, "sigma_max", sigma_max)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.t_max = sigma_max

    @property
    def t_min(self) -> float:
        return self.sigma_min

    def __call__(self, t: Tensor) -> Marginal:
        t = t.double()
        return Marginal(torch.ones_like(t), t)

    def inverse(self, nsr: Tensor) -> Tensor:
        return nsr.double().clamp(0, self.t_max)


class Flow(Schedule):
    """The straight path of rectified flow: alpha = 1 - t, sigma = t, t in [0, 1] (Liu et al. 2023).

    Args:
        shift: k; equally spaced times are moved to k t / (1 + (k - 1) t), which adds log k to log(sigma / alpha)
            (Esser et al. 2024, eq. 23). The path itself does not change.
        tokens: positions of the network's map, which multiply k: a larger image needs more noise to be hidden.
        rule: "root" multiplies by sqrt(tokens / 256) (Esser et al. 2024, eq. 23), "exponential" by e^mu with mu on the
            line from 0.5 at 256 tokens to 1.15 at 4096 (FLUX, "dynamic shifting").
    """

    t_clean, t_max = 0.0, 1.0

    def __init__(
        self, *, shift: float = 1.0, tokens: int | None = None, rule: Literal["root", "exponential"] = "exponential"
    ) -> None:
        if not shift > 0:
            raise ScheduleError(f"shift must be positive, got {shift:g}")
        if tokens is not None and tokens < 1:
            raise ScheduleError(f"tokens must be at least 1, got {tokens}")
        self.shift = shift if tokens is None else shift * _resolution_shift(tokens, rule)

    def __call__(self, t: Tensor) -> Marginal:
        t = t.double()
        return Marginal(1 - t, t)

    def inverse(self, nsr: Tensor) -> Tensor:
        nsr = nsr.double()
        return torch.where(nsr.isinf(), 1.0, nsr / (1 + nsr))

    def shifted(self, t: Tensor) -> Tensor:
        return self.shift * t / (1 + (self.shift - 1) * t)


def _resolution_shift(tokens: int, rule: Literal["root", "exponential"]) -> float:
    if rule == "root":
        return math.sqrt(tokens / 256)
    return math.exp(0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256))
