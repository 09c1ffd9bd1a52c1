"""Discrete schedules given by alpha_bar as a function of t / T, with capped betas."""

from __future__ import annotations

import math
from typing import Literal

import torch

from zoo.core.betas import alpha_bar_of, capped, line
from zoo.core.schedule import ScheduleError, TableSchedule

Interpolation = Literal["log-nsr", "log-alpha"]


class Cosine(TableSchedule):
    """The capped cosine of improved DDPM (Nichol & Dhariwal 2021, eq. 17), and of DiffSinger and diff-svc.

    f(u) = cos^2((u + s) / (1 + s) pi / 2); beta_t = min(1 - f((t + 1) / T) / f(t / T), max_beta).

    Args:
        steps: T, the number of trained steps.
        s: offset that keeps beta from vanishing near t = 0.
        max_beta: the cap.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        s: float = 0.008,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        u = line(0, 1, steps + 1)
        f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
        super().__init__(alpha_bar_of(capped(f, max_beta), zero_terminal_snr), interpolation)


class JabriSigmoid(TableSchedule):
    """alpha_bar falls along a sigmoid of t (Jabri et al. 2023, app. B); not the schedule whose beta is one.

    f(u) = sigmoid((start + u (end - start)) / tau); alpha_bar(u) = (f(1) - f(u)) / (f(1) - f(0));
    beta_t = min(1 - alpha_bar((t + 1) / T) / alpha_bar(t / T), max_beta).

    Args:
        steps: T, the number of trained steps.
        start: where the sigmoid is cut at the left.
        end: where it is cut at the right, above start.
        tau: temperature; smaller is steeper.
        max_beta: the cap.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        start: float = -3.0,
        end: float = 3.0,
        tau: float = 1.0,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        if not (start < end and tau > 0):
            raise ScheduleError(f"expected start < end and tau > 0, got start {start:g}, end {end:g}, tau {tau:g}")
        f = torch.sigmoid((start + line(0, 1, steps + 1) * (end - start)) / tau)
        alpha_bar = (f[-1] - f) / (f[-1] - f[0])
        super().__init__(alpha_bar_of(capped(alpha_bar, max_beta), zero_terminal_snr), interpolation)


class Laplace(TableSchedule):
    """log SNR by the quantiles of a Laplace distribution, dense around SNR = 1 (Hang et al. 2024, section 3.2).

    lambda(u) = -sign(1/2 - u) / 2 log(1 - 2 |1/2 - u| + 1e-6), snr = e^lambda, and alpha_bar = sqrt(snr / (1 + snr))
    as diffusers has it.

    Args:
        steps: T, the number of trained steps.
        max_beta: the cap.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        off = 0.5 - line(0, 1, steps + 1)
        snr = (-0.5 * torch.copysign(torch.ones_like(off), off) * (1 - 2 * off.abs() + 1e-6).log()).exp()
        f = (snr / (1 + snr)).sqrt()
        super().__init__(alpha_bar_of(capped(f, max_beta), zero_terminal_snr), interpolation)


class Exponential(TableSchedule):
    """alpha_bar(u) = e^(-rate u): the same beta at every step; "exp" in diffusers.

    Args:
        steps: T, the number of trained steps.
        rate: how far alpha_bar falls, in e-folds.
        max_beta: the cap.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        rate: float = 12.0,
        max_beta: float = 0.999,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        if not rate > 0:
            raise ScheduleError(f"rate must be positive, got {rate:g}")
        f = (-rate * line(0, 1, steps + 1)).exp()
        super().__init__(alpha_bar_of(capped(f, max_beta), zero_terminal_snr), interpolation)
