"""Pictures that a set has more than once: of the same pixels, or so nearly that nothing more is learnt by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.progress import Events, Progress

NEAR = 0.2
"""How far two pictures may be apart to be taken for the same, in units of their contrast."""

_SIDE = 8
_LOOSE = 0.85
_CANDIDATES = 4
_ROWS = 1024
_COLUMNS = 8192


@dataclass(frozen=True)
class Alike:
    """Two or more pictures that are the same, or nearly.

    Args:
        places: of the first of them, which stands for all, and of the others, nearest first.
        distances: of the others from the first.
    """

    places: Sequence[int]
    distances: Sequence[float]


def equal(keys: Sequence[Hashable]) -> list[Alike]:
    """Places of equal keys, at no distance, in the order of the first of them."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        found[key].append(place)
    return [Alike(places, [0.0] * (len(places) - 1)) for places in found.values() if len(places) > 1]


def similar(thumbs: Tensor, *, limit: float = NEAR) -> Events[list[Alike]]:
    """Which pictures are nearly the same as one before them.

    Each picture in turn is held against those that are left so far, and is left itself when it is near to none. Two
    are compared in 64 grey values, a perceptual hash that is not rounded to bits, by which the few that may be near
    are found; these in all of their pixels. Neither brightness nor contrast counts: a copy that was made darker is
    near, and pictures with much white around are no nearer for it. A million comparisons are one product of matrices,
    and memory grows with N alone.

    Args:
        thumbs: (N, C, H, W) bytes with H and W multiples of 8; none of them all of one colour.
        limit: the largest distance of what is nearly the same: |a - b|, where a and b are without the means of their
            channels and of length 1; sqrt(2) for pictures that have nothing to do with each other.

    Returns:
        Those that are near to one that is left, with it.
    """
    n = len(thumbs)
    hashes = _hashes(thumbs)
    found: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
    left = torch.zeros(0, dtype=torch.long)
    for start in range(0, n, _ROWS):
        yield Progress("looking for duplicates", start, n)
        block = torch.arange(start, min(start + _ROWS, n))
        best = torch.full((len(block),), torch.inf)
        to = torch.full((len(block),), -1)
        for offset in range(0, len(left), _COLUMNS):
            _nearest(thumbs, hashes, block, left[offset : offset + _COLUMNS], best, to)
        within = hashes[block] @ hashes[block].T
        # only what comes before it: a lower triangle
        may_be_near = (within > _LOOSE).tril(-1)
        for row in ((best > limit) & may_be_near.any(1)).nonzero()[:, 0].tolist():
            before = may_be_near[row].nonzero()[:, 0]
            before = before[best[before] > limit]
            if len(before):
                before = before[within[row, before].topk(min(_CANDIDATES, len(before))).indices]
                distances = _distances(thumbs, block[row].expand(len(before)), block[before])
                nearest = int(distances.argmin())
                best[row], to[row] = distances[nearest], block[before[nearest]]
        linked = best <= limit
        for place, leader, apart in zip(
            block[linked].tolist(), to[linked].tolist(), best[linked].tolist(), strict=True
        ):
            found[leader].append((apart, place))
        left = torch.cat([left, block[~linked]])
    return [_led(leader, sorted(found[leader])) for leader in sorted(found)]


def _led(leader: int, others: Sequence[tuple[float, int]]) -> Alike:
    return Alike([leader, *(place for _, place in others)], [apart for apart, _ in others])


def _hashes(thumbs: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 64) float32 of length 1 and mean 0."""
    rows = [
        F.adaptive_avg_pool2d(some.float().mean(1, keepdim=True), _SIDE).flatten(1)
        for some in torch.split(thumbs, _COLUMNS)
    ]
    grey = torch.cat(rows) if rows else torch.zeros(0, _SIDE**2)
    return F.normalize(grey - grey.mean(1, keepdim=True))


def _nearest(thumbs: Tensor, hashes: Tensor, block: Tensor, others: Tensor, best: Tensor, to: Tensor) -> None:
    """Find for each picture of the block the nearest of the others, and note it where it is nearer than the best."""
    likeness = hashes[block] @ hashes[others].T
    rows = (likeness.amax(1) > _LOOSE).nonzero()[:, 0]
    if not len(rows):
        return
    found = likeness[rows].topk(min(_CANDIDATES, len(others)), dim=1)
    k = found.indices.shape[1]
    apart = _distances(
        thumbs, block[rows].repeat_interleave(k), others[found.indices.flatten()], found.values.flatten() > _LOOSE
    ).view(-1, k)
    nearest = apart.min(1)
    nearer = nearest.values < best[rows]
    best[rows[nearer]] = nearest.values[nearer]
    to[rows[nearer]] = others[found.indices.gather(1, nearest.indices[:, None])[:, 0]][nearer]


def _distances(thumbs: Tensor, ours: Tensor, theirs: Tensor, wanted: Tensor | None = None) -> Tensor:
    """How far the pictures of two lists are apart, pair by pair: (P,), infinity where it is not wanted."""
    found = torch.full((len(ours),), torch.inf)
    pairs = torch.arange(len(ours)) if wanted is None else wanted.nonzero()[:, 0]
    for some in torch.split(pairs, _ROWS):
        a, b = _standard(thumbs[ours[some]]), _standard(thumbs[theirs[some]])
        found[some] = (a - b).square().sum(1).sqrt()
    return found


def _standard(thumbs: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, CHW): without the means of the channels, and of length 1."""
    values = thumbs.float()
    return F.normalize((values - values.mean((2, 3), keepdim=True)).flatten(1))
