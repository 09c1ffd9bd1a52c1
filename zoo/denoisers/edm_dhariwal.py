"""The UNet of ADM as EDM builds it: DhariwalUNet (Dhariwal & Nichol 2021, table 4; Karras et al. 2022, app. F.2).

The UNet of DDPM with residual blocks that halve and double, the time as scale and shift of the second norm, and heads
of 64 channels. Where all maps have 128 channels or more it is ADM's network; narrower maps are normed in fewer groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.edm import (
    Embedding,
    SinusoidalEmbedding,
    check_conditions,
    check_counts,
    check_dropout,
    group_norm,
    widths_of,
)
from zoo.layers.inputs import check_images
from zoo.layers.ladder import DownLevel, Middle, UpLevel, block_inputs
from zoo.layers.levels import Section, attention_levels
from zoo.layers.resampling import FilterDownsample, FilterUpsample, pad_to_multiple, padded_size
from zoo.layers.residual import AttentionBlock, Norm, ResidualBlock

_TAPS = (1.0, 1.0)


class DhariwalUNet(nn.Module):
    """EDM's version of ADM: `forward(x, t, labels=..., augment=...)`.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has.
        base_channels: width that channel_mult multiplies.
        channel_mult: width of each level as a multiple of base_channels; as many levels as entries.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        attention_resolutions: levels of these resolutions attend, after every block.
        resolution: side of the images the network is meant for, or (height, width), of which the longer counts. It
            only places the attention: images of any size can be denoised.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        augment_channels: how many numbers describe the augmentation of a training image; None for a network that is
            not told of any.
        time_mult: width of the vector that the blocks are given, as a multiple of base_channels.
        head_channels: a level has width // head_channels heads, and one that attends must be wide enough for one.
        mid_attention: whether the middle attends.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "base_channels": 8,
        "channel_mult": (1, 2),
        "blocks_per_level": 1,
        "attention_resolutions": (4,),
        "resolution": 8,
        "classes": 3,
        "head_channels": 8,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 192,
        channel_mult: tuple[int | float, ...] = (1, 2, 3, 4),
        blocks_per_level: int = 3,
        attention_resolutions: tuple[int, ...] = (32, 16, 8),
        resolution: int | tuple[int, int] = 64,
        dropout: float = 0.1,
        classes: int | None = None,
        augment_channels: int | None = None,
        time_mult: int = 4,
        head_channels: int = 64,
        mid_attention: bool = True,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        check_counts(
            in_channels=in_channels,
            out_channels=out_channels,
            base_channels=base_channels,
            blocks_per_level=blocks_per_level,
            classes=1 if classes is None else classes,
            augment_channels=1 if augment_channels is None else augment_channels,
            time_mult=time_mult,
            head_channels=head_channels,
        )
        check_dropout(dropout)
        widths = widths_of(base_channels, channel_mult)
        attends = attention_levels(attention_resolutions, resolution, len(widths))
        heads = [width // head_channels for width in widths]
        _check_heads(widths, attends, head_channels, mid_attention)

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.blocks_per_level = blocks_per_level
        self.channel_mult, self.widths, self.attends = tuple(channel_mult), tuple(widths), tuple(attends)
        self.heads = tuple(heads)
        norm: Norm = partial(group_norm, eps=1e-5)
        block = partial(
            ResidualBlock, time_width=time_mult * base_channels, norm=norm, dropout=dropout, scale_shift=True
        )
        attention = partial(AttentionBlock, norm=norm)

        self.temb = Embedding(
            SinusoidalEmbedding(base_channels, last_slowest=False),
            base_channels,
            time_mult * base_channels,
            classes=classes,
            augment_channels=augment_channels,
            label_first=False,
        )
        self.conv_in = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        last = len(widths) - 1
        for i, width in enumerate(widths):
            down, up = block_inputs(widths, widths[0], i, blocks_per_level)
            self.down.append(
                DownLevel(
                    [block(channels, width) for channels in down],
                    {j: attention(width, heads=heads[i]) for j in range(len(down)) if attends[i]},
                    block(width, width, resample=FilterDownsample(_TAPS)) if i < last else None,
                )
            )
            self.up.append(
                UpLevel(
                    [block(channels, width) for channels in up],
                    {j: attention(width, heads=heads[i]) for j in range(len(up)) if attends[i]},
                    block(width, width, resample=FilterUpsample(_TAPS)) if i else None,
                )
            )
        self.mid = Middle(
            block(widths[-1], widths[-1]),
            attention(widths[-1], heads=heads[-1]) if mid_attention else None,
            block(widths[-1], widths[-1]),
        )
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
        self._draw()
        self._time_widths = number(self, TimeProjection)

    def _draw(self) -> None:
        """The first weights: PyTorch's own, classes from N(0, 1), and zeros wherever a branch ends."""
        ends: list[nn.Module] = [self.conv_out]
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                ends.append(module.conv2)
            elif isinstance(module, AttentionBlock):
                ends.append(module.proj_out)
        ends += [self.temb.augment] if self.temb.augment is not None else []
        for end in ends:
            for weight in end.parameters():
                nn.init.zeros_(weight)
        if self.temb.label is not None:
            nn.init.normal_(self.temb.label.weight)

    def prepare_times(
        self, times: Tensor, *, labels: Tensor | None = None, augment: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Every block's projection of noise, class and augmentation, for (R,) times: (R, sum of widths)."""
        return {"time": all_ahead(self, TimeProjection, self.temb(times, labels, augment, self.conv_in.weight.dtype))}

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        augment: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that 2^(levels - 1) does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the noise label. Its embedding is computed in float32 whatever the dtype of the
                parameters, in float64 when they are.
            labels: (B,) classes 0..classes-1, -1 for no class; or (B, classes) vectors, one-hot or any other, zeros for
                no class; None for no class at all.
            augment: (B, augment_channels) what was done to the images; None, as zeros, for nothing.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when an input has another shape.
            ArgumentValueError: when a network is given a condition it was built without, or a label (on the CPU, where
                looking costs nothing) is not a class.
        """
        check_images("DhariwalUNet", x, t, self.in_channels)
        check_conditions("DhariwalUNet", labels, augment, len(x), self.temb)
        height, width = x.shape[2:]
        time: Tensor | Ahead
        if prepared is None:
            time = self.temb(t.expand(len(x)), labels, augment, x.dtype)
        else:
            time = apart(prepared["time"], self._time_widths)
        skips = [self.conv_in(pad_to_multiple(x, 2 ** (len(self.down) - 1)))]
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
        rows = [Section("in", ("temb", "conv_in"), sizes[0], self.conv_in.out_channels)]
        for i, channels in enumerate(self.widths):
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=(f"down.{i}", f"up.{i}"),
                    resolution=sizes[i],
                    channels=channels,
                    mult=self.channel_mult[i],
                    blocks=2 * self.blocks_per_level + 1 + bool(i) + (i < len(self.widths) - 1),
                    attention=(2 * self.blocks_per_level + 1) * self.attends[i],
                    heads=self.heads[i] * self.attends[i],
                )
            )
        attention = int(self.mid.attn_1 is not None)
        heads = self.heads[-1] * attention
        middle = Section("middle", ("mid",), sizes[-1], self.widths[-1], blocks=2, attention=attention, heads=heads)
        return [*rows, middle, Section("out", ("norm_out", "conv_out"), sizes[0], self.out_channels)]


def _check_heads(widths: list[int], attends: list[bool], head_channels: int, mid_attention: bool) -> None:
    """Every level that attends has a head; EDM's own code builds such a level without attention and does not say so."""
    for i, width in enumerate(widths):
        if attends[i] and width < head_channels:
            raise ArgumentValueError(
                f"attention_resolutions: level {i} is {width} channels wide and has no room for a head of "
                f"head_channels = {head_channels}; leave its resolution out, or set head_channels to {width} or less"
            )
    if mid_attention and widths[-1] < head_channels:
        raise ArgumentValueError(
            f"the middle is {widths[-1]} channels wide and has no room for a head of head_channels = {head_channels}; "
            f"set mid_attention: false, or head_channels to {widths[-1]} or less"
        )
