"""The UNet of improved-diffusion and guided-diffusion (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021): ADM.

DDPM's UNet with group norms of eps 1e-5, attention of several heads, a time that may scale and shift the norms,
residual blocks that halve and double the map, classes, and a low-resolution image to be enlarged. Parameters have the
names of ``unet``; the importers rename the original's, and split its fused q, k and v.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.adm import Blocks, Embedding, Resample, zeroed
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.levels import Section, attention_levels, level_widths
from zoo.layers.resampling import pad_to_multiple, padded_size


class ADM(nn.Module):
    """The ADM UNet: ``forward(x, t, labels=..., low_res=...)``.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        base_channels: width that channel_mult multiplies; the time embedding is four times as wide.
        channel_mult: width of each level as a multiple of base_channels, fractions too; as many levels as entries.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        attention_resolutions: levels of these resolutions attend; the middle always does.
        resolution: side of the images the network is meant for, or (height, width), of which the longer counts. It
            only places the attention: images of any size can be denoised.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        heads: heads of an attention layer; not read where head_channels is given.
        heads_up: likewise on the way up; None for as many as on the way down.
        head_channels: channels of a head, of which a level has as many as it is wide; None to go by ``heads``.
        scale_shift: whether the time scales and shifts the second norm of a block; else it is added before it.
        resample: what halves and doubles: a convolution ("conv"), a residual block ("residual"), or the mean of 2x2
            squares and nearest neighbour alone ("plain").
        classes: number of classes of a class-conditional network; None for an unconditional one. "No class" adds
            nothing to the embedding of the time; published networks were never trained without a class.
        low_res_channels: channels of a smaller image to be enlarged, which x is denoised beside; None for none.
        norm_groups: groups of the group norms; divides the width of every level.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it, and the nearest ones that do.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "base_channels": 8,
        "channel_mult": (1, 2),
        "blocks_per_level": 1,
        "attention_resolutions": (4,),
        "resolution": 8,
        "heads": 2,
        "scale_shift": True,
        "resample": "residual",
        "classes": 3,
        "norm_groups": 4,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        base_channels: int = 128,
        channel_mult: tuple[int | float, ...] = (1, 2, 3, 4),
        blocks_per_level: int = 2,
        attention_resolutions: tuple[int, ...] = (16, 8),
        resolution: int | tuple[int, int] = 64,
        dropout: float = 0.0,
        heads: int = 4,
        heads_up: int | None = None,
        head_channels: int | None = None,
        scale_shift: bool = True,
        resample: Resample = "conv",
        classes: int | None = None,
        low_res_channels: int | None = None,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        heads_up = heads if heads_up is None else heads_up
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "blocks_per_level": blocks_per_level,
            "heads": heads,
            "heads_up": heads_up,
            "head_channels": head_channels,
            "classes": classes,
            "low_res_channels": low_res_channels,
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
        if head_channels is None:
            make.check("heads_up", heads_up)

        self.in_channels, self.out_channels, self.classes = in_channels, out_channels, classes
        self.low_res_channels, self.blocks_per_level, self.resample = low_res_channels, blocks_per_level, resample
        self.channel_mult, self.widths, self.attends = tuple(channel_mult), tuple(widths), tuple(attends)
        self.heads = tuple(make.heads_of(level) for level in range(len(widths)))
        self.temb = Embedding(base_channels, classes)
        self.conv_in = nn.Conv2d(in_channels + (low_res_channels or 0), widths[0], kernel_size=3, padding=1)
        self.down = nn.ModuleList(make.down(level) for level in range(len(widths)))
        self.mid = make.middle()
        self.up = nn.ModuleList(make.up(level, heads_up) for level in range(len(widths)))
        self.norm_out = make.norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
        zeroed(self, self.conv_out)
        self._time_widths = number(self, TimeProjection)

    def prepare_times(self, times: Tensor, *, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Every block's projection of time and class, a row for each of (R,) times: (R, sum of widths)."""
        return {"time": all_ahead(self, TimeProjection, self.temb(times, labels, self.conv_in.weight.dtype))}

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        low_res: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that 2^(levels - 1) does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional. Its embedding is computed in float32 whatever
                the dtype of the parameters, in float64 when they are.
            labels: (B,) classes 0..classes-1, -1 for no class; None for no class at all.
            low_res: (B, low_res_channels, h, w) the image to be enlarged, in the range of x, which is brought to x's
                size bilinearly.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t, labels or low_res have another shape, or low_res is missing.
            ArgumentValueError: when a network is given a condition it was not built for, or (on the CPU, where looking
                costs nothing) a label is not a class.
        """
        check_images("ADM", x, t, self.in_channels)
        check_labels("ADM", labels, len(x), self.classes)
        height, width = x.shape[2:]
        time: Tensor | Ahead
        if prepared is None:
            time = self.temb(t.expand(len(x)), labels, x.dtype)
        else:
            time = apart(prepared["time"], self._time_widths)
        h = self.conv_in(pad_to_multiple(self._beside(x, low_res), 2 ** (len(self.down) - 1)))
        skips = [h]
        for level in self.down:
            skips += level(skips[-1], time)
        h = self.mid(skips[-1], time)
        for level in reversed(self.up):
            h = level(h, skips, time)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out[..., :height, :width]

    def _beside(self, x: Tensor, low_res: Tensor | None) -> Tensor:
        """x, and the enlarged image beside it."""
        if not self.low_res_channels:
            if low_res is not None:
                raise ArgumentValueError(
                    "this ADM enlarges nothing and takes no low_res; build it with low_res_channels"
                )
            return x
        wanted = (len(x), self.low_res_channels)
        if low_res is None or low_res.ndim != 4 or low_res.shape[:2] != wanted or 0 in low_res.shape[2:]:
            given = "none" if low_res is None else str(tuple(low_res.shape))
            raise ShapeError(
                f"this ADM enlarges an image: expected low_res of shape ({wanted[0]}, {wanted[1]}, h, w), got {given}"
            )
        enlarged = F.interpolate(low_res.to(x.dtype), x.shape[2:], mode="bilinear")
        return torch.cat([x, enlarged], dim=1)

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        factor = 2 ** (len(self.down) - 1)
        height, width = padded_size(height, factor), padded_size(width, factor)
        sizes = [(height // 2**i, width // 2**i) for i in range(len(self.down))]
        blocks = 2 * self.blocks_per_level + 1
        rows = [Section("in", ("temb", "conv_in"), sizes[0], self.conv_in.out_channels)]
        for i, channels in enumerate(self.widths):
            resampling = bool(i) + (i < len(self.widths) - 1) if self.resample == "residual" else 0
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=(f"down.{i}", f"up.{i}"),
                    resolution=sizes[i],
                    channels=channels,
                    mult=self.channel_mult[i],
                    blocks=blocks + resampling,
                    attention=blocks * self.attends[i],
                    heads=self.heads[i] * self.attends[i],
                )
            )
        heads = self.heads[-1]
        rows.append(Section("middle", ("mid",), sizes[-1], self.widths[-1], blocks=2, attention=1, heads=heads))
        rows.append(Section("out", ("norm_out", "conv_out"), sizes[0], self.out_channels))
        return rows
