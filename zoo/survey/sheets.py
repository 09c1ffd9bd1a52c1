"""Pictures side by side, as a model sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from zoo.data.base import Dataset
from zoo.data.latents import Latents
from zoo.images import false_colours, grid, save_png
from zoo.survey.duplicates import Alike
from zoo.survey.looks import Look

_LEAST = 4
_MOST = 16
_GROUPS = 20
_OF_GROUP = 8
_VISIBLE = 64
_GAP = 2
_GREY = 0.7


@dataclass(frozen=True)
class Sheet:
    """A table of pictures.

    Args:
        images: (N, C, H, W) in [-1, 1], row by row; smaller ones lie on grey, and places without a picture are white.
            Latents have false colours, and reach a little beyond.
        columns: how many make a row.
        titles: of the rows; empty for none.
    """

    images: Tensor
    columns: int
    titles: Sequence[str] = ()

    def picture(self) -> Image.Image:
        """The table; small pictures have their pixels repeated, so that they can be looked at."""
        zoom = max(1, round(_VISIBLE / max(self.images.shape[2:])))
        shown = self.images.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
        table = grid(shown, self.columns, gap=_GAP)
        if not self.titles:
            return table
        font = ImageFont.load_default()
        # the font of Pillow knows no others
        titles = [title.encode("ascii", "replace").decode("ascii") for title in self.titles]
        margin = int(max(font.getlength(title) for title in titles)) + 4 * _GAP
        sheet = Image.new("RGB", (margin + table.width, table.height), "white")
        sheet.paste(table, (margin, 0))
        pen = ImageDraw.Draw(sheet)
        for row, title in enumerate(titles):
            pen.text((_GAP, row * (shown.shape[2] + _GAP) + _GAP), title, "black", font)
        return sheet

    def save(self, path: Path) -> None:
        """Write it as a PNG, whole or not at all."""
        save_png(self.picture(), path)


def contact_sheet(data: Dataset, looks: Sequence[Look], classes: Sequence[str], number: int, seed: int) -> Sheet:
    """Pictures that chance picks, which the seed decides; where there are classes a row each, with its number.

    Args:
        data: what they are read from.
        looks: all of its pictures.
        classes: names by label; empty for none.
        number: at most so many pictures. Of more classes than get four each, chance picks some.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = [looks[place] for place in torch.randperm(len(looks), generator=generator).tolist()]
    present = sorted({one.label for one in looks if 0 <= one.label < len(classes)})
    if not present:
        chosen = [one.index for one in shuffled[:number]]
        return Sheet(_table(data, [chosen], len(chosen)), _about_square(len(chosen)))
    some = torch.randperm(len(present), generator=generator)[: max(1, number // _LEAST)].sort().values
    shown = [present[place] for place in some.tolist()]
    most = max(1, min(_MOST, number // len(shown)))
    rows = [[one.index for one in shuffled if one.label == label][:most] for label in shown]
    columns = max(map(len, rows))
    return Sheet(_table(data, rows, columns), columns, [f"{label} {classes[label]}" for label in shown])


def duplicates_sheet(data: Dataset, looks: Sequence[Look], copies: Sequence[Alike], near: Sequence[Alike]) -> Sheet:
    """A row a group of pictures that are alike: copies, then those that are nearly, from the nearest on.

    Args:
        data: what they are read from.
        looks: all of its pictures.
        copies: places of those that are equal.
        near: places of those that are nearly the same. Of many groups some are shown, of all distances.
    """
    by_distance = sorted(near, key=lambda group: group.distances[0])
    step = max(1.0, len(near) / _GROUPS)
    some = [by_distance[int(place * step)] for place in range(min(len(near), _GROUPS))]
    titles = ["copies" for _ in copies[:_GROUPS]] + [f"near {group.distances[0]:.2f}" for group in some]
    rows = [[looks[place].index for place in group.places[:_OF_GROUP]] for group in (*copies[:_GROUPS], *some)]
    columns = max(map(len, rows))
    return Sheet(_table(data, rows, columns), columns, titles)


def _table(data: Dataset, rows: Sequence[Sequence[int]], columns: int) -> Tensor:
    """Rows of examples as one tensor, each row filled up with white."""
    pictures: list[list[Tensor]] = [[data[index]["x_0"] for index in row] for row in rows]
    if isinstance(data, Latents):
        # of all at once: beside each other they can be compared
        shown = iter(false_colours(torch.stack([one for row in pictures for one in row])))
        pictures = [[next(shown) for _ in row] for row in pictures]
    every = [one for row in pictures for one in row]
    height, width = (max(one.shape[side] for one in every) for side in (1, 2))
    white = torch.ones(every[0].shape[0], height, width)
    return torch.stack(
        [
            _on_grey(row[column], height, width) if column < len(row) else white
            for row in pictures
            for column in range(columns)
        ]
    )


def _on_grey(x_0: Tensor, height: int, width: int) -> Tensor:
    """(C, h, w) in the middle of (C, height, width); many a picture is white at its edges."""
    below, right = height - x_0.shape[1], width - x_0.shape[2]
    return F.pad(x_0, (right // 2, right - right // 2, below // 2, below - below // 2), value=_GREY)


def _about_square(n: int) -> int:
    return max(1, round(math.sqrt(n) * 1.25))
