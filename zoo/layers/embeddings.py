"""Embeddings of scalars: the time label of a diffusion network."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def sinusoidal_embedding(
    t: Tensor,
    dim: int,
    *,
    shift: float = 0.0,
    order: Literal["sin-cos", "cos-sin"] = "sin-cos",
    max_period: float = 10_000.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Sines and cosines of t at geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    With half = dim // 2 the frequencies are max_period^(-i / (half - shift)), i = 0..half-1. An odd ``dim``
    gets one column of zeros on the right.

    Args:
        t: (B,) times, whole or fractional.
        dim: width of the embedding, at least 1.
        shift: 1 puts the last frequency at exactly 1 / max_period (DDPM), 0 just above it (ADM, DiT).
        order: which half comes first.
        max_period: the longest period, in units of 2 pi.
        dtype: of the arithmetic and of the result. Half precision cannot tell neighbouring times apart:
            compute in float32 and cast afterwards.

    Returns:
        (B, dim).
    """
    half = dim // 2
    # half == shift happens only where there is a single frequency, 1, whatever the divisor
    step = -math.log(max_period) / ((half - shift) or 1.0)
    frequencies = torch.exp(torch.arange(half, dtype=dtype, device=t.device) * step)
    angles = t.to(dtype)[:, None] * frequencies
    waves = (angles.sin(), angles.cos()) if order == "sin-cos" else (angles.cos(), angles.sin())
    embedding = torch.cat(waves, dim=1)
    return F.pad(embedding, (0, 1)) if dim % 2 else embedding
