"""Time and class as one vector, and maps that it scales and shifts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.ahead import Ahead, TimeProjection
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.layers.norms import GroupNorm

_MOST_GROUPS = 32
_LEAST_CHANNELS = 8


def norm_for(channels: int, eps: float = 1e-5) -> GroupNorm:
    """A group norm for any width: at most 32 groups, of at least 8 channels where the width allows it.

    Eight, because a group of one channel normalises the 1x1 map of a small picture's deepest level to zero.
    """
    most = max(1, min(_MOST_GROUPS, channels // _LEAST_CHANNELS))
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return GroupNorm(groups, channels, eps=eps)


class TimeAndClass(nn.Module):
    """Time label and class -> the vector that conditions a network, (B, width).

    Args:
        waves: width of the sinusoidal embedding of the time.
        width: of the vector.
        classes: number of classes; None for a network without.
    """

    def __init__(self, waves: int, width: int, classes: int | None) -> None:
        super().__init__()
        self.waves = waves
        self.dense = nn.ModuleList([nn.Linear(waves, width), nn.Linear(width, width)])
        # the last row is "no class"
        self.label = nn.Embedding(classes + 1, width) if classes is not None else None

    def forward(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """t: (B,) times, labels: (B,) classes or -1, or None -> (B, width), the sum of both."""
        time = self.time(t, dtype)
        return time if self.label is None else time + self.classes(t, labels)

    def time(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """t: (B,) times -> (B, width)."""
        exact = torch.promote_types(dtype, torch.float32)
        waves = sinusoidal_embedding(t, self.waves, order="cos-sin", dtype=exact).to(dtype)
        return self.dense[1](F.silu(self.dense[0](waves)))  # type: ignore[no-any-return]

    def classes(self, t: Tensor, labels: Tensor | None) -> Tensor:
        """labels: (B,) classes or -1, or None for as many as there are times -> (B, width)."""
        assert self.label is not None
        index = t.new_full(t.shape, -1, dtype=torch.long) if labels is None else labels
        return self.label(torch.where(index < 0, self.label.num_embeddings - 1, index))  # type: ignore[no-any-return]


class FiLM(nn.Module):
    """norm(h) (1 + scale) + shift, then a 1x1 convolution (Perez et al. 2018, arXiv 1709.07871, eq. 2).

    Args:
        in_channels: of the map.
        out_channels: of the result.
        time_width: width of the conditioning vector, which has gone through a silu.
    """

    def __init__(self, in_channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.norm = norm_for(in_channels)
        self.temb_proj = TimeProjection(time_width, 2 * in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, h: Tensor, time: Tensor | Ahead) -> Tensor:
        """h: (B, in_channels, H, W), time: (B, time_width), or its projections -> (B, out_channels, H, W)."""
        scale, shift = self.temb_proj(time)[:, :, None, None].chunk(2, dim=1)
        return self.conv(self.norm(h) * (1 + scale) + shift)  # type: ignore[no-any-return]
