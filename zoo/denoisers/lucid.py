"""The UNet of lucidrains' denoising-diffusion-pytorch: linear attention, memory tokens, RMS norms, self-conditioning.

    stem 7x7 -> per level: block, block, attention, halve
             -> block, attention, block
             -> per level, deepest first: block on [h, skip], block on [h, skip], attention, double
             -> block on [h, stem], conv_out 1x1

Level i works at resolution / 2^i. On the way down it keeps the width that it is given and hands on a map of
base_channels x channel_mult[i]; on the way up it works at that width. What each block makes on the way down, after the
attention for the second, is concatenated to the input of its mirror on the way up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.layers.inputs import check_images
from zoo.layers.levels import Section
from zoo.layers.memory import MemoryAttention, RMSNorm
from zoo.layers.norms import GroupNorm
from zoo.layers.resampling import pad_to_multiple, padded_size

TimeEmbedding = Literal["sinusoidal", "learned", "random"]
T = TypeVar("T")


class Block(nn.Module):
    """conv, norm, scale and shift by the time, silu, dropout; conv, norm, silu; + input.

    Args:
        in_channels: of x.
        out_channels: of the result.
        time_width: width of the embedded time, which has gone through a silu.
        dropout: probability of dropping a value between the two halves, in training.
        norm_groups: groups of its norms; None for RMS norms.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, time_width: int, dropout: float, norm_groups: int | None
    ) -> None:
        super().__init__()
        norm = RMSNorm if norm_groups is None else partial(GroupNorm, norm_groups)
        self.time = TimeProjection(time_width, 2 * out_channels)
        self.conv_1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm_1 = norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.norm_2 = norm(out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1) if in_channels != out_channels else None

    def forward(self, x: Tensor, time: Tensor | Ahead) -> Tensor:
        """x: (B, in_channels, H, W), time: (B, time_width), or its projections -> (B, out_channels, H, W)."""
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.dropout(F.silu(self.norm_1(self.conv_1(x)) * (scale + 1) + shift))
        h = F.silu(self.norm_2(self.conv_2(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class SpaceToDepth(nn.Module):
    """(B, C, H, W) -> (B, 4 C, H / 2, W / 2): the 2x2 square of each channel side by side, row by row."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W), H and W even."""
        # as pixel_unshuffle, which gives an empty batch back as it was
        batch, channels, height, width = x.shape
        squares = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
        return squares.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


class Level(nn.Module):
    """Two blocks, attention, and what halves or doubles the map, or only changes its width."""

    def __init__(self, block_1: Block, block_2: Block, attention: MemoryAttention, resample: nn.Module) -> None:
        super().__init__()
        self.block_1, self.block_2, self.attention, self.resample = block_1, block_2, attention, resample


class DownLevel(Level):
    """A level on the way down: both maps are kept."""

    def forward(self, h: Tensor, time: Tensor | Ahead, skips: list[Tensor]) -> Tensor:
        """h: (B, C, H, W); appends two maps to ``skips``."""
        skips.append(self.block_1(h, time))
        skips.append(self.attention(self.block_2(skips[-1], time)))
        return self.resample(skips[-1])  # type: ignore[no-any-return]


class UpLevel(Level):
    """A level on the way up: each block is given one map back."""

    def forward(self, h: Tensor, time: Tensor | Ahead, skips: list[Tensor]) -> Tensor:
        """h: (B, C, H, W); takes two maps off the end of ``skips``."""
        h = self.block_1(torch.cat([h, skips.pop()], dim=1), time)
        h = self.attention(self.block_2(torch.cat([h, skips.pop()], dim=1), time))
        return self.resample(h)  # type: ignore[no-any-return]


class Time(nn.Module):
    """Time label -> the vector that every block is given, (B, width).

    Args:
        dim: width of the sinusoids of fixed frequencies.
        width: of the result.
        kind: fixed frequencies, or drawn from N(0, 1) and learned, or left as drawn.
        sinusoids: width of the sinusoids of drawn frequencies; the time itself is one more column.
        max_period: the longest period of fixed frequencies, in units of 2 pi.
    """

    frequencies: Tensor

    def __init__(self, dim: int, width: int, kind: TimeEmbedding, sinusoids: int, max_period: float) -> None:
        super().__init__()
        self.dim, self.kind, self.max_period = dim, kind, max_period
        if kind != "sinusoidal":
            drawn = torch.randn(sinusoids // 2)
            if kind == "learned":
                self.frequencies = nn.Parameter(drawn)
            else:
                self.register_buffer("frequencies", drawn)
        self.dense = nn.ModuleList(
            [nn.Linear(dim if kind == "sinusoidal" else sinusoids + 1, width), nn.Linear(width, width)]
        )

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """t: (B,) times -> (B, width), through the silu."""
        exact = torch.promote_types(dtype, torch.float32)
        if self.kind == "sinusoidal":
            waves = sinusoidal_embedding(t, self.dim, shift=1.0, max_period=self.max_period, dtype=exact)
        else:
            column = t.to(exact)[:, None]
            angles = column * self.frequencies.to(exact) * 2 * math.pi
            waves = torch.cat([column, angles.sin(), angles.cos()], dim=1)
        return F.silu(self.dense[1](F.gelu(self.dense[0](waves.to(dtype)))))


class LucidUNet(nn.Module):
    """The UNet of denoising-diffusion-pytorch: `forward(x, t, self_cond=...)`; it takes no classes.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        base_channels: width that channel_mult multiplies; the time embedding is four times as wide.
        stem_channels: width of the first convolution's map; None for base_channels.
        channel_mult: width that each level hands to the next as a multiple of base_channels; as many levels as entries.
        heads: attention heads, of every level or of each.
        head_channels: width of a head, at every level or at each.
        full_attention: which levels attend between all positions; the others attend linearly. None for the deepest
            alone. The middle always does.
        self_conditioned: also show the network its last estimate of x_0 (Chen et al. 2022, section 3.2).
        time_embedding: sinusoids of fixed frequencies, of learned ones, or of random ones.
        sinusoids: how many learned or random ones, an even number.
        max_period: the longest period of fixed frequencies, in units of 2 pi.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        norm_groups: groups of group norms in the blocks, as the releases 1.9 have; None for RMS norms.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "base_channels": 8,
        "channel_mult": (1, 2),
        "heads": (1, 2),
        "head_channels": 4,
        "self_conditioned": True,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 64,
        stem_channels: int | None = None,
        channel_mult: tuple[int, ...] = (1, 2, 4, 8),
        heads: int | tuple[int, ...] = 4,
        head_channels: int | tuple[int, ...] = 32,
        full_attention: tuple[bool, ...] | None = None,
        self_conditioned: bool = False,
        time_embedding: TimeEmbedding = "sinusoidal",
        sinusoids: int = 16,
        max_period: float = 10_000.0,
        dropout: float = 0.0,
        norm_groups: int | None = None,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        stem_channels = base_channels if stem_channels is None else stem_channels
        levels = len(channel_mult)
        self.heads = _each("heads", heads, levels)
        self.head_channels = _each("head_channels", head_channels, levels)
        if full_attention is None:
            full_attention = tuple(i == levels - 1 for i in range(levels))
        self.full: tuple[bool, ...] = _each("full_attention", full_attention, levels)
        self.widths = tuple(base_channels * mult for mult in channel_mult)
        self._check(in_channels, out_channels, stem_channels, norm_groups)
        if time_embedding != "sinusoidal" and (sinusoids < 2 or sinusoids % 2):
            raise ArgumentValueError(f"sinusoids must be even and at least 2, sines and cosines, got {sinusoids}")
        if not max_period > 1:
            raise ArgumentValueError(f"max_period must be above 1, got {max_period:g}")
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")

        self.in_channels, self.out_channels, self.self_conditioned = in_channels, out_channels, self_conditioned
        self.channel_mult = tuple(channel_mult)
        time_width = 4 * base_channels
        block = partial(Block, time_width=time_width, dropout=dropout, norm_groups=norm_groups)

        self.time = Time(base_channels, time_width, time_embedding, sinusoids, max_period)
        seen = 2 * in_channels if self_conditioned else in_channels
        self.stem = nn.Conv2d(seen, stem_channels, kernel_size=7, padding=3)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (above, width) in enumerate(zip((stem_channels, *self.widths), self.widths, strict=False)):
            attention = partial(
                MemoryAttention, heads=self.heads[i], head_channels=self.head_channels[i], full=self.full[i]
            )
            halve = _halve(above, width) if i < levels - 1 else nn.Conv2d(above, width, kernel_size=3, padding=1)
            double = _double(width, above) if i else nn.Conv2d(width, above, kernel_size=3, padding=1)
            self.down.append(DownLevel(block(above, above), block(above, above), attention(above), halve))
            self.up.append(UpLevel(block(width + above, width), block(width + above, width), attention(width), double))
        width = self.widths[-1]
        self.mid_1 = block(width, width)
        self.mid_attention = MemoryAttention(width, self.heads[-1], self.head_channels[-1], full=True)
        self.mid_2 = block(width, width)
        self.last = block(2 * stem_channels, stem_channels)
        self.conv_out = nn.Conv2d(stem_channels, out_channels, kernel_size=1)
        self._time_widths = number(self, TimeProjection)

    def _check(self, in_channels: int, out_channels: int, stem_channels: int, norm_groups: int | None) -> None:
        """Whether all widths and counts are positive, and the groups divide the widths."""
        counts = {
            "in_channels": (in_channels,),
            "out_channels": (out_channels,),
            "stem_channels": (stem_channels,),
            "base_channels x channel_mult": self.widths,
            "heads": self.heads,
            "head_channels": self.head_channels,
            "norm_groups": (1 if norm_groups is None else norm_groups,),
        }
        for name, several in counts.items():
            if min(several) < 1:
                raise ArgumentValueError(f"{name} must be at least 1, got {min(several)}")
        if norm_groups is not None:
            for name, widths in (("stem_channels", (stem_channels,)), ("base_channels x channel_mult", self.widths)):
                if odd := [width for width in widths if width % norm_groups]:
                    raise ArgumentValueError(
                        f"{name} must be a multiple of norm_groups = {norm_groups}, got {odd[0]}; nearest: "
                        f"{_nearest(odd[0], norm_groups)}"
                    )

    def prepare_times(self, times: Tensor) -> dict[str, Tensor]:
        """Every block's projection of the time, a row for each of (R,) times: (R, sum of widths)."""
        return {"time": all_ahead(self, TimeProjection, self.time(times, self.stem.weight.dtype))}

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        self_cond: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that 2^(levels - 1) does not divide is padded on the right or at the bottom (mirrored where it
        is long enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional. Its embedding is computed in float32
                whatever the dtype of the parameters, in float64 when they are.
            self_cond: like x, an earlier estimate of x_0; None for none, which a self-conditioned network sees as
                zeros.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or self_cond have another shape.
            ArgumentValueError: when a network that does not condition on itself is given self_cond.
        """
        check_images("LucidUNet", x, t, self.in_channels)
        height, width = x.shape[2:]
        time: Tensor | Ahead
        time = self.time(t.expand(len(x)), x.dtype) if prepared is None else apart(prepared["time"], self._time_widths)
        stem = self.stem(pad_to_multiple(self._seen(x, self_cond), 2 ** (len(self.down) - 1)))
        h, skips = stem, list[Tensor]()
        for level in self.down:
            h = level(h, time, skips)
        h = self.mid_2(self.mid_attention(self.mid_1(h, time)), time)
        for level in reversed(self.up):
            h = level(h, time, skips)
        out: Tensor = self.conv_out(self.last(torch.cat([h, stem], dim=1), time))
        return out[..., :height, :width]

    def _seen(self, x: Tensor, self_cond: Tensor | None) -> Tensor:
        """What the stem is given: [self_cond, x] or x."""
        if not self.self_conditioned:
            if self_cond is not None:
                raise ArgumentValueError(
                    "this LucidUNet takes no self_cond; build it with self_conditioned=true, or leave it out"
                )
            return x
        if self_cond is None:
            self_cond = torch.zeros_like(x)
        if self_cond.shape != x.shape:
            raise ShapeError(
                f"LucidUNet expects self_cond of the shape of x, {tuple(x.shape)}, got {tuple(self_cond.shape)}"
            )
        return torch.cat([self_cond.to(x.dtype), x], dim=1)

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        factor = 2 ** (len(self.down) - 1)
        height, width = padded_size(height, factor), padded_size(width, factor)
        sizes = [(height // 2**i, width // 2**i) for i in range(len(self.down))]
        rows = [Section("in", ("time", "stem"), sizes[0], self.stem.out_channels)]
        for i, mult in enumerate(self.channel_mult):
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=(f"down.{i}", f"up.{i}"),
                    resolution=sizes[i],
                    mult=mult,
                    blocks=4,
                    attention=2,
                    heads=self.heads[i],
                )
            )
        middle = ("mid_1", "mid_attention", "mid_2")
        rows.append(Section("middle", middle, sizes[-1], self.widths[-1], blocks=2, attention=1, heads=self.heads[-1]))
        rows.append(Section("out", ("last", "conv_out"), sizes[0], self.out_channels, blocks=1))
        return rows


def _each(name: str, value: T | tuple[T, ...], levels: int) -> tuple[T, ...]:
    """A value for each level, from one for all or one each."""
    several = value if isinstance(value, tuple) else (value,) * levels
    if not levels or len(several) != levels:
        raise ArgumentValueError(
            f"{name} has {len(several)} entries and channel_mult {levels}; give as many, at least one"
        )
    return several


def _nearest(width: int, groups: int) -> str:
    """The multiples of ``groups`` on both sides of a width."""
    above = padded_size(width, groups)
    return f"{above - groups} or {above}" if above > groups else str(above)


def _halve(in_channels: int, out_channels: int) -> nn.Module:
    """(B, C, H, W) -> (B, C', H / 2, W / 2): each 2x2 square becomes channels, which are mixed."""
    return nn.Sequential(SpaceToDepth(), nn.Conv2d(4 * in_channels, out_channels, kernel_size=1))


def _double(in_channels: int, out_channels: int) -> nn.Module:
    """(B, C, H, W) -> (B, C', 2H, 2W): nearest neighbour, then a 3x3 convolution."""
    up = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(up, nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
