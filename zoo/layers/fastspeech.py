"""The feed-forward transformer block of FastSpeech, as DiffSinger and diff-svc have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.attention import attend
from zoo.layers.frames import hide, odd


class SelfAttention(nn.Module):
    """Attention of all frames to all frames, without biases; q, k and v are stacked in one weight."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ArgumentValueError(f"heads must divide the {channels} channels, got {heads}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.out_proj = nn.Linear(channels, channels, bias=False)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        """x: (B, T, C), past: (B, 1, T) -> (B, T, C)."""
        q, k, v = F.linear(x, self.in_proj_weight).chunk(3, dim=-1)
        return self.out_proj(attend(q, k, v, heads=self.heads, past=past))  # type: ignore[no-any-return]


class ConvFeedForward(nn.Module):
    """A convolution over frames to 4 C channels, scaled by kernel_size^-0.5; gelu; back to C."""

    def __init__(self, channels: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        odd(kernel_size=kernel_size)
        self.ffn_1 = nn.Conv1d(channels, 4 * channels, kernel_size, padding=kernel_size // 2)
        self.ffn_2 = nn.Linear(4 * channels, channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.ffn_2.weight)
        nn.init.zeros_(self.ffn_2.bias)

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        """x: (B, T, C), past: (B, 1, T) -> (B, T, C)."""
        h = self.ffn_1(hide(x.transpose(1, 2), past)) * self.ffn_1.kernel_size[0] ** -0.5
        return self.ffn_2(self.dropout(F.gelu(h.transpose(1, 2))))  # type: ignore[no-any-return]


class _Operation(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, channels: int, heads: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.self_attn = SelfAttention(channels, heads)
        self.ffn = ConvFeedForward(channels, kernel_size, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Tensor | None) -> Tensor:
        x = x + self.dropout(self.self_attn(self.layer_norm1(x), past))
        return x + self.dropout(self.ffn(self.layer_norm2(x), past))  # type: ignore[no-any-return]


class FFTBlock(nn.Module):
    """One pre-norm block: self-attention, then a convolutional feed-forward part (Ren et al. 2019, sec. 3.1).

    Frames behind the end of an item change none of its frames; what they hold themselves is not defined.

    Args:
        channels: C, width of the block.
        heads: heads of the attention; divides C.
        kernel_size: of the convolution over frames; odd.
        dropout: probability of dropping a value of each branch, in training.

    Raises:
        ArgumentValueError: when heads do not divide the channels or the kernel is even.
    """

    def __init__(self, *, channels: int, heads: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        # the files have this level of names
        self.op = _Operation(channels, heads, kernel_size, dropout)

    def forward(self, x: Tensor, past: Tensor | None = None) -> Tensor:
        """x: (B, T, C), past: (B, 1, T) true behind the end of an item -> (B, T, C)."""
        return self.op(x, past)  # type: ignore[no-any-return]
