"""What pictures of many sizes lose and gain when they are brought to those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.data.buckets import Sides

MUCH = 0.25
"""The share of a picture that is missed when it is cut away."""

_ROUND = 8


@dataclass(frozen=True)
class Sizes:
    """Sizes of the files of a set.

    Args:
        smallest: height and width of the picture of the fewest pixels.
        largest: of that of the most.
        enlarged: how many have fewer pixels than the model wants, in the part that is kept.
        fitting: the longest multiple of 8 that at most a tenth of the pictures would have to be enlarged to, as the
            shorter side; 0 when there is none.
        aspects: width over height: the least, the median and the greatest.
        cut: the share of a picture that is cut away, on average.
        cut_much: of how many it is more than a quarter.
    """

    smallest: Sides
    largest: Sides
    enlarged: int
    fitting: int
    aspects: tuple[float, float, float]
    cut: float
    cut_much: int


def measure(sizes: Sequence[Sides], cut_to: Sequence[Sides]) -> Sizes:
    """Compare sizes with those that the pictures are cut to.

    Args:
        sizes: height and width of each picture.
        cut_to: what each is cut and resized to.
    """
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    aspects = sorted(width / height for height, width in sizes)
    # how much the part that is kept grows, and the share of the picture that it is
    growths = [max(h / height, w / width) for (height, width), (h, w) in zip(sizes, cut_to, strict=True)]
    kept = [
        (h / growth) * (w / growth) / (height * width)
        for (height, width), (h, w), growth in zip(sizes, cut_to, growths, strict=True)
    ]
    shorter = sorted(min(to) / growth for to, growth in zip(cut_to, growths, strict=True))
    return Sizes(
        smallest=by_area[0],
        largest=by_area[-1],
        enlarged=sum(growth > 1 for growth in growths),
        fitting=int(shorter[len(shorter) // 10]) // _ROUND * _ROUND,
        aspects=(aspects[0], aspects[len(aspects) // 2], aspects[-1]),
        cut=1 - sum(kept) / len(kept),
        cut_much=sum(1 - share > MUCH for share in kept),
    )
