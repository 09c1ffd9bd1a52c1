"""Attention to a map and to a few learned tokens, full or linear, and the norm that goes with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.attention import attend

MEMORY = 4
"""Learned keys and values that every attention has beside those of the map."""


class RMSNorm(nn.Module):
    """sqrt(C) weight x / |x|, the length over the channels of each position (Zhang & Sennrich 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        # float16 has no 1e-12: zeros would be divided by zero
        eps = max(1e-12, torch.finfo(x.dtype).tiny)
        unit: Tensor = F.normalize(x, dim=1, eps=eps)
        return unit * self.weight[:, None, None] * math.sqrt(len(self.weight))


def attend_linearly(q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> Tensor:
    """Attention whose cost grows with the number of positions (Shen et al. 2021, eq. 6).

    out = softmax_d(q) / sqrt(d) (softmax_N(k)^T v) per head, d = C / heads: the keys are gathered into one (d, d)
    summary of the map, which every query reads.

    Args:
        q: (B, N, C) queries; head h owns the channels h * d to (h + 1) * d - 1.
        k: (B, M, C) keys.
        v: (B, M, C) values.
        heads: number of heads; divides C.

    Returns:
        (B, N, C).
    """
    split = (heads, q.shape[-1] // heads)
    q, k, v = (part.reshape(*part.shape[:2], *split).transpose(1, 2) for part in (q, k, v))  # (B, h, N, d)
    summary = k.softmax(dim=2).transpose(2, 3) @ v  # (B, h, d, d)
    return (q.softmax(dim=3) / math.sqrt(split[1]) @ summary).transpose(1, 2).flatten(2)


class MemoryAttention(nn.Module):
    """x + attention over the map and a few learned tokens.

    Args:
        channels: of the map.
        heads: number of heads.
        head_channels: width of each.
        full: softmax attention between all positions; else linear attention, whose output is normed once more.
    """

    def __init__(self, channels: int, heads: int, head_channels: int, *, full: bool) -> None:
        super().__init__()
        inner = heads * head_channels
        self.heads, self.full = heads, full
        self.norm = RMSNorm(channels)
        self.memory = nn.Parameter(torch.randn(2, MEMORY, inner))
        self.qkv = nn.Linear(channels, 3 * inner, bias=False)
        self.out = nn.Linear(inner, channels)
        self.norm_out = None if full else RMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> the same shape."""
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).chunk(3, dim=2)  # (B, N, heads * d)
        k, v = (
            torch.cat([ours.expand(len(x), -1, -1), theirs], dim=1)
            for ours, theirs in zip(self.memory, (k, v), strict=True)
        )
        mixed = (attend if self.full else attend_linearly)(q, k, v, heads=self.heads)
        h: Tensor = self.out(mixed).transpose(1, 2).reshape(x.shape)
        return x + (h if self.norm_out is None else self.norm_out(h))
