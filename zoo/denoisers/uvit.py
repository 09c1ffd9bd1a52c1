"""U-ViT (Bao et al. 2023): a plain transformer with long skips in which time and class are tokens.

    [class, time, patches] + positions -> depth / 2 blocks -> block -> depth / 2 blocks, each after
    linear([x, skip]), last in first out -> norm, linear, patches back, 3x3 convolution

Parameters have the names of the released files. Learned positions are resampled for grids other than the trained one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.layers.inputs import check_images, check_labels
from zoo.layers.levels import Section
from zoo.layers.positions import resampled_positions
from zoo.layers.resampling import pad_to_multiple, padded_size
from zoo.layers.transformer import check_arguments, label_rows, patch_embedding, patch_grid, unpatchify


class SkipBlock(Block):
    """timm's block with a linear layer that brings [x, skip] to the width of one of them, (B, N, channels)."""

    def __init__(self, channels: int, heads: int, *, mlp_ratio: float, qkv_bias: bool, skip: bool) -> None:
        # timm's own norm has another eps
        super().__init__(channels, heads, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, norm_layer=nn.LayerNorm)
        self.skip_linear = nn.Linear(2 * channels, channels) if skip else None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """x: (B, N, channels), or (B, N, 2 channels) where there is a skip; the rest is timm's."""
        return super().forward(x if self.skip_linear is None else self.skip_linear(x), *args, **kwargs)


