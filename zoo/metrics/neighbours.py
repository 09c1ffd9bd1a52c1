"""Nearest neighbours, exactly and a block at a time, so that no table of all pairs is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.errors import ShapeError

_ROWS = 1024
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of N points.

    Args:
        distances: (N, k) float64, rising along each row.
        places: (N, k) their places among the others.
    """

    distances: Tensor
    places: Tensor


def nearest(points: Tensor, among: Tensor, k: int = 1, *, itself: bool = False, rows: int = _ROWS) -> Neighbours:
    """The k nearest of ``among`` to each of the points, nearest first.

    Args:
        points: (N, D), finite.
        among: (M, D) with M >= k, finite.
        k: how many.
        itself: the points are ``among``, and none is its own neighbour; M > k.
        rows: so many points are compared with so many others at a time; the result does not depend on it.

    Raises:
        ShapeError: sets of another width, or too few points to have k neighbours.
    """
    _check(points, among)
    if not 1 <= k <= len(among) - itself:
        raise ShapeError(f"{len(among)} points are too few to have {k} neighbours{' but themselves' if itself else ''}")
    squares, places = [], []
    for start, block in _blocks(points, rows):
        best = block.new_full((len(block), 0), 0.0)
        best_places = torch.zeros(len(block), 0, dtype=torch.long)
        for offset, others in _blocks(among, rows):
            found = _squared(block, others)
            if itself and start == offset:
                # further than anything, and not what is taken already
                found.fill_diagonal_(torch.finfo(found.dtype).max)
            numbers = torch.arange(offset, offset + len(others)).expand(len(block), -1)
            best, best_places = torch.cat([best, found], 1), torch.cat([best_places, numbers], 1)
            order = _least(best, k)
            best, best_places = best.gather(1, order), best_places.gather(1, order)
        squares.append(best)
        places.append(best_places)
    return Neighbours(torch.cat(squares).sqrt(), torch.cat(places))


def counts_within(points: Tensor, centres: Tensor, radii: Tensor, *, rows: int = _ROWS) -> Tensor:
    """In how many of the balls around the centres each point lies, the surface included.

    Args:
        points: (N, D).
        centres: (M, D).
        radii: (M,) of the balls.
        rows: as in :func:`nearest`.

    Returns:
        (N,) whole numbers.

    Raises:
        ShapeError: sets of another width, or not one radius a centre.
    """
    _check(points, centres)
    if radii.shape != centres.shape[:1]:
        raise ShapeError(f"expected one radius for each of {len(centres)} centres, got shape {tuple(radii.shape)}")
    limits = radii.to("cpu", torch.float64)
    counts = []
    for _, block in _blocks(points, rows):
        count = torch.zeros(len(block), dtype=torch.long)
        for offset, others in _blocks(centres, rows):
            # a neighbour that the radius reaches to is inside, on whichever side of it rounding falls
            slack = _ROUNDING * _norms(block, others)
            count += (_squared(block, others) <= limits[offset : offset + len(others)].square() + slack).sum(1)
        counts.append(count)
    return torch.cat(counts)


def _least(table: Tensor, k: int) -> Tensor:
    """Where the k least of each row are, or all of a narrower one: (N, M) -> (N, k).

    Among equals the first, so that neighbours do not depend on the blocks: ``min`` promises it, ``topk`` does not, and
    sorting whole rows takes longer than the distances themselves.
    """
    rest, order = table.clone(), []
    for _ in range(min(k, table.shape[1])):
        order.append(rest.min(1, keepdim=True).indices)
        rest.scatter_(1, order[-1], torch.inf)
    return torch.cat(order, 1)


def _check(points: Tensor, among: Tensor) -> None:
    if points.ndim != 2 or among.ndim != 2 or points.shape[1] != among.shape[1] or not len(points) or not len(among):
        raise ShapeError(
            f"expected two sets of points (N, D) of one width, got {tuple(points.shape)} and {tuple(among.shape)}"
        )


def _blocks(points: Tensor, rows: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(points), rows):
        yield start, points[start : start + rows].detach().to("cpu", torch.float64)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2 for a: (N, D), b: (M, D), float64 -> (N, M)."""
    norms = _norms(a, b)
    squared = torch.addmm(norms, a, b.T, alpha=-2)
    # a copy is at no distance, and not at what rounding leaves of one
    return squared.where(squared > _ROUNDING * norms, 0)


def _norms(a: Tensor, b: Tensor) -> Tensor:
    return a.square().sum(1)[:, None] + b.square().sum(1)
