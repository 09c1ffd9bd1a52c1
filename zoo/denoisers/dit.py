"""The diffusion transformer (Peebles & Xie 2023), and SiT, its twin for flows (Ma et al. 2024).

    patches + positions -> depth x (attention, MLP), both modulated by time + class -> norm, linear, patches back

Parameters have the names of the released files. Positions are fixed sines and cosines that these files hold: those
are used at the size the network was built for, and computed anew for any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, Modulation, all_ahead, apart, number
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.levels import Section
from zoo.layers.positions import sin_cos_positions
from zoo.layers.resampling import pad_to_multiple, padded_size
from zoo.layers.transformer import (
    AdaLNBlock,
    FinalLayer,
    LabelEmbedder,
    TimeEmbedder,
    check_arguments,
    label_rows,
    patch_embedding,
    patch_grid,
    unpatchify,
)


class _Transformer(nn.Module):
    """What DiT and SiT share: all but what their channels mean. For the arguments see there."""

    _family: ClassVar[str]

    def __init__(
        self,
        in_channels: int,
        made_channels: int,
        channels: int,
        depth: int,
        heads: int,
        patch: int,
        resolution: int | tuple[int, int],
        mlp_ratio: float,
        classes: int | None,
        null_class: bool,
        time_shift: float,
    ) -> None:
        super().__init__()
        check_arguments(
            channels=channels,
            heads=heads,
            mlp_ratio=mlp_ratio,
            in_channels=in_channels,
            out_channels=made_channels,
            depth=depth,
            patch=patch,
            classes=1 if classes is None else classes,
        )
        if channels % 4:
            low = channels // 4 * 4
            nearest = f"{low} or {low + 4}" if low else "4"
            raise ArgumentValueError(
                f"channels must be a multiple of 4, as sines and cosines of rows and columns, got {channels}; "
                f"nearest: {nearest}"
            )
        self.in_channels, self.channels, self.heads, self.patch = in_channels, channels, heads, patch
        self.classes, self.null_class = classes, null_class
        self.grid = patch_grid(resolution, patch)
        self.x_embedder = patch_embedding(in_channels, patch, channels)
        self.t_embedder = TimeEmbedder(channels, shift=time_shift)
        rows = None if classes is None else classes + null_class
        self.y_embedder = None if rows is None else LabelEmbedder(rows, channels)
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], channels), requires_grad=False)
        self.blocks = nn.ModuleList(AdaLNBlock(channels, heads, mlp_ratio) for _ in range(depth))
        self.final_layer = FinalLayer(channels, patch, made_channels)
        self._widths = number(self, Modulation)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """As published: every block is the identity, and the output zero, before training."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        self.pos_embed.copy_(sin_cos_positions(*self.grid, self.channels))
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.flatten(1))
        nn.init.zeros_(cast(Tensor, self.x_embedder.proj.bias))
        if self.y_embedder is not None:
            nn.init.normal_(self.y_embedder.embedding_table.weight, std=0.02)
        for part in self.t_embedder.mlp:
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=0.02)
        for part in (*self.blocks, self.final_layer):
            nn.init.zeros_(part.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def prepare_times(self, times: Tensor, *, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Every block's modulation by time and class, for (R,) times and (R,) labels: (R, sum of widths)."""
        condition = self._condition(times, labels, self.pos_embed.dtype)
        return {"modulation": all_ahead(self, Modulation, condition)}

    def _condition(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """(B,) times and classes -> (B, channels)."""
        condition: Tensor = self.t_embedder(t, dtype)
        if self.y_embedder is not None and self.classes is not None:
            condition = condition + self.y_embedder(label_rows(self._family, labels, t, self.classes, self.null_class))
        return condition

    def _made(self, x: Tensor, t: Tensor, labels: Tensor | None, prepared: Mapping[str, Tensor] | None) -> Tensor:
        """All channels of the last layer: (B, made_channels, H, W)."""
        check_images(self._family, x, t, self.in_channels)
        # the null class may also be given by the number of its row, as the original code does
        known = None if self.classes is None else self.classes + self.null_class
        check_labels(self._family, labels, len(x), known)
        height, width = x.shape[2:]
        x = pad_to_multiple(x, self.patch)
        grid = (x.shape[2] // self.patch, x.shape[3] // self.patch)
        condition: Tensor | Ahead
        if prepared is None:
            condition = self._condition(t.expand(len(x)), labels, x.dtype)
        else:
            condition = apart(prepared["modulation"], self._widths)
        tokens = self.x_embedder(x) + self._positions(grid, x)
        for block in self.blocks:
            tokens = block(tokens, condition)
        return unpatchify(self.final_layer(tokens, condition), grid, self.patch)[..., :height, :width]

    def _positions(self, grid: tuple[int, int], x: Tensor) -> Tensor:
        if grid == self.grid:
            return self.pos_embed
        return sin_cos_positions(*grid, self.channels, x.device, x.dtype)

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        size = padded_size(height, self.patch), padded_size(width, self.patch)
        grid = size[0] // self.patch, size[1] // self.patch
        embedders = ("x_embedder", "t_embedder", *(["y_embedder"] if self.y_embedder is not None else []))
        depth = len(self.blocks)
        return [
            Section("in", embedders, grid, self.channels),
            Section(
                "blocks",
                tuple(f"blocks.{i}" for i in range(depth)),
                grid,
                self.channels,
                blocks=depth,
                attention=depth,
                heads=self.heads,
            ),
            Section("out", ("final_layer",), size, self.final_layer.linear.out_features // self.patch**2),
        ]


class DiT(_Transformer):
    """The diffusion transformer with adaLN-Zero blocks: `forward(x, t, labels=...)`.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output; None for as many as x has, twice as many to learn a variance.
        channels: width of the tokens; a multiple of 4.
        depth: number of blocks.
        heads: of each attention; divides channels.
        patch: side of the squares that become one token; divides the resolution.
        resolution: side of the images the network is meant for, or (height, width): the grid of the stored positions.
            Images of any size can be denoised.
        mlp_ratio: width inside the MLPs as a multiple of channels.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        null_class: whether there is a row for "no class" behind the classes; what guidance needs.
        time_shift: of the frequencies of the time: 0 as trained by Meta, 1 as diffusers computes them.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it, and the nearest ones that do.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "channels": 16,
        "depth": 2,
        "heads": 2,
        "patch": 4,
        "resolution": 16,
        "classes": 3,
    }
    _family = "DiT"

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        channels: int = 384,
        depth: int = 12,
        heads: int = 6,
        patch: int = 2,
        resolution: int | tuple[int, int] = 32,
        mlp_ratio: float = 4.0,
        classes: int | None = None,
        null_class: bool = True,
        time_shift: float = 0.0,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            made_channels=in_channels if out_channels is None else out_channels,
            channels=channels,
            depth=depth,
            heads=heads,
            patch=patch,
            resolution=resolution,
            mlp_ratio=mlp_ratio,
            classes=classes,
            null_class=null_class,
            time_shift=time_shift,
        )

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by a parameterization.

        A side that the patch does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional, embedded in float32 at least.
            labels: (B,) classes 0..classes-1, and -1, or the row ``classes`` itself, for no class; None for no class
                at all.
            prepared: what ``prepare_times`` made of t and labels, a row of it for each sample or one for all.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when a network without classes is given labels, one without a null class is not, or
                a label (on the CPU, where looking costs nothing) is not a class.
        """
        return self._made(x, t, labels, prepared)


class SiT(_Transformer):
    """DiT's network as a velocity of a flow (Ma et al. 2024): `forward(x, t, labels=...)`.

    Args:
        in_channels: channels of x and of the output.
        spare_channels: whether the last layer makes as many channels again, which are left out: released models were
            built with the variance of DiT, and trained without.
        channels: width of the tokens; a multiple of 4.
        depth: number of blocks.
        heads: of each attention; divides channels.
        patch: side of the squares that become one token; divides the resolution.
        resolution: side of the images the network is meant for, or (height, width): the grid of the stored positions.
            Images of any size can be denoised.
        mlp_ratio: width inside the MLPs as a multiple of channels.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        null_class: whether there is a row for "no class" behind the classes; what guidance needs.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it, and the nearest ones that do.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "channels": 16,
        "depth": 2,
        "heads": 2,
        "patch": 4,
        "resolution": 16,
        "classes": 3,
    }
    _family = "SiT"

    def __init__(
        self,
        *,
        in_channels: int = 3,
        spare_channels: bool = False,
        channels: int = 384,
        depth: int = 12,
        heads: int = 6,
        patch: int = 2,
        resolution: int | tuple[int, int] = 32,
        mlp_ratio: float = 4.0,
        classes: int | None = None,
        null_class: bool = True,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            made_channels=in_channels * (1 + spare_channels),
            channels=channels,
            depth=depth,
            heads=heads,
            patch=patch,
            resolution=resolution,
            mlp_ratio=mlp_ratio,
            classes=classes,
            null_class=null_class,
            time_shift=0.0,
        )

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        labels: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """The network's output, read by the parameterization ``flow``. Sizes and labels are as with `DiT`.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label; in released models 0 at noise, 1 at data.
            labels: (B,) classes, -1 for no class; None for no class at all.
            prepared: what ``prepare_times`` made of t and labels, a row of it for each sample or one for all.

        Returns:
            (B, in_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when labels do not fit the network.
        """
        return self._made(x, t, labels, prepared)[:, : self.in_channels]
