"""UNet2D itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.unet2d.embedding import ClassEmbedding, Embedding, Order, TimeEmbedding
from zoo.denoisers.unet2d.levels import (
    TAPS,
    Level,
    attended,
    attends,
    check_levels,
    double,
    group_norm,
    halve,
    is_fir,
    make_attention,
    mixed,
)
from zoo.layers.ahead import Ahead, TimeProjection, all_ahead, apart, number
from zoo.layers.edm import check_counts, check_dropout
from zoo.layers.image_skips import InputSkip, OutputSkip
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.ladder import DownLevel, Middle, UpLevel, block_inputs
from zoo.layers.levels import Section
from zoo.layers.resampling import FilterUpsample, pad_to_multiple, padded_size
from zoo.layers.residual import AttentionBlock, Norm, ResidualBlock

_HALF = math.sqrt(0.5)
_FIR_GROUPS = 32  # of attention beside a filter, whatever the other norms have


class UNet2D(nn.Module):
    """diffusers' UNet2DModel: `forward(x, t, labels=...)`.

    Levels are counted from full resolution, on the way up too. DDPM is all "conv" with symmetric_padding false, order
    "sin-cos", shift 1, head_channels null and norm_eps 1e-6; ADM is all "residual" with scale_shift; NCSN++ is all
    "fir" with embedding "fourier", center_input, norm_groups null and middle_scale sqrt(2).

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has.
        widths: channels of each level; as many levels as entries.
        down: how each level is halved, and whether it attends after every block: "conv", a convolution of stride 2;
            "residual", a residual block that takes means of 2x2 squares; "fir", a residual block with a filter, where
            the halved image joins the maps, norms have groups of four channels and sums are scaled by sqrt(1/2). The
            last level is not halved.
        up: likewise how each level is doubled; level 0 is not. In "fir-attention" the last block alone attends.
        blocks_per_level: residual blocks of a level on the way down; the way up has one more.
        middle: whether there is anything between the two ways.
        middle_attention: whether the middle attends.
        middle_norm_groups: groups of the norm of the middle's attention; 0 for no norm, None for norm_groups.
        middle_scale: what sums in the middle are divided by.
        symmetric_padding: "conv" levels pad by zeros on all sides (ADM); else at the right and the bottom (DDPM).
        head_channels: width of an attention head; None for one head as wide as the level. A level that is no multiple
            of it has channels // head_channels heads, which then look at fewer channels.
        scale_shift: whether the time scales and shifts the second norm of a block; else it is added before it.
        dropout: probability of dropping a value before the second convolution of a block, in training.
        norm_groups: groups of the group norms, except those of "fir" levels; None for groups of four channels, at most
            32 of them.
        norm_eps: added to the variance in the group norms.
        center_input: stretch x from [0, 1] to [-1, 1] first.
        embedding: of the time: sines and cosines ("positional"); those of its logarithm at random frequencies, the
            output being divided by the time ("fourier"); or a row of a table ("learned").
        order: which half of the positional embedding comes first.
        shift: 1 makes its last period the longest, exactly (DDPM); with 0 it falls just short of it (ADM).
        time_width: width of the vector that the blocks are given; None for 4 widths[0].
        time_steps: rows of the table of "learned".
        classes: number of classes of a class-conditional network; None for one without a table of classes.
        class_embedding: what labels are: rows of a "table", numbers that are embedded as the time is ("timestep"), or
            vectors (B, time_width) that are added ("identity"). None is "table" where there are classes, else none.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "widths": (8, 16),
        "down": ("conv", "conv-attention"),
        "up": ("conv", "conv-attention"),
        "blocks_per_level": 1,
        "head_channels": 4,
        "norm_groups": 4,
        "classes": 3,
    }

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        widths: tuple[int, ...] = (224, 448, 672, 896),
        down: tuple[Level, ...] = ("conv", "conv-attention", "conv-attention", "conv-attention"),
        up: tuple[Level, ...] = ("conv", "conv-attention", "conv-attention", "conv-attention"),
        blocks_per_level: int = 2,
        middle: bool = True,
        middle_attention: bool = True,
        middle_norm_groups: int | None = None,
        middle_scale: float = 1.0,
        symmetric_padding: bool = True,
        head_channels: int | None = 8,
        scale_shift: bool = False,
        dropout: float = 0.0,
        norm_groups: int | None = 32,
        norm_eps: float = 1e-5,
        center_input: bool = False,
        embedding: TimeEmbedding = "positional",
        order: Order = "cos-sin",
        shift: float = 0.0,
        time_width: int | None = None,
        time_steps: int | None = None,
        classes: int | None = None,
        class_embedding: ClassEmbedding | None = None,
    ) -> None:
        super().__init__()
        out_channels = in_channels if out_channels is None else out_channels
        check_levels(widths, down, up)
        time_width = 4 * widths[0] if time_width is None else time_width
        class_embedding = "table" if class_embedding is None and classes is not None else class_embedding
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "blocks_per_level": blocks_per_level,
            "head_channels": head_channels,
            "norm_groups": norm_groups,
            "time_width": time_width,
            "time_steps": time_steps,
            "classes": classes,
        }
        check_counts(**{name: count for name, count in counts.items() if count is not None})
        check_dropout(dropout)
        if not middle_scale > 0:
            raise ArgumentValueError(f"middle_scale must be positive, got {middle_scale:g}")
        if (embedding == "learned") != (time_steps is not None):
            raise ArgumentValueError("time_steps is the size of the table of embedding 'learned': give both or neither")
        if class_embedding is not None and (class_embedding == "table") != (classes is not None):
            raise ArgumentValueError(
                "classes is the size of the table of class_embedding 'table': give both or neither"
            )

        self.in_channels, self.out_channels = in_channels, out_channels
        # labels of other kinds are taken, but are no classes that could be counted
        self.classes = 0 if class_embedding in ("timestep", "identity") else classes
        self.widths = tuple(widths)
        self.center_input, self.divides = center_input, embedding == "fourier"
        self.temb = Embedding(
            widths[0],
            time_width,
            embedding=embedding,
            order=order,
            shift=shift,
            time_steps=time_steps,
            classes=classes,
            class_embedding=class_embedding,
        )
        self.conv_in = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.input_skip, self.output_skip = nn.ModuleList(), nn.ModuleList()

        norm: Norm = partial(group_norm, groups=norm_groups, eps=norm_eps)
        fours: Norm = partial(group_norm, groups=None, eps=norm_eps)
        block = partial(ResidualBlock, time_width=time_width, dropout=dropout, scale_shift=scale_shift)
        plain, fir = partial(block, norm=norm), partial(block, norm=fours, skip_scale=_HALF)
        attention = partial(make_attention, head_channels=head_channels)
        plain_attention = partial(attention, norm=norm)
        fir_attention = partial(attention, norm=partial(group_norm, groups=_FIR_GROUPS, eps=norm_eps), skip_scale=_HALF)
        for i, width in enumerate(widths):
            down_inputs, up_inputs = block_inputs(widths, widths[0], i, blocks_per_level)
            make, attend = (fir, fir_attention) if is_fir(down[i]) else (plain, plain_attention)
            self.down.append(
                DownLevel(
                    [make(channels, width) for channels in down_inputs],
                    {j: attend(width) for j in range(len(down_inputs)) if attends(down[i])},
                    halve(down[i], width, make, symmetric_padding) if i < len(widths) - 1 else None,
                )
            )
            if i < len(widths) - 1 and is_fir(down[i]):
                self.input_skip.append(InputSkip(in_channels, width, TAPS))
            make, attend = (fir, fir_attention) if is_fir(up[i]) else (plain, plain_attention)
            entering = [widths[min(i + 1, len(widths) - 1)], *[width] * blocks_per_level]
            self.up.append(
                UpLevel(
                    [
                        make(channels, width, norm_in=mixed(up[i], before, channels - before, norm_eps))
                        for before, channels in zip(entering, up_inputs, strict=True)
                    ],
                    {j: attend(width) for j in attended(up[i], len(up_inputs))},
                    double(up[i], width, make) if i else None,
                )
            )
            if i and is_fir(up[i]):
                self.output_skip.append(OutputSkip(width, out_channels, fours))
        self.mid: Middle | None = None
        if middle:
            groups = norm_groups if middle_norm_groups is None else middle_norm_groups
            middle_norm = None if groups == 0 else partial(group_norm, groups=groups, eps=norm_eps)
            inner = partial(plain, widths[-1], widths[-1], skip_scale=1 / middle_scale)
            attend = partial(attention, widths[-1], norm=middle_norm, skip_scale=1 / middle_scale)
            self.mid = Middle(inner(), attend() if middle_attention else None, inner())
        self.double_image = FilterUpsample(TAPS)
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels, kernel_size=3, padding=1)
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
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that 2^(levels - 1) does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional, above 0 for "fourier". Its embedding is
                computed in float32 whatever the dtype of the parameters, in float64 when they are.
            labels: (B,) classes 0..classes-1, or the numbers of "timestep"; -1 for no class, which adds nothing. With
                "identity" the vectors themselves, (B, time_width). None for no class at all.
            prepared: what ``prepare_times`` made of t and the conditions, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when a network without classes is given labels, or a label (on the CPU, where looking
                costs nothing) is not a class.
        """
        check_images("UNet2D", x, t, self.in_channels)
        self._check_labels(labels, len(x))
        height, width = x.shape[2:]
        t = t.expand(len(x))
        time: Tensor | Ahead
        time = self.temb(t, labels, x.dtype) if prepared is None else apart(prepared["time"], self._time_widths)
        image = pad_to_multiple(x, 2 ** (len(self.down) - 1))
        if self.center_input:
            image = 2 * image - 1
        skips = [self.conv_in(image)]
        for i, level in enumerate(self.down):
            skips += level(skips[-1], time)
            if i < len(self.input_skip):
                skips[-1], image = self.input_skip[i](skips[-1], image)
        h = skips[-1] if self.mid is None else self.mid(skips[-1], time)
        below: Tensor | None = None
        for i, level in reversed(list(enumerate(self.up))):
            kept: list[Tensor] = []
            h = level(h, skips, time, kept=kept)
            if 0 < i <= len(self.output_skip):
                said = self.output_skip[i - 1](kept[0])
                below = self.double_image(said if below is None else said + below)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        out = out if below is None else out + below
        if self.divides:
            out = (out / t[:, None, None, None]).to(x.dtype)
        return out[..., :height, :width]

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        factor = 2 ** (len(self.down) - 1)
        height, width = padded_size(height, factor), padded_size(width, factor)
        sizes = [(height // 2**i, width // 2**i) for i in range(len(self.down))]
        rows = [Section("in", ("temb", "conv_in"), sizes[0], self.widths[0])]
        for i, channels in enumerate(self.widths):
            modules = [f"down.{i}", f"up.{i}"]
            modules += [f"input_skip.{i}"] if i < len(self.input_skip) else []
            modules += [f"output_skip.{i - 1}"] if 0 < i <= len(self.output_skip) else []
            inside = [module for way in (self.down[i], self.up[i]) for module in way.modules()]
            attention = [module for module in inside if isinstance(module, AttentionBlock)]
            rows.append(
                Section(
                    name=f"level {i}",
                    modules=tuple(modules),
                    resolution=sizes[i],
                    channels=channels,
                    mult=channels / self.widths[0],
                    blocks=sum(isinstance(module, ResidualBlock) for module in inside),
                    attention=len(attention),
                    heads=attention[0].heads if attention else 0,
                )
            )
        if self.mid is not None:
            attn = self.mid.attn_1
            heads = 0 if attn is None else attn.heads
            rows.append(
                Section("middle", ("mid",), sizes[-1], self.widths[-1], blocks=2, attention=int(heads > 0), heads=heads)
            )
        rows.append(Section("out", ("norm_out", "conv_out"), sizes[0], self.out_channels))
        return rows

    def _check_labels(self, labels: Tensor | None, batch: int) -> None:
        if labels is None or self.temb.class_embedding in (None, "table"):
            check_labels("UNet2D", labels, batch, self.classes)
            return
        vectors = self.temb.class_embedding == "identity"
        shape = (batch, self.temb.width) if vectors else (batch,)
        if labels.shape != shape:
            raise ShapeError(
                f"UNet2D expects labels of shape {shape}, {'vectors' if vectors else 'numbers'} to embed, got "
                f"{tuple(labels.shape)}"
            )
