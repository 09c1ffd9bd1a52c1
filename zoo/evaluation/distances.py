"""All measures of one set of pictures beside another."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.metrics.frechet import Moments, frechet_distance
from zoo.metrics.kernel import KernelDistance, kernel_distance
from zoo.metrics.manifold import density_coverage, precision_recall, share_nearer_than_data

PIXEL_SIDE = 32
"""To which pictures are brought down before their pixels are compared."""


@dataclass(frozen=True)
class Seen:
    """A set of pictures as the measures see it.

    Args:
        features: (N, D).
        pixels: (N, P).
    """

    features: Tensor
    pixels: Tensor

    def rows(self, start: int, stop: int | None = None) -> Seen:
        """The pictures ``start`` to ``stop``."""
        return Seen(self.features[start:stop], self.pixels[start:stop])


@dataclass(frozen=True)
class Distances:
    """What there is to say of a set of pictures beside the second half of the data.

    Args:
        pictures: how many they are.
        frechet: the Frechet distance of their features.
        kernel: the kernel distance, likewise.
        precision: share of them that lie among the data (k = 3).
        recall: share of the data that lies among them.
        density: how densely the data lies around them, in units of what it takes (k = 5).
        coverage: share of the data with one of them nearby.
        nearer: share of them that are nearer to the data, in features, than it is to itself: of samples to all of it,
            of the half that was set aside to the other.
        nearer_pixels: likewise in pixels.
        frechet_all: the Frechet distance of all samples and all pictures that were looked at, neither cut to halves nor
            to one number; None for data itself.
        as_asked: share of samples in which the classifier sees the class that was asked for; None where none was, or
            the features are of another kind.
    """

    pictures: int
    frechet: float
    kernel: KernelDistance
    precision: float
    recall: float
    density: float
    coverage: float
    nearer: float
    nearer_pixels: float
    frechet_all: float | None = None
    as_asked: float | None = None


def measured(some: Seen, data: Seen, *, copied: Seen, scale: float = 1.0, seed: int = 0) -> Distances:
    """The measures of some pictures beside those of the data; both are at least ten.

    Args:
        some: what is judged.
        data: what it is judged by.
        copied: what its pictures may be copies of.
        scale: what features are divided by for the kernel, whose cube of large ones is noise; KID's are as they are.
        seed: of the subsets of the kernel distance.
    """
    near = precision_recall(data.features, some.features)
    dense = density_coverage(data.features, some.features)
    return Distances(
        pictures=len(some.features),
        frechet=frechet_distance(Moments.of(some.features), Moments.of(data.features)),
        kernel=kernel_distance(some.features / scale, data.features / scale, seed=seed),
        precision=near.faithful,
        recall=near.covered,
        density=dense.faithful,
        coverage=dense.covered,
        nearer=share_nearer_than_data(copied.features, some.features),
        nearer_pixels=share_nearer_than_data(copied.pixels, some.pixels),
    )
