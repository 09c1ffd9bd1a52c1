"""The kernel distance between two sets of features: an unbiased estimate, for few samples as for many."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.errors import ShapeError


@dataclass(frozen=True)
class KernelDistance:
    """What many subsets say.

    Args:
        mean: over the subsets.
        std: between them.
        subsets: how many.
        size: rows of each.
    """

    mean: float
    std: float
    subsets: int
    size: int


def squared_mmd(a: Tensor, b: Tensor) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3).

    The kernel is the cubic one of KID, k(x, y) = (x . y / D + 1)^3 (Binkowski et al. 2018). It is 0 on
    average for two sets of one distribution, so that it may be negative.

    Args:
        a: (N, D) with N >= 2.
        b: (M, D) with M >= 2.

    Raises:
        ShapeError: sets of another width, or of a single row.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ShapeError(f"expected two sets (N, D) of two rows or more, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = (rows.detach().to("cpu", torch.float64) for rows in (a, b))
    return float(_within(a) + _within(b) - 2 * _cubic(a, b).mean())


def kernel_distance(a: Tensor, b: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> KernelDistance:
    """The squared discrepancy of random subsets: its mean, and how far they differ (Binkowski et al. 2018).

    Args:
        a: (N, D) with N >= 4.
        b: (M, D) with M >= 4.
        subsets: how many.
        size: rows of each, or half of the smaller set where that is less: subsets of whole sets would all be one.
        seed: of the subsets.

    Raises:
        ShapeError: sets of another width, or of less than four rows.
    """
    size = min(size, min(len(a), len(b)) // 2)
    generator = torch.Generator().manual_seed(seed)
    found = torch.tensor(
        [squared_mmd(_some(a, size, generator), _some(b, size, generator)) for _ in range(subsets)], dtype=torch.float64
    )
    return KernelDistance(float(found.mean()), float(found.std(correction=0)), subsets, size)


def _some(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:size]]


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(rows: Tensor) -> Tensor:
    """The mean of the kernel over all pairs of different rows."""
    table, n = _cubic(rows, rows), len(rows)
    return (table.sum() - table.trace()) / (n * (n - 1))
