"""Discrete schedules given by their betas: alpha_bar_t = prod_{s <= t} (1 - beta_s), t = 0..T-1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from zoo.core.schedule import ScheduleError, TableSchedule

Interpolation = Literal["log-nsr", "log-alpha"]


def _line(start: float, end: float, steps: int) -> Tensor:
    if steps < 1:
        raise ScheduleError(f"steps must be at least 1, got {steps}")
    return torch.linspace(start, end, steps, dtype=torch.float64)


def _table(betas: Tensor, zero_terminal_snr: bool) -> Tensor:
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


class Linear(TableSchedule):
    """beta_t linear in t (Ho et al. 2020, section 4).

    Args:
        steps: T, the number of trained steps.
        beta_start: beta at t = 0.
        beta_end: beta at t = T - 1.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        super().__init__(_table(_line(beta_start, beta_end, steps), zero_terminal_snr), interpolation)


class ScaledLinear(TableSchedule):
    """sqrt(beta_t) linear in t: latent diffusion's schedule (Rombach et al. 2022), "quad" in DDIM's code.

    Args:
        steps: T, the number of trained steps.
        beta_start: beta at t = 0.
        beta_end: beta at t = T - 1.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        if beta_start <= 0 or beta_end <= 0:
            raise ScheduleError(f"betas must be positive, got {beta_start:g}..{beta_end:g}")
        betas = _line(math.sqrt(beta_start), math.sqrt(beta_end), steps) ** 2
        super().__init__(_table(betas, zero_terminal_snr), interpolation)


class Sigmoid(TableSchedule):
    """beta_t = beta_start + (beta_end - beta_start) sigmoid(u), u from -6 to 6 (GeoDiff; DDIM's code).

    Args:
        steps: T, the number of trained steps.
        beta_start: lower limit of beta.
        beta_end: upper limit of beta.
        zero_terminal_snr: rescale so that x_{T-1} is pure noise; needs a v or x0 network.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        zero_terminal_snr: bool = False,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        betas = torch.sigmoid(_line(-6, 6, steps)) * (beta_end - beta_start) + beta_start
        super().__init__(_table(betas, zero_terminal_snr), interpolation)


class DiffSinger(TableSchedule):
    """beta_t linear from 1e-4 to max_beta: DiffSinger and diff-svc.

    DiffSinger trains T = 100 with max_beta = 0.06: alpha_bar ends near 0.047, which is not pure noise, so its
    sampling starts from a noised auxiliary mel. diff-svc trains T = 1000 with 0.02.

    Args:
        steps: T, the number of trained steps.
        max_beta: beta at t = T - 1.
        interpolation: what is linear between two whole times.
    """

    def __init__(self, *, steps: int = 1000, max_beta: float = 0.02, interpolation: Interpolation = "log-nsr") -> None:
        super().__init__(_table(_line(1e-4, max_beta, steps), False), interpolation)


class Cosine(TableSchedule):
    """The capped cosine of improved DDPM (Nichol & Dhariwal 2021, eq. 17).

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
        u = _line(0, 1, steps + 1)
        f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp(max=max_beta)
        super().__init__(_table(betas, zero_terminal_snr), interpolation)


class Table(TableSchedule):
    """A schedule that is data: the alpha_bar table that came with somebody's weights.

    Args:
        alphas_cumprod: alpha_bar at t = 0..T-1; None leaves T entries to be filled from a checkpoint.
        steps: T, needed when alphas_cumprod is None.
        interpolation: what is linear between two whole times.
    """

    def __init__(
        self,
        *,
        alphas_cumprod: Sequence[float] | None = None,
        steps: int | None = None,
        interpolation: Interpolation = "log-nsr",
    ) -> None:
        if alphas_cumprod is None and steps is None:
            raise ScheduleError("table needs alphas_cumprod, or steps when a checkpoint brings the table")
        if alphas_cumprod is not None and steps is not None and len(alphas_cumprod) != steps:
            raise ScheduleError(f"table has {len(alphas_cumprod)} entries of alphas_cumprod but steps: {steps}")
        if alphas_cumprod is None:
            assert steps is not None
            table = _table(_line(1e-4, 0.02, steps), False)
        else:
            table = torch.tensor(list(alphas_cumprod), dtype=torch.float64)
        super().__init__(table, interpolation)

    def tensors(self) -> dict[str, Tensor]:
        return {"alphas_cumprod": self.alpha_bar}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the table from a checkpoint."""
        TableSchedule.__init__(self, tensors["alphas_cumprod"], self.interpolation)