class UViT(nn.Module):
    """The transformer with long skips: `forward(x, t, labels=...)`.

    Args:
        in_channels: channels of x and of the output.
        channels: width of the tokens.
        depth: number of blocks beside the middle one; even, as half of them get the skips of the others.
        heads: of each attention; divides channels.
        patch: side of the squares that become one token; divides the resolution.
        resolution: side of the images the network is meant for, or (height, width): the grid of the learned
            positions. Images of any size can be denoised.
        mlp_ratio: width inside the MLPs as a multiple of channels.
        qkv_bias: whether queries, keys and values have a bias.
        time_mlp: whether the sinusoids of the time go through an MLP.
        classes: number of classes of a class-conditional network; None for an unconditional one.
        null_class: whether there is a row for "no class" behind the classes, as in latent models with their 1000 + 1
            rows; what guidance needs.
        long_skips: whether the second half of the blocks sees the first.
        final_conv: whether a 3x3 convolution smooths the borders of the patches.

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

    def __init__(
        self,
        *,
        in_channels: int = 3,
        channels: int = 512,
        depth: int = 12,
        heads: int = 8,
        patch: int = 2,
        resolution: int | tuple[int, int] = 32,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        time_mlp: bool = False,
        classes: int | None = None,
        null_class: bool = True,
        long_skips: bool = True,
        final_conv: bool = True,
    ) -> None:
        super().__init__()
        check_arguments(
            channels=channels,
            heads=heads,
            mlp_ratio=mlp_ratio,
            in_channels=in_channels,
            patch=patch,
            classes=1 if classes is None else classes,
        )
        if depth < 0 or depth % 2:
            low = max(depth // 2 * 2, 0)
            raise ArgumentValueError(
                f"depth must be even, one half for the way in and one for the way out, got {depth}; "
                f"nearest: {low} or {low + 2}"
            )
        self.in_channels, self.channels, self.heads, self.patch = in_channels, channels, heads, patch
        self.classes, self.null_class, self.long_skips = classes, null_class, long_skips
        self.grid = patch_grid(resolution, patch)
        self.extras = 1 if classes is None else 2

        self.patch_embed = patch_embedding(in_channels, patch, channels)
        self.time_embed = (
            nn.Sequential(nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, channels))
            if time_mlp
            else nn.Identity()
        )
        self.label_emb = None if classes is None else nn.Embedding(classes + null_class, channels)
        self.pos_embed = nn.Parameter(torch.empty(1, self.extras + self.grid[0] * self.grid[1], channels))

        def block(*, skip: bool = False) -> SkipBlock:
            return SkipBlock(channels, heads, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, skip=skip)

        self.in_blocks = nn.ModuleList(block() for _ in range(depth // 2))
        self.mid_block = block()
        self.out_blocks = nn.ModuleList(block(skip=long_skips) for _ in range(depth // 2))
        self.norm = nn.LayerNorm(channels)
        self.decoder_pred = nn.Linear(channels, patch * patch * in_channels)
        self.final_layer = (
            nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1) if final_conv else nn.Identity()
        )
        self._initialise()

    def _initialise(self) -> None:
        """As published; convolutions and the table of classes keep torch's own."""
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, t: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The network's output, read by a parameterization.

        A side that the patch does not divide is padded on the right or at the bottom (mirrored where it is long
        enough, else by repeating the border) and the output is cropped; other sizes are not touched.

        Args:
            x: (B, in_channels, H, W), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional, embedded in float32 at least.
            labels: (B,) classes 0..classes-1, and -1, or the row ``classes`` itself, for no class; None for no class
                at all.

        Returns:
            (B, in_channels, H, W).

        Raises:
            ShapeError: when x, t or labels have another shape.
            ArgumentValueError: when a network without classes is given labels, one without a null class is not, or
                a label (on the CPU, where looking costs nothing) is not a class.
        """
        check_images("UViT", x, t, self.in_channels)
        known = None if self.classes is None else self.classes + self.null_class
        check_labels("UViT", labels, len(x), known)
        height, width = x.shape[2:]
        x = pad_to_multiple(x, self.patch)
        grid = (x.shape[2] // self.patch, x.shape[3] // self.patch)
        t = t.expand(len(x))
        exact = torch.promote_types(x.dtype, torch.float32)
        waves = sinusoidal_embedding(t, self.channels, order="cos-sin", dtype=exact)
        tokens = [self.time_embed(waves.to(x.dtype))[:, None], self.patch_embed(x)]
        if self.label_emb is not None and self.classes is not None:
            tokens.insert(0, self.label_emb(label_rows("UViT", labels, t, self.classes, self.null_class))[:, None])
        h = torch.cat(tokens, dim=1) + self._positions(grid)
        skips = []
        for block in self.in_blocks:
            h = block(h)
            skips.append(h)
        h = self.mid_block(h)
        for block in self.out_blocks:
            h = block(torch.cat([h, skips.pop()], dim=-1) if self.long_skips else h)
        pixels = self.decoder_pred(self.norm(h)[:, self.extras :])
        out: Tensor = self.final_layer(unpatchify(pixels, grid, self.patch))
        return out[..., :height, :width]

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, tokens, channels): the learned ones, those of patches resampled to the grid."""
        if grid == self.grid:
            return self.pos_embed
        extras, patches = self.pos_embed[:, : self.extras], self.pos_embed[:, self.extras :]
        return torch.cat([extras, resampled_positions(patches, self.grid, grid)], dim=1)

    def sections(self, height: int, width: int) -> list[Section]:
        """The structure of the network for images of this size, in the order of the table."""
        size = padded_size(height, self.patch), padded_size(width, self.patch)
        grid = size[0] // self.patch, size[1] // self.patch
        embedders = ("patch_embed", "time_embed", *(["label_emb"] if self.label_emb is not None else []))
        half = len(self.in_blocks)

        def blocks(name: str, modules: tuple[str, ...]) -> Section:
            count = len(modules)
            return Section(name, modules, grid, self.channels, blocks=count, attention=count, heads=self.heads)

        return [
            Section("in", embedders, grid, self.channels),
            *([blocks("way in", tuple(f"in_blocks.{i}" for i in range(half)))] if half else []),
            blocks("middle", ("mid_block",)),
            *([blocks("way out", tuple(f"out_blocks.{i}" for i in range(half)))] if half else []),
            Section("out", ("norm", "decoder_pred", "final_layer"), size, self.in_channels),
        ]
