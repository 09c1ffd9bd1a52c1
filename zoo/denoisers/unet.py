"""The UNet of DDPM (Ho et al. 2020, appendix B).

    conv_in -> per level: (residual block, attention?) x n, halve
            -> residual block, attention, residual block
            -> per level, deepest first: (residual block on [h, skip], attention?) x (n + 1), double
            -> norm, silu, conv_out

Level i works at resolution / 2^i and is base_channels x channel_mult[i] wide. Every map made on the way down
is kept, and concatenated to the input of its mirror block on the way up. Parameters have the names of the
PyTorch port that most checkpoints of this network come from, so that these load as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import TimeProjection, all_ahead, apart, number
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.ladder import DownLevel, Middle, UpLevel, block_inputs
from zoo.layers.levels import Section, attention_levels, level_widths
from zoo.layers.norms import GroupNorm
from zoo.layers.resampling import ConvDownsample, PoolDownsample, Upsample, pad_to_multiple, padded_size
from zoo.layers.residual import AttentionBlock, Norm, ResidualBlock


class Embedding(nn.Module):
    """Time label and class -> the vector that every residual block is given, (B, 4 base_channels)."""

    def __init__(self, base_channels: int, classes: int | None) -> None:
        super().__init__()
        width = 4 * base_channels
        self.base_channels, self.classes = base_channels, classes
        self.dense = nn.ModuleList([nn.Linear(base_channels, width), nn.Linear(width, width)])
        # the last row is "no class"
        self.label = nn.Embedding(classes + 1, width) if classes is not None else None

    def forward(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """t: (B,) times, labels: (B,) classes or -1 -> (B, 4 base_channels), through the silu."""
        exact = torch.promote_types(dtype, torch.float32)
        time = sinusoidal_embedding(t, self.base_channels, shift=1.0, order="sin-cos", dtype=exact).to(dtype)
        time = self.dense[1](F.silu(self.dense[0](time)))
        if self.label is not None:
            index = t.new_full((), -1, dtype=torch.long) if labels is None else labels
            time = time + self.label(torch.where(index < 0, self.label.num_embeddings - 1, index))
        return F.silu(time)


class UNet(nn.Module):
    """The convolutional denoiser of DDPM: `forward(x, t, labels=...)`.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        base_channels: width that channel_mult multiplies; the time embedding is four times as wide.
        channel_mult: width of each level as a multiple of base_channels; as many levels as entries.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        attention_resolutions: levels of these resolutions attend; the middle always does.
        resolution: side of the images the network is meant for, or (height, width), of which the longer
            counts. Level i is at resolution / 2^i, rounded down. This only places the attention: images of
            any size can be denoised.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        resample_with_conv: halve by a strided convolution and convolve after doubling; else the mean of 2x2
            squares, and nearest neighbour.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        norm_groups: groups of the group norms; divides base_channels and the width of every level.
        norm_eps: added to the variance in the group norms.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it, and the nearest ones that do.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "base_channels": 8,
        "channel_mult": (1, 2),
        "blocks_per_level": 1,
        "attention_resolutions": (4,),
        "resolution": 8,
        "classes": 3,
        "norm_groups": 4,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 128,
        channel_mult: tuple[int | float, ...] = (1, 2, 2, 2),
        blocks_per_level: int = 2,
        attention_resolutions: tuple[int, ...] = (16,),
        resolution: int | tuple[int, int] = 32,
        dropout: float = 0.0,
        resample_with_conv: bool = True,
        classes: int | None = None,
        norm_groups: int = 32,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "blocks_per_level": blocks_per_level,
            "norm_groups": norm_groups,
            "classes": 1 if classes is None else classes,
        }
        for name, count in counts.items():
            if count < 1:
                raise ArgumentValueError(f"{name} must be at least 1, got {count}")
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
        widths = level_widths(base_channels, channel_mult, norm_groups)
        attends = attention_levels(attention_resolutions, resolution, len(widths))

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.blocks_per_level = blocks_per_level
        self.channel_mult, self.widths, self.attends = tuple(channel_mult), tuple(widths), tuple(attends)
        norm: Norm = partial(GroupNorm, norm_groups, eps=norm_eps)
        block = partial(ResidualBlock, time_width=4 * base_channels, norm=norm, dropout=dropout)

        self.temb = Embedding(base_channels, classes)
        self.conv_in = nn.Conv2d(in_channels, base_channels, kernel_size=3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        last = len(widths) - 1
        for i, width in enumerate(widths):
            down, up = block_inputs(widths, base_channels, i, blocks_per_level)
            halve = ConvDownsample(width) if resample_with_conv else PoolDownsample()
            self.down.append(
                DownLevel(
                    [block(channels, width) for channels in down],
                    {j: AttentionBlock(width, norm=norm) for j in range(len(down)) if attends[i]},
                    halve if i < last else None,
                )
            )
            self.up.append(
                UpLevel(
                    [block(channels, width) for channels in up],
                    {j: AttentionBlock(width, norm=norm) for j in range(len(up)) if attends[i]},
                    Upsample(width, with_conv=resample_with_conv) if i else None,
                )
            )
        self.mid = Middle(
            block(widths[-1], widths[-1]), AttentionBlock(widths[-1], norm=norm), block(widths[-1], widths[-1])
        )
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
        self._time_widths = number(self, TimeProjection)

    def prepare_times(self, times: Tensor, *, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Every block's projection of time and class, for (R,) times and (R,) labels: (R, sum of widths)."""
        return {"time": all_ahead(self, TimeProjection, self.temb(times, labels, self.conv_in.weight.dtype))}

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that 2^(levels - 1) does not divide is padded on the right or at the bottom (mirrored where it
        is long enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional. Its embedding is computed in float32
                whatever the dtype of the parameters, in float64 when they are.
            labels: (B,) classes 0..classes-1, -1 for no class; None for no class at all.
            prepared: what ``prepare_times`` made of t and labels, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when a network without classes is given labels, or a label (on the CPU, where
                looking costs nothing) is not a class.
        """
        check_images("UNet", x, t, self.in_channels)
        check_labels("UNet", labels, len(x), self.classes)
        height, width = x.shape[2:]
        if prepared is None:
            time = self.temb(t.expand(len(x)), labels, x.dtype)
        else:
            time = apart(prepared["time"], self._time_widths)
        h = self.conv_in(pad_to_multiple(x, 2 ** (len(self.down) - 1)))
        skips = [h]
        for level in self.down:
            skips += level(skips[-1], time)
        h = self.mid(skips[-1], time)
        for level in reversed(self.up):
            h = level(h, skips, time)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out[..., :height, :width]

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        factor = 2 ** (len(self.down) - 1)
        height, width = padded_size(height, factor), padded_size(width, factor)
        sizes = [(height // 2**i, width // 2**i) for i in range(len(self.down))]
        blocks = 2 * self.blocks_per_level + 1
        rows = [Section("in", ("temb", "conv_in"), sizes[0], self.conv_in.out_channels)]
        for i, channels in enumerate(self.widths):
            attention = blocks if self.attends[i] else 0
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=(f"down.{i}", f"up.{i}"),
                    resolution=sizes[i],
                    channels=channels,
                    mult=self.channel_mult[i],
                    blocks=blocks,
                    attention=attention,
                    heads=1 if attention else 0,
                )
            )
        rows.append(Section("middle", ("mid",), sizes[-1], self.widths[-1], blocks=2, attention=1, heads=1))
        rows.append(Section("out", ("norm_out", "conv_out"), sizes[0], self.out_channels))
        return rows
