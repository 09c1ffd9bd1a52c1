"""Pitch as the networks of singing voices read it: log2 Hz without gaps, and numbered bins of the mel scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOWEST_HZ = 20.0
"""No voice is lower, and no pitch in log2 Hz is a number this large: that tells the two apart."""


def in_octaves(f0: Tensor) -> Tensor:
    """Pitch in log2 Hz, without gaps.

    Unvoiced frames lie on straight lines between their voiced neighbours; before the first and behind the last they
    hold its value. Without any voiced frame all are 0.

    Args:
        f0: (B, T), an item in Hz with 0 where it is unvoiced, or in log2 Hz, which is returned as it is.

    Returns:
        (B, T) log2 Hz, in the dtype of f0.
    """
    voiced = f0 > 0
    frames = f0.shape[-1]
    place = torch.arange(frames, device=f0.device).expand_as(f0)
    before = place.masked_fill(~voiced, -1).cummax(-1).values
    after = place.masked_fill(~voiced, frames).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=frames - 1)
    right = torch.where(after == frames, before, after).clamp(min=0)
    octaves = f0.double().clamp(min=1e-9).log2()
    part = (place - left) / (right - left).clamp(min=1)
    filled = torch.lerp(octaves.gather(-1, left), octaves.gather(-1, right), part.double())
    filled = filled.where(voiced.any(-1, keepdim=True), 0.0)
    return filled.to(f0.dtype).where(is_hertz(f0), f0)


def in_hertz(f0: Tensor) -> Tensor:
    """(B, T) in Hz, from Hz or log2 Hz; gaps stay."""
    return f0.where(is_hertz(f0), f0.exp2())


def is_hertz(f0: Tensor) -> Tensor:
    """Which items of (B, T) are in Hz: (B, 1)."""
    return (f0 > LOWEST_HZ).any(-1, keepdim=True) | (f0 == 0).all(-1, keepdim=True)


def coarse_pitch(f0: Tensor, *, f0_min: float, f0_max: float, bins: int) -> Tensor:
    """The bin of a pitch among bins - 1 of equal width on the mel scale, 1127 ln(1 + f / 700).

    Args:
        f0: (B, T) in Hz; 0 and all that is below f0_min go to bin 1.
        f0_min: Hz, the middle of bin 1.
        f0_max: Hz, the middle of bin ``bins - 1``, which takes all above.
        bins: one more than there are; bin 0 is for padding.

    Returns:
        (B, T) int64, 1..bins - 1.
    """
    low, high = _mel(f0_min), _mel(f0_max)
    # The order of operations, in float32, decides which bin a pitch on an edge falls into
    mel = 1127 * (1 + f0 / 700).log()
    scaled = torch.where(mel > 0, (mel - low) * (bins - 2) / (high - low) + 1, mel)
    return (scaled.clamp(1, bins - 1) + 0.5).floor().long()


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)
