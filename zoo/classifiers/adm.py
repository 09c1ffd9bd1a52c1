"""The noise-aware classifier of guided-diffusion: the way down of the ADM UNet, and a pool (Dhariwal & Nichol 2021)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.classifier import Classifier
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.adm import Blocks, Embedding, Resample
from zoo.layers.attention import attend
from zoo.layers.inputs import check_images
from zoo.layers.levels import Section, attention_levels, level_widths
from zoo.layers.norms import GroupNorm

Pool = Literal["attention", "adaptive", "spatial", "spatial-norm"]

_HIDDEN = 2048


class AttentionPool(nn.Module):
    """The output of attention at one token more: the mean of the map asks, and all positions answer.

    Args:
        channels: of the map.
        positions: of the map, whose learned embeddings fix its size.
        heads: of the attention.
        classes: of the result.
    """

    def __init__(self, channels: int, positions: int, heads: int, classes: int) -> None:
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(channels, 1 + positions) / channels**0.5)
        self.q, self.k, self.v = (nn.Linear(channels, channels) for _ in range(3))
        self.proj_out = nn.Linear(channels, classes)

    def forward(self, h: Tensor) -> Tensor:
        """h: (B, C, H, W) of as many positions as it was built for -> (B, classes)."""
        tokens = h.flatten(2)
        tokens = torch.cat([tokens.mean(-1, keepdim=True), tokens], dim=-1)
        if tokens.shape[-1] != self.positions.shape[-1]:
            raise ShapeError(
                f"the attention pool was built for a map of {self.positions.shape[-1] - 1} positions, got "
                f"{tokens.shape[-1] - 1}: give images of the resolution it was built for, or take pool: adaptive"
            )
        tokens = (tokens + self.positions).transpose(1, 2)
        first = attend(self.q(tokens[:, :1]), self.k(tokens), self.v(tokens), heads=self.heads)
        return self.proj_out(first[:, 0])  # type: ignore[no-any-return]


class ADMClassifier(Classifier):
    """log p(class | x_t), up to a constant: ``forward(x, t) -> logits``.

    Args:
        in_channels: channels of x.
        classes: number of classes.
        base_channels: width that channel_mult multiplies; the time embedding is four times as wide.
        channel_mult: width of each level as a multiple of base_channels; as many levels as entries.
        blocks_per_level: residual blocks of a level.
        attention_resolutions: levels of these resolutions attend; the middle always does.
        resolution: side of the images; the attention pool takes no other.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        heads: heads of an attention layer; not read where head_channels is given.
        head_channels: channels of a head, of which a level has as many as it is wide; None to go by ``heads``.
        scale_shift: whether the time scales and shifts the second norm of a block.
        resample: what halves: a convolution ("conv"), a residual block ("residual"), or the mean of 2x2 squares alone
            ("plain").
        pool: "attention" over the last map; "adaptive", its mean; "spatial", the means of every block's map through
            two layers; "spatial-norm", with a group norm between them.
        norm_groups: groups of the group norms; divides the width of every level.

    Raises:
        ArgumentValueError: when a value makes no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "classes": 3,
        "base_channels": 8,
        "channel_mult": (1, 2),
        "blocks_per_level": 1,
        "attention_resolutions": (4,),
        "resolution": 8,
        "head_channels": 4,
        "norm_groups": 4,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        classes: int = 1000,
        base_channels: int = 128,
        channel_mult: tuple[int | float, ...] = (1, 2, 3, 4),
        blocks_per_level: int = 2,
        attention_resolutions: tuple[int, ...] = (32, 16, 8),
        resolution: int = 64,
        dropout: float = 0.0,
        heads: int = 1,
        head_channels: int | None = 64,
        scale_shift: bool = True,
        resample: Resample = "residual",
        pool: Pool = "attention",
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        counts = {
            "in_channels": in_channels,
            "classes": classes,
            "base_channels": base_channels,
            "blocks_per_level": blocks_per_level,
            "heads": heads,
            "head_channels": head_channels,
            "norm_groups": norm_groups,
        }
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ArgumentValueError(f"{name} must be at least 1, got {count}")
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
        widths = level_widths(base_channels, channel_mult, norm_groups, base_is_width=False)
        attends = attention_levels(attention_resolutions, resolution, len(widths))
        make = Blocks(
            widths,
            attends,
            blocks_per_level,
            base_channels,
            resample=resample,
            heads=heads,
            head_channels=head_channels,
            scale_shift=scale_shift,
            dropout=dropout,
            norm_groups=norm_groups,
        )
        self.in_channels, self.classes, self.blocks_per_level, self.resample = (
            in_channels,
            classes,
            blocks_per_level,
            resample,
        )
        self.channel_mult, self.widths, self.attends = tuple(channel_mult), tuple(widths), tuple(attends)
        self.heads = tuple(make.heads_of(level) for level in range(len(widths)))
        self.temb = Embedding(base_channels)
        self.conv_in = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)
        self.down = nn.ModuleList(make.down(level) for level in range(len(widths)))
        self.mid = make.middle()
        last = widths[-1]
        self.norm_out: GroupNorm | None = None
        self.pool: nn.Module
        if pool == "attention":
            self.norm_out = make.norm(last)
            side = resolution // 2 ** (len(widths) - 1)
            self.pool = AttentionPool(last, side**2, make.heads_of(len(widths) - 1), classes)
        elif pool == "adaptive":
            self.norm_out = make.norm(last)
            self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(last, classes, kernel_size=1), nn.Flatten())
        else:
            # a mean of every map: the stem's, the blocks' and what halved them, the middle's
            maps = widths[0] + sum(widths) * blocks_per_level + sum(widths[:-1]) + last
            between = [nn.ReLU()] if pool == "spatial" else [GroupNorm(norm_groups, _HIDDEN), nn.SiLU()]
            self.pool = nn.Sequential(nn.Linear(maps, _HIDDEN), *between, nn.Linear(_HIDDEN, classes))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits of the classes.

        Args:
            x: (B, in_channels, H, W), of any size but for the attention pool, whose map has as many positions as it was
                built for.
            t: (B,) or one for all: the time label that the diffusion's network is given.

        Returns:
            (B, classes).

        Raises:
            ShapeError: for another shape.
        """
        check_images("ADMClassifier", x, t, self.in_channels)
        time = self.temb(t.expand(len(x)), None, x.dtype)
        maps = [self.conv_in(x)]
        for level in self.down:
            maps += level(maps[-1], time)
        h = self.mid(maps[-1], time)
        if self.norm_out is None:
            means = [one.mean((2, 3)) for one in (*maps, h)]
            return self.pool(torch.cat(means, dim=1))  # type: ignore[no-any-return]
        return self.pool(F.silu(self.norm_out(h)))  # type: ignore[no-any-return]

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        rows = [Section("in", ("temb", "conv_in"), (height, width), self.widths[0])]
        for i, channels in enumerate(self.widths):
            halving = self.resample == "residual" and i < len(self.widths) - 1
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=(f"down.{i}",),
                    resolution=(height, width),
                    channels=channels,
                    mult=self.channel_mult[i],
                    blocks=self.blocks_per_level + halving,
                    attention=self.blocks_per_level * self.attends[i],
                    heads=self.heads[i] * self.attends[i],
                )
            )
            if i < len(self.widths) - 1:
                # a convolution keeps the last odd row, a mean leaves it out
                odd = int(self.resample == "conv")
                height, width = (height + odd) // 2, (width + odd) // 2
        heads = self.heads[-1]
        rows.append(Section("middle", ("mid",), (height, width), self.widths[-1], blocks=2, attention=1, heads=heads))
        ends = ("pool",) if self.norm_out is None else ("norm_out", "pool")
        return [*rows, Section("out", ends, None, self.classes)]
