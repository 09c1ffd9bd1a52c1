"""Whether samples look like data, and whether all of the data is among them: two questions in place of one distance.

Each point of a set stands for the ball that reaches to its k-th neighbour in the set; the balls together are where the
set lives.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.metrics.neighbours import counts_within, nearest


@dataclass(frozen=True)
class Fidelity:
    """Two shares of two questions.

    Args:
        faithful: of the samples: precision, or density, which may be above 1.
        covered: of the data: recall, or coverage.
    """

    faithful: float
    covered: float


def precision_recall(real: Tensor, samples: Tensor, *, k: int = 3) -> Fidelity:
    """Improved precision and recall (Kynkaanniemi et al. 2019, eqs. 1 and 2).

    Precision is the share of samples that lie in a ball of the data, recall the share of the data that lies in a ball
    of the samples.

    Args:
        real: (N, D) features of the data.
        samples: (M, D) features of the samples.
        k: which neighbour a ball reaches to; both sets are larger than that.

    Raises:
        ShapeError: sets of another width, or of too few rows.
    """
    inside_real = counts_within(samples, real, _radii(real, k)) > 0
    inside_samples = counts_within(real, samples, _radii(samples, k)) > 0
    return Fidelity(float(inside_real.double().mean()), float(inside_samples.double().mean()))


def density_coverage(real: Tensor, samples: Tensor, *, k: int = 5) -> Fidelity:
    """Density and coverage (Naeem et al. 2020, section 3.2): only the data have balls, so outliers among samples do
    no harm.

    Density is the number of balls around a sample, in units of k; coverage is the share of balls that hold a sample.

    Args:
        real: (N, D) features of the data.
        samples: (M, D) features of the samples.
        k: which neighbour a ball reaches to; the data has more than that.

    Raises:
        ShapeError: sets of another width, or of too few rows.
    """
    radii = _radii(real, k)
    density = float(counts_within(samples, real, radii).double().mean()) / k
    reached = nearest(real, samples).distances[:, 0] <= radii
    return Fidelity(density, float(reached.double().mean()))


def share_nearer_than_data(real: Tensor, samples: Tensor) -> float:
    """The share of samples that are nearer to their nearest picture of the data than any other picture of it is.

    It is 1 less the authenticity of Alaa et al. 2022: a high share, beside that of data which the model has
    not seen, says that the samples are copies.

    Args:
        real: (N, D) features of the data, N >= 2.
        samples: (M, D) features of the samples.

    Raises:
        ShapeError: sets of another width, or a single picture.
    """
    found = nearest(samples, real)
    # of those pictures alone that something is nearest to; the first neighbour of each is itself
    asked, row = found.places[:, 0].unique(return_inverse=True)  # type: ignore[no-untyped-call]
    apart = nearest(real[asked], real, 2).distances[:, 1]
    return float((found.distances[:, 0] < apart[row]).double().mean())


def _radii(points: Tensor, k: int) -> Tensor:
    return nearest(points, points, k, itself=True).distances[:, -1]
