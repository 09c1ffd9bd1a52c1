"""Attention over positions: one call to the fused kernel serves every family."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor, *, heads: int = 1, past: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v per head, d = C / heads (Vaswani et al. 2017, eq. 1).

    Args:
        q: (B, N, C) queries; head h owns the channels h * d to (h + 1) * d - 1.
        k: (B, M, C) keys.
        v: (B, M, C) values.
        heads: number of heads; divides C.
        past: (B, 1, M), true at keys that nobody attends to, as behind the end of an item; None for none.

    Returns:
        (B, N, C).
    """
    split = (heads, q.shape[-1] // heads)
    q, k, v = (part.reshape(*part.shape[:2], *split).transpose(1, 2) for part in (q, k, v))  # (B, h, N, d)
    mask = None if past is None else ~past[:, None]  # (B, 1, 1, M)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class TokenConv(nn.Conv2d):
    """A 1x1 convolution applied to positions as tokens, (B, N, C_in) -> (B, N, C_out).

    The weight keeps the (C_out, C_in, 1, 1) layout that checkpoints of image networks have. Tokens, because
    the fused attention kernels want the channels of a position side by side in memory.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (B, N, C_in)."""
        return F.linear(tokens, self.weight.flatten(1), self.bias)
