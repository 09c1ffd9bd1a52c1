"""Parts that the ADM UNet and the classifier that guides it share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.layers.ladder import DownLevel, Middle, UpLevel, block_inputs
from zoo.layers.norms import GroupNorm
from zoo.layers.resampling import ConvDownsample, PoolDownsample, Upsample
from zoo.layers.residual import AttentionBlock, ResidualBlock

Resample = Literal["conv", "residual", "plain"]
"""What halves and doubles maps: a convolution; a residual block; or the mean of 2x2 squares and nearest neighbour."""


class Embedding(nn.Module):
    """Time label and class -> the vector that every residual block is given, (B, 4 base_channels)."""

    def __init__(self, base_channels: int, classes: int | None = None) -> None:
        super().__init__()
        width = 4 * base_channels
        self.base_channels = base_channels
        self.dense = nn.ModuleList([nn.Linear(base_channels, width), nn.Linear(width, width)])
        self.label = nn.Embedding(classes, width) if classes is not None else None

    def forward(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """t: (B,) times, labels: (B,) classes or -1, which adds nothing -> (B, 4 base_channels), through the silu."""
        exact = torch.promote_types(dtype, torch.float32)
        waves = sinusoidal_embedding(t, self.base_channels, order="cos-sin", dtype=exact).to(dtype)
        time: Tensor = self.dense[1](F.silu(self.dense[0](waves)))
        if self.label is not None and labels is not None:
            time = time + self.label(labels.clamp(min=0)) * (labels >= 0)[:, None]
        return F.silu(time)


class Blocks:
    """Makes the levels of one network: all that they have in common is told once.

    Args:
        widths: channels of each level.
        attends: whether each level attends, after every block.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        base_channels: a quarter of the width of the embedding.
        resample: what halves and doubles.
        heads: heads of an attention layer.
        head_channels: width of a head, which decides on their number where it is given.
        scale_shift: whether the time scales and shifts the second norm's output.
        dropout: of the residual blocks.
        norm_groups: groups of the group norms.

    Raises:
        ArgumentValueError: a level that attends, or the middle, cannot be cut into such heads.
    """

    def __init__(
        self,
        widths: Sequence[int],
        attends: Sequence[bool],
        blocks_per_level: int,
        base_channels: int,
        *,
        resample: Resample,
        heads: int,
        head_channels: int | None,
        scale_shift: bool,
        dropout: float,
        norm_groups: int,
    ) -> None:
        self.widths, self.attends, self.blocks_per_level = widths, attends, blocks_per_level
        self.resample, self.heads, self.head_channels = resample, heads, head_channels
        self.norm = partial(GroupNorm, norm_groups, eps=1e-5)
        self.block = partial(
            ResidualBlock, time_width=4 * base_channels, norm=self.norm, dropout=dropout, scale_shift=scale_shift
        )
        self.check("heads" if head_channels is None else "head_channels", head_channels or heads)

    def check(self, name: str, count: int) -> None:
        """Every map that is attended to is a multiple of ``count`` wide.

        Raises:
            ArgumentValueError: it is not; the message calls the number by its name, and names the nearest ones.
        """
        places = [(f"level {i}", width) for i, width in enumerate(self.widths) if self.attends[i]]
        for place, width in [*places, ("the middle", self.widths[-1])]:
            if width % count:
                nearest = " or ".join(map(str, _nearest_divisors(width, count)))
                raise ArgumentValueError(
                    f"{name} = {count} does not divide the {width} channels of {place}; nearest: {nearest}"
                )

    def heads_of(self, level: int) -> int:
        """The heads of a level where it attends, and of the middle if it is the last."""
        return self.heads if self.head_channels is None else self.widths[level] // self.head_channels

    def down(self, level: int) -> DownLevel:
        """A level on the way down."""
        width = self.widths[level]
        inputs, _ = block_inputs(self.widths, self.widths[0], level, self.blocks_per_level)
        return DownLevel(
            [self._residual(channels, width) for channels in inputs],
            {j: self._attention(level) for j in range(len(inputs)) if self.attends[level]},
            self._halve(width) if level < len(self.widths) - 1 else None,
        )

    def middle(self) -> Middle:
        """What is between the two ways."""
        width = self.widths[-1]
        return Middle(self._residual(width, width), self._attention(len(self.widths) - 1), self._residual(width, width))

    def up(self, level: int, heads: int) -> UpLevel:
        """A level on the way up, of so many heads where no width of a head is given."""
        width = self.widths[level]
        _, inputs = block_inputs(self.widths, self.widths[0], level, self.blocks_per_level)
        return UpLevel(
            [self._residual(channels, width) for channels in inputs],
            {j: self._attention(level, heads) for j in range(len(inputs)) if self.attends[level]},
            self._double(width) if level else None,
        )

    def _residual(self, in_channels: int, out_channels: int, resample: nn.Module | None = None) -> ResidualBlock:
        """A block that begins as the identity (Dhariwal & Nichol 2021, app. A)."""
        block: ResidualBlock = self.block(in_channels, out_channels, resample=resample)
        return zeroed(block, block.conv2)

    def _attention(self, level: int, heads: int | None = None) -> AttentionBlock:
        """An attention layer that begins as the identity."""
        count = heads if heads is not None and self.head_channels is None else self.heads_of(level)
        block = AttentionBlock(self.widths[level], norm=self.norm, heads=count)
        return zeroed(block, block.proj_out)

    def _halve(self, width: int) -> nn.Module:
        if self.resample == "residual":
            return self._residual(width, width, PoolDownsample())
        return ConvDownsample(width, symmetric=True) if self.resample == "conv" else PoolDownsample()

    def _double(self, width: int) -> nn.Module:
        if self.resample == "residual":
            return self._residual(width, width, Upsample(width, with_conv=False))
        return Upsample(width, with_conv=self.resample == "conv")


def _nearest_divisors(number: int, wanted: int) -> list[int]:
    """The divisors of a number next to one that is none."""
    divisors = [count for count in range(1, number + 1) if number % count == 0]
    return [*[one for one in divisors if one < wanted][-1:], *[one for one in divisors if one > wanted][:1]]


M = TypeVar("M", bound=nn.Module)


def zeroed(module: M, last: nn.Conv2d) -> M:
    """The module, with its last convolution set to zero."""
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return module
