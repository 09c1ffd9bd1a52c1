"""Bounds of the data that a prediction is held to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.bound import Bound, Guidance
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise


def _with_x_0(raw: Prediction, x_0: Tensor, x_t: Tensor, at: GridPoint, recompute_eps: bool) -> Prediction:
    """A prediction with another x_0, and with the eps that follows from it or the old one."""
    if recompute_eps and at.sigma:
        return Prediction(lambda: x_0, lambda: (x_t - at.alpha * x_0) / at.sigma, raw.var, raw.score)
    return Prediction(lambda: x_0, lambda: raw.eps, raw.var, raw.score)


@dataclass(frozen=True, kw_only=True)
class Clip(Guidance):
    """x_0 clamped to the range of the data, as DDPM's code does for images.

    Args:
        low: the least value.
        high: the greatest.
        recompute_eps: whether eps follows the clamped x_0 (guided-diffusion) or stays the network's (diffusers'
            DDIM).
    """

    low: float = -1.0
    high: float = 1.0
    recompute_eps: bool = True

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"clip needs low < high, got {self.low:g} and {self.high:g}")

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        def clipped(x_t: Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            return _with_x_0(raw, raw.x_0.clamp(self.low, self.high), x_t, at, self.recompute_eps)

        return clipped


@dataclass(frozen=True, kw_only=True)
class Threshold(Guidance):
    """Dynamic thresholding: q = max(1, quantile_p |x_0|) per sample, x_0 clamped to [-q, q] and divided by q.

    Saharia et al. 2022, section 2.3; for pixels only.

    Args:
        quantile: p.
        max_value: upper limit of q; None for none.
        recompute_eps: whether eps follows the changed x_0 or stays the network's.
    """

    quantile: float = 0.995
    max_value: float | None = None
    recompute_eps: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.quantile <= 1:
            raise ValueError(f"quantile must lie in (0, 1], got {self.quantile:g}")
        if self.max_value is not None and not self.max_value >= 1:
            raise ValueError(f"max_value must be at least 1, got {self.max_value:g}")

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        def thresholded(x_t: Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            # quantile() knows no half precision
            size = raw.x_0.flatten(1).abs().to(torch.promote_types(x_t.dtype, torch.float32))
            q = size.quantile(self.quantile, dim=1).clamp(1, self.max_value).to(x_t.dtype)
            q = q.reshape((-1,) + (1,) * (x_t.ndim - 1))
            return _with_x_0(raw, raw.x_0.clamp(-q, q) / q, x_t, at, self.recompute_eps)

        return thresholded
