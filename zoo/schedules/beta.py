"""Discrete schedules given by their betas: alpha_bar_t = prod_{s <= t} (1 - beta_s), t = 0..T-1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from zoo.core.betas import alpha_bar_of, line
from zoo.core.schedule import ScheduleError, TableSchedule

Interpolation = Literal["log-nsr", "log-alpha"]


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
        super().__init__(alpha_bar_of(line(beta_start, beta_end, steps), zero_terminal_snr), interpolation)


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
        betas = line(math.sqrt(beta_start), math.sqrt(beta_end), steps) ** 2
        super().__init__(alpha_bar_of(betas, zero_terminal_snr), interpolation)


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
        betas = torch.sigmoid(line(-6, 6, steps)) * (beta_end - beta_start) + beta_start
        super().__init__(alpha_bar_of(betas, zero_terminal_snr), interpolation)


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
        super().__init__(alpha_bar_of(line(1e-4, max_beta, steps), False), interpolation)


class JSD(TableSchedule):
    """beta_t = 1 / (T - t): alpha_bar falls in equal steps, 1 - (t + 1) / T, to exactly 0 (Sohl-Dickstein 2015).

    Its end is pure noise and needs a v or x0 network, or a walk that starts below it.

    Args:
        steps: T, the number of trained steps.
        interpolation: what is linear between two whole times.
    """

    def __init__(self, *, steps: int = 1000, interpolation: Interpolation = "log-nsr") -> None:
        super().__init__(line(1, 0, steps + 1)[1:], interpolation)


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
            table = alpha_bar_of(line(1e-4, 0.02, steps), False)
        else:
            table = torch.tensor(list(alphas_cumprod), dtype=torch.float64)
        super().__init__(table, interpolation)

    def tensors(self) -> dict[str, Tensor]:
        return {"alphas_cumprod": self.alpha_bar}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the table from a checkpoint."""
        TableSchedule.__init__(self, tensors["alphas_cumprod"], self.interpolation)
