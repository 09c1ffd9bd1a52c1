"""Images as tensors and as files: grids of them, written whole or not at all."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from zoo.core.errors import ShapeError
from zoo.files import write_atomically


def grid(images: Tensor, columns: int | None = None, *, gap: int = 2) -> Image.Image:
    """Images beside and below each other, row by row.

    Args:
        images: (N, C, H, W) in [-1, 1] with 1 or 3 channels; values beyond are cut.
        columns: images in a row; None makes the grid about square.
        gap: pixels between them.

    Raises:
        ShapeError: when it is not that shape.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ShapeError(f"images must be (N, 1 or 3, H, W) with N >= 1, got {tuple(images.shape)}")
    n, _, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte()
    squares = pixels.expand(n, 3, height, width).permute(0, 2, 3, 1).numpy()
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, square in enumerate(squares):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = square
    return Image.fromarray(sheet)


def false_colours(latents: Tensor) -> Tensor:
    """Something to look at of what is no picture: the first three channels as red, green and blue.

    Each channel is moved and scaled so that three standard deviations to both sides of its mean fill [-1, 1].

    Args:
        latents: (N, C, H, W) of any number of channels; of two, one is shown.

    Returns:
        (N, 1 or 3, H, W)
    """
    shown = latents.detach().float().cpu()[:, : 3 if latents.shape[1] >= 3 else 1]
    mean, std = shown.mean((0, 2, 3), keepdim=True), shown.std((0, 2, 3), keepdim=True, correction=0)
    return (shown - mean) / (3 * std).clamp(min=1e-12)


def save_png(image: Image.Image, path: str | PathLike[str]) -> None:
    """Write a PNG; a file that was there stays whole until the new one is."""
    write_atomically(Path(path), lambda beside: image.save(beside, format="png"))
