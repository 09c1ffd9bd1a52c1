"""alpha_bar tables from betas."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.schedule import ScheduleError


def line(start: float, end: float, steps: int) -> Tensor:
    """So many equally spaced numbers, both ends among them."""
    if steps < 1:
        raise ScheduleError(f"steps must be at least 1, got {steps}")
    return torch.linspace(start, end, steps, dtype=torch.float64)


def alpha_bar_of(betas: Tensor, zero_terminal_snr: bool) -> Tensor:
    """alpha_bar from betas.

    With zero_terminal_snr, sqrt(alpha_bar) is shifted and stretched so that the last entry is exactly 0 and the
    first is kept (Lin et al. 2024, algorithm 1).
    """
    if not ((betas > 0).all() and (betas < 1).all()):
        raise ScheduleError(f"betas must lie in (0, 1), got {float(betas.min()):g}..{float(betas.max()):g}")
    alpha_bar = torch.cumprod(1 - betas, 0)
    if zero_terminal_snr:
        if len(betas) < 2:
            raise ScheduleError("zero_terminal_snr needs at least 2 steps")
        alpha = alpha_bar.sqrt()
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        alpha_bar = alpha**2
    return alpha_bar


def capped(alpha_bar: Tensor, max_beta: float) -> Tensor:
    """beta_t = min(1 - alpha_bar((t + 1) / T) / alpha_bar(t / T), max_beta) of the T + 1 values of a function."""
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)
