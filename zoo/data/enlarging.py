"""Pictures beside smaller ones of themselves, for models that enlarge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.base import DataError, Preview
from zoo.data.buckets import Sides
from zoo.images import grid, save_png


def check_factor(factor: int, shapes: Sequence[Sides]) -> None:
    """Refuse a factor by which not every shape can be made smaller.

    Raises:
        DataError: it is below 2, or does not divide a side.
    """
    wrong = [sides for sides in shapes if factor < 2 or sides[0] % factor or sides[1] % factor]
    if wrong:
        height, width = wrong[0]
        raise DataError(
            f"images: data.low_res_factor is a number from 2 that divides the sides of a picture, {height} and "
            f"{width}; got {factor}"
        )


def smaller(x_0: Tensor, factor: int) -> Tensor:
    """(..., C, H, W) -> (..., C, H / factor, W / factor), the means of squares of pixels."""
    return F.avg_pool2d(x_0, factor)


class Enlarged(Preview):
    """Pictures of the data, enlarged from small ones while a model learns it.

    Args:
        x_0: (N, C, H, W) as they are.
        factor: how many times smaller the model is given them.
        labels: (N,) their classes; None for data without.
    """

    def __init__(self, x_0: Tensor, factor: int, labels: Tensor | None) -> None:
        self.x_0, self.factor = x_0, factor
        self.shape = tuple(x_0.shape[1:])
        self.conditions = {"low_res": smaller(x_0, factor)}
        if labels is not None:
            self.conditions["labels"] = labels

    def write(self, samples: Tensor, stem: Path) -> Path:
        """A picture of three rows: what the model was given, what it made of it, and what it was."""
        given = self.conditions["low_res"]
        given = given.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        path = stem.with_suffix(".png")
        save_png(grid(torch.cat([given, samples.float().cpu(), self.x_0]), len(self.x_0)), path)
        return path
