"""The sliced Wasserstein distance between two sets of points."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ShapeError


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = 128, seed: int = 0) -> float:
    """The root of the mean squared 2-Wasserstein distance of projections (Rabin et al. 2012, eq. 14, by sampling).

    On a line the best transport pairs the points in their order.

    Args:
        a, b: (N, ...) as many points each.
        directions: how many random lines.
        seed: of the lines, which are the same for every call.

    Raises:
        ShapeError: for sets of another shape.
    """
    if a.shape != b.shape or a.ndim < 2:
        raise ShapeError(f"expected two sets (N, ...) of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = (points.flatten(1).to("cpu", torch.float64) for points in (a, b))
    lines = torch.randn(a.shape[1], directions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    lines = lines / lines.norm(dim=0)
    paired = (a @ lines).sort(dim=0).values - (b @ lines).sort(dim=0).values
    return float(paired.square().mean().sqrt())
