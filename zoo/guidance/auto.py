"""Autoguidance: away from what a worse version of the same model would have said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo.core.bound import Bound, Guidance
from zoo.core.diffusion import Diffusion
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise
from zoo.loading import load


@dataclass(frozen=True, kw_only=True)
class AutoGuidance(Guidance):
    """x_0 = weak + scale (strong - weak), and eps alike (Karras et al. 2024, eq. 3).

    The weak model was trained for a shorter time, or is smaller; it sees the same conditions. It may have another
    parameterization and another schedule: it is asked at the same noise-to-signal ratio.

    Args:
        model: file of the weak model, or the model itself.
        scale: 1 is no guidance.
    """

    model: str | Diffusion
    scale: float = 2.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale:g}")

    @cached_property
    def _weak(self) -> Diffusion:
        """Read once, however many parts a batch has."""
        weak: Diffusion = load(self.model) if isinstance(self.model, str) else self.model
        return weak

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        if self.scale == 1:
            return denoise
        weak = self._weak
        asked = weak.eval().bind(**model.cond)

        def guide(x_t: Tensor, at: GridPoint, /) -> Prediction:
            there = _matching(weak, at)
            # the same data and noise, on the weak model's own path
            bad = asked((there.alpha / at.alpha if at.alpha else there.sigma / at.sigma) * x_t, there)
            good = denoise(x_t, at)
            return Prediction(
                lambda: bad.x_0 + self.scale * (good.x_0 - bad.x_0),
                lambda: bad.eps + self.scale * (good.eps - bad.eps),
                good.var,
                good.score,
            )

        return guide


def _matching(weak: Diffusion, at: GridPoint) -> GridPoint:
    """The point of the weak model's schedule with the same noise-to-signal ratio."""
    t = weak.schedule.inverse(torch.tensor(at.nsr, dtype=torch.float64))
    alpha, sigma = weak.schedule(t)
    return GridPoint(float(t), float(alpha), float(sigma))
