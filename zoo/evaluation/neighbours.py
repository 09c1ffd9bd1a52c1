"""Samples beside the pictures of the data that are nearest to them, to see with one's eyes whether they are copies."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from zoo.evaluation.distances import Seen
from zoo.images import grid
from zoo.metrics.neighbours import nearest

ROWS = 16
COLUMNS = 3


def sheet(samples: Tensor, seen: Seen, images: Tensor, data: Seen, *, rows: int = ROWS) -> Image.Image:
    """The samples that are nearest to the data, as far as it is from itself there: the most suspicious first.

    Each row has the sample, a gap, its nearest pictures in features, a gap, and its nearest in pixels.

    Args:
        samples: (N, C, H, W) in [-1, 1].
        seen: the same.
        images: (M, C, H, W) all pictures of the data, M >= 3.
        data: the same.
        rows: how many samples, or all where they are fewer.
    """
    by_features = nearest(seen.features, data.features, COLUMNS)
    # the first neighbour of a picture of the data is itself
    apart = nearest(data.features[by_features.places[:, 0]], data.features, 2).distances[:, 1]
    # where the data is dense, all is near; a copy of what is there twice is 0 / 0
    ratios = (by_features.distances[:, 0] / apart).nan_to_num(nan=0, posinf=torch.inf)
    chosen = ratios.argsort(stable=True)[:rows]
    by_pixels = nearest(seen.pixels[chosen], data.pixels, COLUMNS)
    white = torch.ones_like(samples[:1])
    shown = []
    for row, places in zip(chosen, by_pixels.places, strict=True):
        shown += [samples[row][None], white, images[by_features.places[row]], white, images[places]]
    return grid(torch.cat(shown), 3 + 2 * COLUMNS)
