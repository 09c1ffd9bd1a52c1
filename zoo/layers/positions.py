"""Positions on a grid of patches: sines and cosines for any grid, and learned ones resampled to it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=32)
def sin_cos_positions(
    height: int,
    width: int,
    channels: int,
    device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Two-dimensional sines and cosines, row by row (Peebles & Xie 2023, after Dosovitskiy et al. 2021).

    The first half of the channels tells the column, the second the row. With n = channels / 4, each half is
    [sin(p w_i), cos(p w_i)] with w_i = 10000^(-i / n), i = 0..n-1.

    Args:
        height: rows of the grid.
        width: columns of the grid.
        channels: a multiple of 4.
        device: where the result goes; the arithmetic is in float64 on the CPU.
        dtype: of the result.

    Returns:
        (1, height * width, channels), the same tensor for the same arguments: not to be written to.
    """
    # kept for later calls, which may want gradients of what it is added to
    with torch.inference_mode(mode=False):
        line = torch.arange(channels // 4, dtype=torch.float64, device="cpu")
        frequencies = 10_000.0 ** (-line / (channels / 4))
        rows, columns = (torch.arange(side, dtype=torch.float64, device="cpu") for side in (height, width))
        waves = [
            torch.cat([angles.sin(), angles.cos()], 1) for angles in (p[:, None] * frequencies for p in (columns, rows))
        ]
        of_columns = waves[0].expand(height, width, -1)
        of_rows = waves[1][:, None].expand(height, width, -1)
        return torch.cat([of_columns, of_rows], 2).flatten(0, 1)[None].to(device, dtype)


def resampled_positions(table: Tensor, native: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Learned positions for another grid, by antialiased bicubic interpolation.

    Args:
        table: (1, h * w, C) positions of the native grid.
        native: its (h, w).
        grid: the (height, width) wanted; at the native one the table is returned as it is.

    Returns:
        (1, height * width, C).
    """
    if grid == native:
        return table
    maps = table.reshape(1, *native, -1).permute(0, 3, 1, 2)
    # the kernel has no half precision on the CPU
    exact = torch.promote_types(table.dtype, torch.float32)
    resampled = F.interpolate(maps.to(exact), grid, mode="bicubic", antialias=True, align_corners=False)
    return resampled.to(table.dtype).flatten(2).transpose(1, 2)
