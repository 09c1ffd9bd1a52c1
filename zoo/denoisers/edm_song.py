"""DDPM++ and NCSN++ as EDM builds them: SongUNet (Song et al. 2021, app. H; Karras et al. 2022, app. F.2).

The UNet of DDPM with residual blocks that halve and double, sums scaled by sqrt(1/2), one attention on the way up at
the end of a level, and, for NCSN++, the image itself beside the maps: halved again and again on the way down, where it
is added to the maps, or put together on the way up from what every level says of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.edm import (
    Embedding,
    FourierEmbedding,
    SinusoidalEmbedding,
    check_conditions,
    check_counts,
    check_dropout,
    group_norm,
    widths_of,
)
from zoo.layers.image_skips import InputSkip, OutputSkip
from zoo.layers.inputs import check_images
from zoo.layers.ladder import DownLevel, Middle, UpLevel, block_inputs
from zoo.layers.levels import Section, attention_levels
from zoo.layers.resampling import FilterDownsample, FilterUpsample, pad_to_multiple, padded_size
from zoo.layers.residual import AttentionBlock, Norm, ResidualBlock

_HALF = math.sqrt(0.5)


class InputResidual(nn.Module):
    """Convolves and halves the image and merges it with the map: (h + conv(image)) / sqrt(2), which is the next image.

    Args:
        image_channels: of the image.
        channels: of the map.
        taps: of the filter.
    """

    def __init__(self, image_channels: int, channels: int, taps: tuple[float, ...]) -> None:
        super().__init__()
        # one pass: the convolution makes the border that the filter needs
        self.conv = nn.Conv2d(image_channels, channels, kernel_size=3, padding=1 + (len(taps) - 1) // 2)
        self.halve = FilterDownsample(taps, padded=False)

    def forward(self, h: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """h: (B, C, H, W), image: (B, C_i, 2H, 2W) -> the map twice, (B, C, H, W)."""
        h = (h + self.halve(self.conv(image))) * _HALF
        return h, h


class SongUNet(nn.Module):
    """EDM's version of DDPM++ and NCSN++: `forward(x, t, labels=..., augment=...)`.

    DDPM++ is the default. NCSN++ is embedding "fourier", encoder "residual", noise_mult 2 and resample_filter
    [1, 3, 3, 1].

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has.
        base_channels: width that channel_mult multiplies.
        channel_mult: width of each level as a multiple of base_channels; as many levels as entries.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        attention_resolutions: levels of these resolutions attend, after every block on the way down and after the last
            on the way up; the middle always does.
        resolution: side of the images the network is meant for, or (height, width), of which the longer counts. It
            only places the attention: images of any size can be denoised.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        augment_channels: how many numbers describe the augmentation of a training image; None for a network that is
            not told of any.
        embedding: of the noise label: sines and cosines at geometrically spaced or at random frequencies.
        time_mult: width of the vector that the blocks are given, as a multiple of base_channels.
        noise_mult: width of the noise label's embedding, as a multiple of base_channels.
        encoder: whether the image joins the maps on the way down, through a convolution of its halved self ("skip") or
            merged with each level's map ("residual").
        decoder: whether the output is that of level 0 alone, or the sum of what all levels say ("skip").
        resample_filter: taps of the filter that halves and doubles, an even number.

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
        "encoder": "residual",
        "decoder": "skip",
        "resample_filter": (1, 3, 3, 1),
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 128,
        channel_mult: tuple[int | float, ...] = (1, 2, 2, 2),
        blocks_per_level: int = 4,
        attention_resolutions: tuple[int, ...] = (16,),
        resolution: int | tuple[int, int] = 32,
        dropout: float = 0.1,
        classes: int | None = None,
        augment_channels: int | None = None,
        embedding: Literal["positional", "fourier"] = "positional",
        time_mult: int = 4,
        noise_mult: int = 1,
        encoder: Literal["standard", "skip", "residual"] = "standard",
        decoder: Literal["standard", "skip"] = "standard",
        resample_filter: tuple[float, ...] = (1.0, 1.0),
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
            noise_mult=noise_mult,
        )
        check_dropout(dropout)
        if len(resample_filter) < 2 or len(resample_filter) % 2 or not sum(resample_filter):
            raise ArgumentValueError(
                "resample_filter must be an even number of taps with a sum, such as [1, 1], got "
                f"{list(resample_filter)}"
            )
        widths = widths_of(base_channels, channel_mult)
        attends = attention_levels(attention_resolutions, resolution, len(widths))

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.blocks_per_level = blocks_per_level
        self.channel_mult, self.widths, self.attends = tuple(channel_mult), tuple(widths), tuple(attends)
        norm: Norm = partial(group_norm, eps=1e-6)
        block = partial(
            ResidualBlock, time_width=time_mult * base_channels, norm=norm, dropout=dropout, skip_scale=_HALF
        )
        attention = partial(AttentionBlock, norm=norm, skip_scale=_HALF)
        halve, double = partial(FilterDownsample, resample_filter), partial(FilterUpsample, resample_filter)

        waves_width = noise_mult * base_channels
        waves = (
            FourierEmbedding(waves_width)
            if embedding == "fourier"
            else SinusoidalEmbedding(waves_width, last_slowest=True)
        )
        self.temb = Embedding(
            waves,
            waves_width,
            time_mult * base_channels,
            classes=classes,
            augment_channels=augment_channels,
            label_first=True,
        )
        self.conv_in = nn.Conv2d(in_channels, base_channels, kernel_size=3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.input_skip, self.output_skip = nn.ModuleList(), nn.ModuleList()
        last, image_channels = len(widths) - 1, in_channels
        for i, width in enumerate(widths):
            down, up = block_inputs(widths, base_channels, i, blocks_per_level)
            self.down.append(
                DownLevel(
                    [block(channels, width) for channels in down],
                    {j: attention(width) for j in range(len(down)) if attends[i]},
                    block(width, width, resample=halve(), project=True) if i < last else None,
                )
            )
            self.up.append(
                UpLevel(
                    [block(channels, width) for channels in up],
                    {blocks_per_level: attention(width)} if attends[i] else {},
                    block(width, width, resample=double(), project=True) if i else None,
                )
            )
            if i < last and encoder == "skip":
                self.input_skip.append(InputSkip(image_channels, width, resample_filter))
            elif i < last and encoder == "residual":
                self.input_skip.append(InputResidual(image_channels, width, resample_filter))
                image_channels = width
            if i and decoder == "skip":
                self.output_skip.append(OutputSkip(width, out_channels, norm))
        self.mid = Middle(block(widths[-1], widths[-1]), attention(widths[-1]), block(widths[-1], widths[-1]))
        self.enlarge = double() if decoder == "skip" else None
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
        self._draw()
        self._time_widths = number(self, TimeProjection)

    def _draw(self) -> None:
        """The first weights: Xavier's, zero biases, and next to nothing wherever a branch ends."""
        ends = {self.conv_out} | {skip.conv for skip in self.output_skip if isinstance(skip, OutputSkip)}
        queries = set()
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                ends.add(module.conv2)
            elif isinstance(module, AttentionBlock):
                ends.add(module.proj_out)
                queries |= {module.q, module.k, module.v}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # q, k and v are drawn as the one layer with three times the outputs that they are in the paper's code
                gain = 1e-5 if module in ends else math.sqrt(0.2 / 2) if module in queries else 1.0
                nn.init.xavier_uniform_(module.weight, gain=gain)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

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
        check_images("SongUNet", x, t, self.in_channels)
        check_conditions("SongUNet", labels, augment, len(x), self.temb)
        height, width = x.shape[2:]
        time: Tensor | Ahead
        if prepared is None:
            time = self.temb(t.expand(len(x)), labels, augment, x.dtype)
        else:
            time = apart(prepared["time"], self._time_widths)
        image = pad_to_multiple(x, 2 ** (len(self.down) - 1))
        skips = [self.conv_in(image)]
        for i, level in enumerate(self.down):
            skips += level(skips[-1], time)
            if i < len(self.input_skip):
                skips[-1], image = self.input_skip[i](skips[-1], image)
        h = self.mid(skips[-1], time)
        below: Tensor | None = None
        for i, level in reversed(list(enumerate(self.up))):
            kept: list[Tensor] = []
            h = level(h, skips, time, kept=kept)
            if i and self.enlarge is not None:
                said = self.output_skip[i - 1](kept[0])
                below = self.enlarge(said if below is None else said + below)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        out = out if below is None else out + below
        return out[..., :height, :width]

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        factor = 2 ** (len(self.down) - 1)
        height, width = padded_size(height, factor), padded_size(width, factor)
        sizes = [(height // 2**i, width // 2**i) for i in range(len(self.down))]
        rows = [Section("in", ("temb", "conv_in"), sizes[0], self.conv_in.out_channels)]
        for i, channels in enumerate(self.widths):
            modules = [f"down.{i}", f"up.{i}"]
            modules += [f"input_skip.{i}"] if i < len(self.input_skip) else []
            modules += [f"output_skip.{i - 1}"] if i and self.output_skip else []
            attention = self.blocks_per_level + 1 if self.attends[i] else 0
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=tuple(modules),
                    resolution=sizes[i],
                    channels=channels,
                    mult=self.channel_mult[i],
                    blocks=2 * self.blocks_per_level + 1 + bool(i) + (i < len(self.widths) - 1),
                    attention=attention,
                    heads=1 if attention else 0,
                )
            )
        rows.append(Section("middle", ("mid",), sizes[-1], self.widths[-1], blocks=2, attention=1, heads=1))
        out = ("norm_out", "conv_out") if self.enlarge is None else ("norm_out", "conv_out", "enlarge")
        rows.append(Section("out", out, sizes[0], self.out_channels))
        return rows
