"""The Frechet distance between two Gaussians that are fitted to features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.errors import ShapeError


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set of features, in float64.

    Args:
        mean: (D,).
        covariance: (D, D), symmetric and positive semidefinite.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The sample moments of features: (N, D), N >= 2; the covariance divides by N - 1.

        Raises:
            ShapeError: for another shape, or fewer than two rows.
        """
        if features.ndim != 2 or len(features) < 2:
            raise ShapeError(f"moments need features of shape (N, D) with N >= 2, got {tuple(features.shape)}")
        rows = features.detach().to("cpu", torch.float64)
        return cls(rows.mean(0), rows.T.cov(correction=1).reshape(rows.shape[1], rows.shape[1]))


def frechet_distance(a: Moments, b: Moments) -> float:
    """d^2 = |m_a - m_b|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2))  (Dowson & Landau 1982, eq. 4).

    The trace of the last root is the sum of the singular values of A^(1/2) B^(1/2), whose factors come from
    eigenvalues: a covariance without full rank, as that of fewer samples than features, costs no precision and brings
    no complex numbers. The value is the square, as it is usually quoted; it is inf when a moment is not finite.

    Raises:
        ShapeError: when the two have another number of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ShapeError(f"features of {len(a.mean)} and {len(b.mean)} dimensions cannot be compared")
    if not all(tensor.isfinite().all() for tensor in (a.mean, a.covariance, b.mean, b.covariance)):
        return math.inf
    cross = torch.linalg.svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    traces = a.covariance.trace() + b.covariance.trace()
    # Rounding can bring the distance of a set to itself just below zero
    return max(0.0, float((a.mean - b.mean).square().sum() + traces - 2 * cross))


def _root(matrix: Tensor) -> Tensor:
    """The positive root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    # The root of an eigenvalue that is rounding alone would be far above rounding
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    root: Tensor = (vectors * values.where(values > noise, 0).sqrt()) @ vectors.T
    return root
