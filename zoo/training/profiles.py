"""Power-function profiles of averaging, and how snapshots of a few of them make any other (Karras et al. 2024).

The profile of an average at time T is p(t) = (gamma + 1) t^gamma / T^(gamma + 1) for t in [0, T]. Its width
sigma_rel is its standard deviation over T. The least squares fit of a profile by those of snapshots needs their inner
products alone, which are known in closed form (appendix C).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError

WIDEST = 12**-0.5
"""sigma_rel of gamma = 0, in which every update has the same share."""


def exponent(sigma_rel: float) -> float:
    """The gamma of a width: the positive root of (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) = sigma_rel^2.

    Raises:
        ArgumentValueError: the width is not above 0 and below WIDEST.
    """
    if not 0 < sigma_rel < WIDEST:
        raise ArgumentValueError(f"sigma_rel must be above 0 and below {WIDEST:.3f}, got {sigma_rel:g}")
    # the left side falls as gamma grows, and is below 1 / gamma^2
    low, high = 0.0, 1 / sigma_rel
    for _ in range(200):
        middle = (low + high) / 2
        wider = (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > sigma_rel**2
        low, high = (middle, high) if wider else (low, middle)
    return (low + high) / 2


def mix(snapshots: Sequence[tuple[float, float]], wanted: tuple[float, float]) -> Tensor:
    """The factors, of sum 1, with which snapshots are closest to a profile.

    Args:
        snapshots: (time, gamma) of each, all different.
        wanted: (time, gamma) of the profile.

    Returns:
        (N,) float64.
    """
    of_two = torch.tensor([[_product(one, other) for other in snapshots] for one in snapshots], dtype=torch.float64)
    with_wanted = torch.tensor([[_product(one, wanted)] for one in snapshots], dtype=torch.float64)
    # a multiplier keeps the sum at 1: without it few snapshots leave weights that are too small
    one = torch.ones(1, 1, dtype=torch.float64)
    ones = one.expand(len(snapshots), 1)
    bordered = torch.cat([torch.cat([of_two, ones], 1), torch.cat([ones.T, 0 * one], 1)])
    # neighbouring profiles are nearly the same: the solver may drop what rounding cannot tell apart
    factors: Tensor = torch.linalg.lstsq(bordered, torch.cat([with_wanted, one]), driver="gelsd").solution
    return factors[:-1, 0]


def _product(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The integral of the product of two profiles."""
    (early, gamma), (late, other_gamma) = sorted((one, other))
    scale = (gamma + 1) * (other_gamma + 1) / ((gamma + other_gamma + 1) * late)
    return float(scale * (early / late) ** other_gamma)
