"""Shapes for pictures of all proportions, of about as many pixels each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from zoo.data.base import DataError

Sides: TypeAlias = tuple[int, int]
"""Height and width."""


def bucket_sides(sides: Sides, aspect_limit: float, divisor: int) -> list[Sides]:
    """The shapes of which no side can grow without more pixels than the model's, from the widest to the tallest.

    Args:
        sides: of the model.
        aspect_limit: the longer side over the shorter one, at the most.
        divisor: of all sides.

    Raises:
        DataError: the model's own shape would not be among them.
    """
    height, width = sides
    if divisor < 1 or not aspect_limit >= 1:
        raise DataError(f"images: divisor and aspect_limit are numbers from 1, got {divisor} and {aspect_limit:g}")
    if height % divisor or width % divisor:
        common = math.gcd(height, width)
        raise DataError(
            f"images: buckets have sides that are multiples of {divisor}, and the model's are {height} and {width}: "
            f"set data.divisor to a divisor of {common}"
        )
    if max(sides) > aspect_limit * min(sides):
        raise DataError(
            f"images: the model's shape {height} x {width} is itself beyond data.aspect_limit={aspect_limit:g}"
        )
    # in units of the divisor; within the limit no side is longer than that of the most stretched shape
    units = height * width // divisor**2
    longest = math.isqrt(math.floor(units * aspect_limit))
    found = {(units // w, w) for w in range(1, longest + 1)} | {(h, units // h) for h in range(1, longest + 1)}
    fitting = {(h, w) for h, w in found if min(h, w) and max(h, w) <= aspect_limit * min(h, w)}
    largest = [one for one in fitting if not any(o != one and o[0] >= one[0] and o[1] >= one[1] for o in fitting)]
    return [(h * divisor, w * divisor) for h, w in sorted(largest, key=lambda one: one[0] / one[1])]


def bucket_of(size: Sides, shapes: Sequence[Sides]) -> int:
    """The number of the shape whose proportions are nearest to those of a picture, the first among equals."""
    wanted = math.log(size[0] / size[1])
    return min(range(len(shapes)), key=lambda number: abs(math.log(shapes[number][0] / shapes[number][1]) - wanted))
