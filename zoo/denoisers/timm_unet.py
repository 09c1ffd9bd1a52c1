"""A UNet whose way down is any of timm's encoders; stem, conditioning and way up are ours.

    conv_in -> stem: a residual block at every reduction above the encoder's first
    -> encoder (timm): a map at each of its reductions, which time and class scale and shift
    -> residual block, attention, residual block
    -> per map, deepest first: enlarge to the map's size, residual blocks on [h, map]
    -> norm, silu, conv_out

timm's blocks have no second input. So time and class enter before the encoder, in the stem that feeds it, and after
it, on each map (Perez et al. 2018) and in every block of the way up (Dhariwal & Nichol 2021, eq. 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers import timm_features as timm_parts
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.conditions import FiLM, TimeAndClass, norm_for
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.levels import Section
from zoo.layers.resampling import ConvDownsample, pad_to_multiple, padded_size
from zoo.layers.residual import AttentionBlock, ResidualBlock

_LEAST_SIDE = 4
"""Of the deepest map, when the number of levels is left open."""


class UpStep(nn.Module):
    """One map of the way up: enlarge h to its size, then residual blocks on both together.

    Args:
        below: channels of h.
        skip: channels of the map.
        channels: of the result.
        blocks: makes a residual block of so many channels from so many.
        count: how many of them.
        enlarge: whether h is smaller than the map.
    """

    def __init__(
        self, below: int, skip: int, channels: int, blocks: partial[ResidualBlock], count: int, *, enlarge: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(below, below, kernel_size=3, padding=1) if enlarge else None
        self.block = nn.ModuleList([blocks(channels if i else below + skip, channels) for i in range(count)])

    def forward(self, h: Tensor, skip: Tensor, time: Tensor | Ahead) -> Tensor:
        """h: (B, below, h, w), skip: (B, C, H, W), time: (B, time_width), or its projections -> (B, channels, H, W)."""
        if self.conv is not None:
            # to its size, not by a factor: timm's encoders round odd sides up
            h = self.conv(F.interpolate(h, size=skip.shape[2:], mode="nearest"))
        h = torch.cat([h, skip], dim=1)
        for block in self.block:
            h = block(h, time)
        return h


class TimmUNet(nn.Module):
    """A UNet around a timm encoder: `forward(x, t, labels=...)`.

    Args:
        encoder: timm's name of a model that gives maps at several scales, such as resnet18, convnext_tiny,
            efficientnet_b0 or swin_tiny_patch4_window7_224; `zoo list backbones` says which do.
        pretrained: start from timm's weights, which are fetched when a model is first built. A file that is saved
            here holds them, and loading it fetches nothing. Needs feed = "image".
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        base_channels: width at full resolution; the conditioning vector is four times as wide.
        decoder_channels: width of the way up at each map, full resolution first; None for base_channels times 1, 2,
            4, 4, ... by the map's reduction.
        blocks_per_level: residual blocks of the way up at each map.
        levels: maps that are taken from the encoder, shallow first; None for as many as leave the deepest at least 4
            pixels a side at ``resolution``.
        stem_stride: stride of the encoder's first strided convolution, a divisor of its own: 1 keeps twice or four
            times the detail in every map, for as much more work. None for the encoder's own.
        feed: what the encoder is given: the stem's map, which knows time and class, or the noisy image alone, which
            is what pretrained weights expect.
        norm: "group" makes the encoder's batch norms group norms, because the statistics that a batch norm keeps for
            sampling depend on the noise level. Weights and biases of pretrained ones stay, their statistics go: such
            an encoder has to be trained on. "keep" leaves them. Other norms always stay.
        resolution: side of the images the network is meant for, or (height, width). It decides ``levels``, and an
            encoder that is built for one size is built for this one; others take any size.
        dropout: probability of dropping a value before the second convolution of our blocks, in training.
        classes: number of classes of a class-conditional network; None for an unconditional one.

    Raises:
        ArgumentValueError: when a value makes no sense.
        BackboneError: when timm has no such model, or it cannot be the encoder at this resolution; the message says
            why, and what fits.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "encoder": "test_resnet",
        "base_channels": 8,
        "blocks_per_level": 1,
        "levels": 2,
        "resolution": 16,
        "classes": 3,
    }

    def __init__(
        self,
        *,
        encoder: str = "resnet18",
        pretrained: bool = False,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 64,
        decoder_channels: tuple[int, ...] | None = None,
        blocks_per_level: int = 2,
        levels: int | None = None,
        stem_stride: int | None = None,
        feed: Literal["stem", "image"] = "stem",
        norm: Literal["group", "keep"] = "group",
        resolution: int | tuple[int, int] = 32,
        dropout: float = 0.0,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "blocks_per_level": blocks_per_level,
            "classes": 1 if classes is None else classes,
        }
        for name, count in counts.items():
            if count < 1:
                raise ArgumentValueError(f"{name} must be at least 1, got {count}")
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
        if pretrained and feed != "image":
            raise ArgumentValueError(
                "pretrained weights were trained on images: set feed: image, or pretrained: false to feed the stem"
            )
        height, width = _sides(resolution)
        scales = timm_parts.scales(encoder).strided(stem_stride)
        levels = _levels(encoder, scales, levels, min(height, width))
        reductions = scales.reductions[:levels]

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.blocks_per_level = blocks_per_level
        self.name, self.feed, self.fixed = encoder, feed, scales.fixed
        # a full-resolution map, and one at each halving above the encoder's first
        own = [2**i for i in range(reductions[0].bit_length()) if 2**i < reductions[0]] or [1]
        self.reductions = (*own, *reductions)
        widths = _widths(decoder_channels, base_channels, self.reductions)
        time_width = 4 * base_channels
        block = partial(ResidualBlock, time_width=time_width, norm=norm_for, dropout=dropout, scale_shift=True)

        self.temb = TimeAndClass(base_channels, time_width, classes)
        self.conv_in = nn.Conv2d(in_channels, base_channels, kernel_size=3, padding=1)
        self.stem, self.halve = nn.ModuleList(), nn.ModuleList()
        for i in range(len(own)):
            self.stem.append(block(widths[max(i - 1, 0)] if i else base_channels, widths[i]))
            if i:
                self.halve.append(ConvDownsample(widths[i - 1]))
        self.encoder, self.factor = _encoder(
            encoder,
            (height, width),
            # some divide their maps further than the last one that is taken, into windows for instance
            factors=(reductions[-1], scales.reductions[-1]),
            in_channels=in_channels if feed == "image" else widths[0],
            levels=levels,
            stem_stride=stem_stride,
            pretrained=pretrained,
            keep_norms=norm == "keep",
        )
        self.built_for = (padded_size(height, self.factor), padded_size(width, self.factor))
        taken = widths[len(own) :]
        self.film = nn.ModuleList(
            [FiLM(channels, ours, time_width) for channels, ours in zip(scales.channels, taken, strict=False)]
        )
        self.mid = nn.ModuleList([block(widths[-1], widths[-1]), block(widths[-1], widths[-1])])
        self.mid_attn = AttentionBlock(widths[-1], norm=norm_for)
        below = [*widths[1:], widths[-1]]
        smaller = [*(a < b for a, b in pairwise(self.reductions)), False]
        self.up = nn.ModuleList(
            [
                UpStep(below[i], widths[i], widths[i], block, blocks_per_level, enlarge=smaller[i])
                for i in range(len(widths))
            ]
        )
        self.norm_out = norm_for(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)
        self.widths = widths
        self._time_widths = number(self, TimeProjection)

    def prepare_times(self, times: Tensor, *, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Every block's projection of time and class, a row for each of (R,) times: (R, sum of widths)."""
        return {"time": all_ahead(self, TimeProjection, self._time(times, labels, self.conv_in.weight.dtype))}

    def _time(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The vector of time and class, through the silu: (B, time_width)."""
        return F.silu(self.temb(t, labels, dtype))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that the deepest map's reduction does not divide is padded on the right or at the bottom (mirrored where
        it is long enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional.
            labels: (B,) classes 0..classes-1, -1 for no class; None for no class at all.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape, or the encoder cannot take images of this size.
            ArgumentValueError: when a network without classes is given labels, or a label is not a class.
        """
        check_images("TimmUNet", x, t, self.in_channels)
        check_labels("TimmUNet", labels, len(x), self.classes)
        height, width = x.shape[2:]
        time: Tensor | Ahead
        if prepared is None:
            time = self._time(t.expand(len(x)), labels, x.dtype)
        else:
            time = apart(prepared["time"], self._time_widths)
        x = pad_to_multiple(x, self.factor)
        h = self.stem[0](self.conv_in(x), time)
        skips = [h]
        for halve, block in zip(self.halve, self.stem[1:], strict=True):
            skips.append(block(halve(skips[-1]), time))
        maps = self._encoded(x if self.feed == "image" else h, (height, width))
        skips += [film(one, time) for film, one in zip(self.film, maps, strict=True)]
        h = self.mid[1](self.mid_attn(self.mid[0](skips[-1], time)), time)
        for up in reversed(self.up):
            h = up(h, skips.pop(), time)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out[..., :height, :width]

    def _encoded(self, h: Tensor, size: tuple[int, int]) -> list[Tensor]:
        """The encoder's maps of h: (B, C, H, W), which belongs to images of ``size``."""
        if self.fixed and h.shape[2:] != self.built_for:
            raise ShapeError(
                f"{self.name} is built for images of {_by(self.built_for)}, got {_by(size)}; "
                f"build it with resolution={list(size)}, or take an encoder that is not bound to a size"
            )
        if h.shape[2:] == self.built_for:
            return self.encoder(h)  # type: ignore[no-any-return]
        try:
            return self.encoder(h)  # type: ignore[no-any-return]
        except (RuntimeError, AssertionError, ValueError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise ShapeError(
                f"{self.name} cannot take images of {_by(size)} ({timm_parts.one_line(error)}); sides "
                f"that are multiples of {self.factor} and not below {min(self.built_for)} fit"
            ) from error

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        height, width = padded_size(height, self.factor), padded_size(width, self.factor)
        sizes = [(height // reduction, width // reduction) for reduction in self.reductions]
        own = len(self.stem)
        rows = [
            Section("in", ("temb", "conv_in"), sizes[0], self.conv_in.out_channels),
            Section("stem", ("stem", "halve"), sizes[0], self.widths[0], blocks=own),
            Section(f"encoder {self.name}", ("encoder",), sizes[own]),
            Section("conditioning of the maps", ("film",)),
            Section("middle", ("mid", "mid_attn"), sizes[-1], self.widths[-1], blocks=2, attention=1, heads=1),
        ]
        for i in reversed(range(len(sizes))):
            rows.append(
                Section(
                    f"up to / {self.reductions[i]}",
                    (f"up.{i}",),
                    sizes[i],
                    self.widths[i],
                    blocks=self.blocks_per_level,
                )
            )
        rows.append(Section("out", ("norm_out", "conv_out"), sizes[0], self.out_channels))
        return rows


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    if min(sides) < 1:
        raise ArgumentValueError(f"resolution must be a side >= 1 or a (height, width) of them, got {resolution}")
    return sides


def _levels(name: str, scales: timm_parts.Scales, wanted: int | None, side: int) -> int:
    """How many of an encoder's maps are taken."""
    most = len(scales.reductions)
    if wanted is None:
        return max(1, sum(side // reduction >= _LEAST_SIDE for reduction in scales.reductions))
    if not 1 <= wanted <= most:
        raise ArgumentValueError(f"levels must be 1 to {most}, the number of maps that {name} gives, got {wanted}")
    return wanted


def _encoder(name: str, size: tuple[int, int], *, factors: tuple[int, int], **arguments: Any) -> tuple[nn.Module, int]:
    """An encoder for pictures of this size, and what their sides have to be padded to a multiple of.

    Raises:
        BackboneError: of the first factor, when none will do.
    """
    refused: timm_parts.BackboneError | None = None
    for factor in dict.fromkeys(factors):
        padded = (padded_size(size[0], factor), padded_size(size[1], factor))
        try:
            return timm_parts.encoder(name, size=padded, **arguments), factor
        except timm_parts.BackboneError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _widths(given: tuple[int, ...] | None, base: int, reductions: tuple[int, ...]) -> list[int]:
    """Width of the way up at each map."""
    if given is None:
        return [base * min(4, reduction) for reduction in reductions]
    if len(given) != len(reductions) or min(given) < 1:
        shown = ", ".join(f"/{reduction}" for reduction in reductions)
        raise ArgumentValueError(
            f"decoder_channels needs {len(reductions)} widths of at least 1, one for each map ({shown}), "
            f"got {list(given)}"
        )
    return list(given)
