"""Guidance: what is done to a prediction before a sampler sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.bound import Bound, ConditionError, Guidance, Mixed
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise


@dataclass(frozen=True, kw_only=True)
class CFG(Guidance):
    """Classifier-free guidance on the raw outputs: out = u + scale (c - u) (Ho & Salimans 2022, eq. 6).

    c is the output under the conditions, u without; both come from one forward of the doubled batch. The paper
    writes w for scale - 1. It starts from the raw outputs, so it stands first among several.

    Args:
        scale: 1 is no guidance, which skips the second half; 0 is unconditional.
        channels: guide the first so many channels only and take the others from c; None guides all.
    """

    scale: float = 2.0
    channels: int | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale:g}")
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        if self.scale == 1:
            return denoise
        if denoise is not model:
            raise ConditionError(
                "guidance: cfg works on the raw outputs and would undo what stands before it; put it first"
            )

        def mix(x_t: Tensor, at: GridPoint) -> Tensor:
            c, u = model.pair(x_t, at)
            # A learned variance is a property of the step, not of the class: it stays as it is
            means = c.shape[1] // 2 if model.parameterization.learned_variance else c.shape[1]
            count = means if self.channels is None else self.channels
            out = c.clone()
            out[:, :count] = u[:, :count] + self.scale * (c[:, :count] - u[:, :count])
            return out

        return Mixed(mix, model.parameterization)


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
