"""The levels of a UNet: down, keeping every map; the middle; and up, giving the maps back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.layers.ahead import Ahead
from zoo.layers.residual import AttentionBlock, ResidualBlock

Attention = Mapping[int, AttentionBlock]
"""Attention by the number of the block that it follows."""


class DownLevel(nn.Module):
    """The blocks of one level on the way down, and what halves its last map (None on the deepest)."""

    def __init__(self, blocks: Sequence[ResidualBlock], attn: Attention, downsample: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.attn = nn.ModuleDict({str(i): attention for i, attention in attn.items()})
        self.downsample = downsample

    def forward(self, h: Tensor, time: Tensor | Ahead) -> list[Tensor]:
        """h: (B, C, H, W) -> all maps made here, in order; the last one goes on to the next level."""
        maps = []
        for i, block in enumerate(self.block):
            h = block(h, time)
            if str(i) in self.attn:
                h = self.attn[str(i)](h)
            maps.append(h)
        if self.downsample is not None:
            maps.append(_resized(self.downsample, h, time))
        return maps


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, block_1: ResidualBlock, attn_1: AttentionBlock | None, block_2: ResidualBlock) -> None:
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = block_1, attn_1, block_2

    def forward(self, h: Tensor, time: Tensor | Ahead) -> Tensor:
        """h: (B, C, H, W) -> the same shape."""
        h = self.block_1(h, time)
        if self.attn_1 is not None:
            h = self.attn_1(h)
        return self.block_2(h, time)  # type: ignore[no-any-return]


class UpLevel(nn.Module):
    """The blocks of one level on the way up, and what doubles its last map (None on level 0)."""

    def __init__(self, blocks: Sequence[ResidualBlock], attn: Attention, upsample: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.attn = nn.ModuleDict({str(i): attention for i, attention in attn.items()})
        self.upsample = upsample

    def forward(
        self, h: Tensor, skips: list[Tensor], time: Tensor | Ahead, *, kept: list[Tensor] | None = None
    ) -> Tensor:
        """h: (B, C, H, W); takes one map off the end of ``skips`` per block, and adds the last map to ``kept``."""
        for i, block in enumerate(self.block):
            h = block(torch.cat([h, skips.pop()], dim=1), time)
            if str(i) in self.attn:
                h = self.attn[str(i)](h)
        if kept is not None:
            kept.append(h)
        return h if self.upsample is None else _resized(self.upsample, h, time)


def _resized(resample: nn.Module, h: Tensor, time: Tensor | Ahead) -> Tensor:
    """Some networks halve and double in a residual block, which wants to know the time."""
    return resample(h, time) if isinstance(resample, ResidualBlock) else resample(h)  # type: ignore[no-any-return]


def block_inputs(widths: Sequence[int], stem: int, level: int, blocks: int) -> tuple[list[int], list[int]]:
    """Input widths of the blocks of a level, on the way down and on the way up.

    Args:
        widths: of all levels.
        stem: width of the first convolution's map.
        level: which of them, 0 at full resolution.
        blocks: residual blocks of a level on the way down; the way up has one more.

    Returns:
        ``blocks`` widths, and ``blocks + 1``: on the way up the maps come back in reverse, those of this level and at
        last what entered it, each beside the map from below or from the block before.
    """
    width = widths[level]
    shallower = widths[level - 1] if level else stem
    deeper = widths[min(level + 1, len(widths) - 1)]
    down = [shallower] + [width] * (blocks - 1)
    up = [deeper + width] + [2 * width] * (blocks - 1) + [width + shallower]
    return down, up
