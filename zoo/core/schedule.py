"""Schedules: how much signal and how much noise there is at time t.

A schedule is the map ``t -> (alpha, sigma)`` of the Gaussian path

    x_t = alpha x_0 + sigma eps,    eps ~ N(0, I)

and nothing else. Time grows with noise, always: from ``t_clean`` (alpha = 1, sigma = 0, or as near
as the path comes) to ``t_max``. All arithmetic is float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.core.errors import ZooError


class ScheduleError(ZooError, ValueError):
    """A schedule was given numbers that are no schedule."""


class Marginal(NamedTuple):
    """The two scales of q(x_t | x_0) = N(alpha x_0, sigma^2 I), float64, of the shape of t."""

    alpha: Tensor
    sigma: Tensor

    @property
    def alpha_bar(self) -> Tensor:
        """alpha^2, the cumulative product of DDPM (variance preserving paths)."""
        return self.alpha**2

    @property
    def nsr(self) -> Tensor:
        """Noise-to-signal ratio sigma / alpha: what EDM and k-diffusion call sigma."""
        return self.sigma / self.alpha

    @property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio in power, (alpha / sigma)^2."""
        return (self.alpha / self.sigma) ** 2

    @property
    def log_snr(self) -> Tensor:
        """2 log(alpha / sigma)."""
        return 2 * (self.alpha.log() - self.sigma.log())

    def like(self, x: Tensor) -> Marginal:
        """The same scales, cast to x and shaped (B, 1, ...) so that they multiply x: (B, ...)."""
        shape = (-1,) + (1,) * (x.ndim - 1)
        return Marginal(*(scale.to(x.device, x.dtype).reshape(shape) for scale in self))


class Schedule(ABC):
    """``t -> Marginal``, with its inverse.

    A plain object, not a module: ``model.half()`` must never touch a schedule.

    Attributes:
        t_clean: the time of clean data.
        t_max: the time of the most noise.
        t_min: the time of the least noise that a network was trained on, at or above t_clean.
        steps: number of trained times 0..steps-1 of a discrete schedule, None for a continuous one.
    """

    t_clean: float
    t_max: float
    steps: int | None = None

    @property
    def t_min(self) -> float:
        return self.t_clean

    def shifted(self, t: Tensor) -> Tensor:
        """Where an equally spaced time goes, for schedules that stretch their grid; t itself otherwise."""
        return t

    @abstractmethod
    def __call__(self, t: Tensor) -> Marginal:
        """The scales at times t: any shape, any real number in [t_clean, t_max]."""

    @abstractmethod
    def inverse(self, nsr: Tensor) -> Tensor:
        """The times at which sigma / alpha equals ``nsr`` (0 and inf allowed), clamped to the ends."""

    def tensors(self) -> dict[str, Tensor]:
        """Tables that a checkpoint must carry because no formula gives them back; usually none."""
        return {}


class TableSchedule(Schedule):
    """A schedule trained on T discrete times: a table of alpha_bar.

    Times are -1 (clean), 0, ..., T-1. At a whole t the scales are exactly sqrt(alpha_bar[t]) and
    sqrt(1 - alpha_bar[t]). Between two whole times log(nsr), or log(alpha), is linear in t; where that is
    infinite at one end (clean data, zero terminal SNR) the angle atan(nsr) is linear instead.

    Args:
        alpha_bar: (T,) strictly falling from at most 1 to at least 0.
        interpolation: what is linear between two whole times.

    Raises:
        ScheduleError: when the table is empty, not finite, not falling, or leaves [0, 1].
    """

    t_clean = -1.0

    def __init__(self, alpha_bar: Tensor, interpolation: Literal["log-nsr", "log-alpha"] = "log-nsr") -> None:
        table = alpha_bar.detach().to("cpu", torch.float64)
        if table.ndim != 1 or len(table) == 0:
            raise ScheduleError(f"alpha_bar must be a non-empty list of numbers, got shape {tuple(table.shape)}")
        if not (table.isfinite().all() and table.max() <= 1 and table.min() >= 0 and (table.diff() < 0).all()):
            raise ScheduleError("alpha_bar must fall strictly and stay within [0, 1]")
        self.steps = len(table)
        self.t_max = float(self.steps - 1)
        self.interpolation = interpolation
        self.alpha_bar = table
        # Entry i belongs to time i - 1; entry 0 is clean data.
        self._alpha = torch.cat([torch.ones(1, dtype=torch.float64), table.sqrt()])
        self._sigma = torch.cat([torch.zeros(1, dtype=torch.float64), (1 - table).sqrt()])
        self._log_nsr = self._sigma.log() - self._alpha.log()
        self._log_alpha = self._alpha.log()
        self._angle = torch.atan2(self._sigma, self._alpha)

    @property
    def t_min(self) -> float:
        return 0.0

    def __call__(self, t: Tensor) -> Marginal:
        place = t.to("cpu", torch.float64).clamp(self.t_clean, self.t_max) + 1
        low = place.floor().long().clamp(max=len(self._alpha) - 2)
        part = place - low
        alpha, sigma = self._between(low, part)
        whole = (part == 0) | (part == 1)
        exact = low + (part == 1).long()
        alpha = torch.where(whole, self._alpha[exact], alpha)
        sigma = torch.where(whole, self._sigma[exact], sigma)
        return Marginal(alpha.to(t.device), sigma.to(t.device))

    def _between(self, low: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
        """The scales a fraction ``part`` of the way from table entry ``low`` to the next."""
        angle = torch.lerp(self._angle[low], self._angle[low + 1], part)
        open_ended = self._log_nsr[low].isinf() | self._log_nsr[low + 1].isinf()
        if self.interpolation == "log-nsr":
            # atan(exp(.)) keeps alpha and sigma accurate at both ends, where 1 / (1 + nsr^2) loses digits
            log_nsr = torch.lerp(self._log_nsr[low], self._log_nsr[low + 1], part)
            angle = torch.where(open_ended, angle, log_nsr.exp().atan())
            return angle.cos(), angle.sin()
        log_alpha = torch.lerp(self._log_alpha[low], self._log_alpha[low + 1], part)
        open_ended = self._log_alpha[low + 1].isinf()
        alpha = torch.where(open_ended, angle.cos(), log_alpha.exp())
        sigma = torch.where(open_ended, angle.sin(), (-torch.expm1(2 * log_alpha)).sqrt())
        return alpha, sigma

    def inverse(self, nsr: Tensor) -> Tensor:
        wanted = nsr.to("cpu", torch.float64)
        angle = wanted.atan()
        low = (torch.searchsorted(self._angle, angle, right=True) - 1).clamp(0, len(self._angle) - 2)
        by_angle = (angle - self._angle[low]) / (self._angle[low + 1] - self._angle[low])
        if self.interpolation == "log-nsr":
            scale, value = self._log_nsr, wanted.log()
        else:
            scale, value = self._log_alpha, angle.cos().log()
        part = (value - scale[low]) / (scale[low + 1] - scale[low])
        part = torch.where(scale[low].isinf() | scale[low + 1].isinf(), by_angle, part)
        t = low + part.clamp(0, 1) - 1
        return t.to(nsr.device)
