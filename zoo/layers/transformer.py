"""Parts of image transformers: patches in and out, time, and blocks that a condition modulates.

Attention, MLP and patch embedding are timm's, whose parameters have the names that released files have.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from timm.layers.mlp import Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.ahead import Ahead, Modulation
from zoo.layers.embeddings import sinusoidal_embedding


def hidden_width(channels: int, mlp_ratio: float) -> int:
    """Width inside an MLP: mlp_ratio x channels, rounded down as in all published code."""
    # 257 / 96 * 96 is 256.99... in floating point
    return int(channels * mlp_ratio + 1e-6)


def check_arguments(*, channels: int, heads: int, mlp_ratio: float, **counts: int) -> None:
    """What every transformer needs of its numbers.

    Raises:
        ArgumentValueError: a count below 1, heads that do not divide the width, or an MLP without width.
    """
    for name, count in {"channels": channels, "heads": heads, **counts}.items():
        if count < 1:
            raise ArgumentValueError(f"{name} must be at least 1, got {count}")
    if channels % heads:
        fitting = [count for count in range(1, channels + 1) if channels % count == 0]
        below, above = max(n for n in fitting if n < heads), min((n for n in fitting if n > heads), default=channels)
        raise ArgumentValueError(f"heads must divide channels = {channels}, got {heads}; nearest: {below} or {above}")
    if not (math.isfinite(mlp_ratio) and hidden_width(channels, mlp_ratio) >= 1):
        raise ArgumentValueError(f"mlp_ratio must leave at least one channel of {channels}, got {mlp_ratio:g}")


def patch_grid(resolution: int | tuple[int, int], patch: int) -> tuple[int, int]:
    """(rows, columns) of patches of an image.

    Raises:
        ArgumentValueError: the patch does not divide the resolution.
    """
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    for side in (height, width):
        if side < 1 or side % patch:
            low = side // patch * patch
            nearest = f"{low} or {low + patch}" if low > 0 else str(patch)
            raise ArgumentValueError(
                f"resolution must be a multiple of patch = {patch}, got {resolution}; nearest: {nearest}. Images of "
                "other sizes can be denoised all the same"
            )
    return height // patch, width // patch


def patch_embedding(in_channels: int, patch: int, channels: int) -> PatchEmbed:
    """(B, in_channels, H, W) -> (B, H W / patch^2, channels), row by row, for any H and W that the patch divides."""
    return PatchEmbed(img_size=None, patch_size=patch, in_chans=in_channels, embed_dim=channels)


def unpatchify(tokens: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """(B, rows columns, patch patch C) -> (B, C, rows patch, columns patch), the channels fastest within a token."""
    rows, columns = grid
    channels = tokens.shape[-1] // patch**2
    pixels = tokens.reshape(len(tokens), rows, columns, patch, patch, channels)
    return pixels.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), channels, rows * patch, columns * patch)


class TimeEmbedder(nn.Module):
    """Time label -> (B, channels): 256 cosines and sines through an MLP.

    Args:
        channels: of the result.
        shift: of the frequencies, see `sinusoidal_embedding`.
    """

    def __init__(self, channels: int, *, shift: float = 0.0) -> None:
        super().__init__()
        self.waves, self.shift = 256, shift
        self.mlp = nn.Sequential(nn.Linear(self.waves, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """t: (B,) times, whole or fractional; dtype: of the parameters."""
        exact = torch.promote_types(dtype, torch.float32)
        waves = sinusoidal_embedding(t, self.waves, shift=self.shift, order="cos-sin", dtype=exact)
        return self.mlp(waves.to(dtype))  # type: ignore[no-any-return]


class LabelEmbedder(nn.Module):
    """Class -> (B, channels), by a table whose last row may be "no class"."""

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(rows, channels)

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (B,) of the table."""
        return self.embedding_table(rows)  # type: ignore[no-any-return]


def label_rows(family: str, labels: Tensor | None, t: Tensor, classes: int, null_class: bool) -> Tensor:
    """The rows of a table of classes, the null class last if there is one.

    Args:
        family: what messages call the network.
        labels: (B,) classes, or -1 for no class; None for no class at all.
        t: (B,) times, for the number of rows and their device.
        classes: number of classes without the null class.
        null_class: whether row ``classes`` is "no class".

    Raises:
        ArgumentValueError: no class for a network without a null class. On an accelerator only a None is refused here,
            since looking at the numbers would wait for them; there a -1 fails as an index that is out of range.
    """
    if null_class:
        return (
            t.new_full((len(t),), classes, dtype=torch.long)
            if labels is None
            else torch.where(labels < 0, classes, labels)
        )
    if labels is None or (labels.is_cpu and bool((labels < 0).any())):
        given = "no labels were given" if labels is None else "labels hold -1"
        raise ArgumentValueError(
            f"this {family} was built without a null class, and {given}: give every image a class 0..{classes - 1}, "
            "or build it with null_class=True"
        )
    return labels


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift, for x: (B, N, C) and one (B, C) of each."""
    return x * (1 + scale[:, None]) + shift[:, None]


_tanh_gelu: Any = partial(nn.GELU, approximate="tanh")


class AdaLNBlock(nn.Module):
    """A transformer block that a condition modulates: adaLN-Zero (Peebles & Xie 2023, section 3.2).

    x += g_1 attention((1 + b_1) LN(x) + a_1); x += g_2 mlp((1 + b_2) LN(x) + a_2), with a, b and g linear in the
    condition.

    Args:
        channels: width of the tokens.
        heads: of the attention; divides channels.
        mlp_ratio: width inside the MLP as a multiple of channels.
    """

    def __init__(self, channels: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(channels, num_heads=heads, qkv_bias=True)
        self.norm2 = nn.LayerNorm(channels, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(channels, hidden_width(channels, mlp_ratio), act_layer=_tanh_gelu)
        self.adaLN_modulation = Modulation(channels, 6 * channels)

    def forward(self, x: Tensor, condition: Tensor | Ahead) -> Tensor:
        """x: (B, N, channels), condition: (B, channels), or its modulations."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.adaLN_modulation(condition).chunk(6, dim=1)
        x = x + gate_1[:, None] * self.attn(modulate(self.norm1(x), shift_1, scale_1))
        out: Tensor = x + gate_2[:, None] * self.mlp(modulate(self.norm2(x), shift_2, scale_2))
        return out


class FinalLayer(nn.Module):
    """Tokens -> pixels of their patch, modulated by the condition: (B, N, channels) -> (B, N, patch^2 out_channels)."""

    def __init__(self, channels: int, patch: int, out_channels: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(channels, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(channels, patch * patch * out_channels)
        self.adaLN_modulation = Modulation(channels, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor | Ahead) -> Tensor:
        """x: (B, N, channels), condition: (B, channels), or its modulations."""
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))  # type: ignore[no-any-return]
