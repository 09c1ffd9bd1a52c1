"""Pixels as features: they need no network, and see what eyes see least."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.metrics.features import Features


class Pixels(Features):
    """The picture itself, made smaller and laid out as one row.

    Args:
        side: the longer side is brought down to so many pixels; smaller pictures stay as they are.
        images: (N, C, H, W) real examples, which tell the size.

    Raises:
        ArgumentValueError: a side of less than one pixel.
    """

    def __init__(self, *, side: int = 16, images: Tensor) -> None:
        if side < 1:
            raise ArgumentValueError(f"pixels: side must be at least 1, got {side}")
        channels, height, width = images.shape[1:]
        scale = min(1.0, side / max(height, width))
        self.size = max(1, round(height * scale)), max(1, round(width * scale))
        self.dimensions = channels * self.size[0] * self.size[1]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        images = images.to("cpu", torch.float32)
        if images.shape[2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        return images.flatten(1)

    def facts(self) -> Mapping[str, float | int]:
        return {"dimensions": self.dimensions, "height": self.size[0], "width": self.size[1]}
