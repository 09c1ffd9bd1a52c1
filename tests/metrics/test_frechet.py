"""The Frechet distance against its closed forms."""

import math

import pytest
import torch

from zoo.core.errors import ShapeError
from zoo.metrics.frechet import Moments, frechet_distance

# Traces of float64 matrices of size 8 and norm 100: some hundred roundings of 1e-14
ROUNDING = 1e-11


def gaussian(mean, covariance):
    return Moments(torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64))


def random_covariance(size, rank, seed):
    root = torch.randn(size, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T


def test_one_dimension():
    a, b = gaussian([1.0], [[4.0]]), gaussian([-2.0], [[9.0]])
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 3) ** 2, abs=1e-12)


def test_commuting_covariances():
    a, b = gaussian([0.0, 1.0], [[4.0, 0.0], [0.0, 1.0]]), gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 25.0]])
    assert frechet_distance(a, b) == pytest.approx(1 + 1 + 16, abs=1e-12)


def test_two_dimensions_that_do_not_commute():
    a, b = [[2.0, 0.7], [0.7, 1.0]], [[1.0, -0.4], [-0.4, 3.0]]
    trace_of_product = sum(a[i][k] * b[k][i] for i in range(2) for k in range(2))
    determinants = (2 - 0.49) * (3 - 0.16)
    # the root of a 2 x 2 matrix M has the trace sqrt(tr M + 2 sqrt(det M))
    expected = 3 + 4 - 2 * math.sqrt(trace_of_product + 2 * math.sqrt(determinants))
    assert frechet_distance(gaussian([0.0, 0.0], a), gaussian([0.0, 0.0], b)) == pytest.approx(expected, abs=1e-12)


def test_a_shift_alone_is_its_square():
    covariance = random_covariance(8, 8, seed=1)
    shift = torch.arange(8, dtype=torch.float64)
    distance = frechet_distance(Moments(shift, covariance), Moments(torch.zeros_like(shift), covariance))
    assert distance == pytest.approx(140, rel=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_zero_to_itself_at_any_rank(rank):
    moments = Moments(torch.zeros(8, dtype=torch.float64), random_covariance(8, rank, seed=2))
    assert 0 <= frechet_distance(moments, moments) < ROUNDING


@pytest.mark.parametrize("ranks", [(8, 8), (8, 2), (3, 2)])
def test_symmetric_and_positive(ranks):
    zero = torch.zeros(8, dtype=torch.float64)
    a, b = (Moments(zero, random_covariance(8, rank, seed)) for seed, rank in enumerate(ranks))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), abs=ROUNDING)
    assert frechet_distance(a, b) > 1


def test_moments_of_features():
    moments = Moments.of(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert moments.mean.tolist() == [1.0, 1.0]
    torch.testing.assert_close(moments.covariance, torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64))


def test_one_feature_keeps_its_shape():
    assert Moments.of(torch.tensor([[1.0], [3.0]])).covariance.tolist() == [[2.0]]


def test_large_common_offset_loses_nothing():
    # float32 features around 1e4: sums of squares in float32 would be wrong in the first digit
    features = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0)) + 1e4
    moments = Moments.of(features)
    assert frechet_distance(moments, moments) < ROUNDING
    assert 0.8 < moments.covariance.diagonal().min() < moments.covariance.diagonal().max() < 1.2


def test_not_finite_is_infinitely_far():
    good = gaussian([0.0], [[1.0]])
    assert frechet_distance(gaussian([math.nan], [[1.0]]), good) == math.inf
    assert frechet_distance(good, gaussian([0.0], [[math.inf]])) == math.inf


def test_refusals():
    with pytest.raises(ShapeError, match="N >= 2"):
        Moments.of(torch.zeros(1, 4))
    with pytest.raises(ShapeError, match="1 and 2 dimensions"):
        frechet_distance(gaussian([0.0], [[1.0]]), gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]))


def test_draws_of_gaussians_come_to_the_distance_of_the_gaussians():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(40_000, 3, generator=generator, dtype=torch.float64)
    b = 2 * torch.randn(40_000, 3, generator=generator, dtype=torch.float64) + 1
    # |m|^2 = 3 and tr = 3 (1 - 2)^2; 40,000 draws scatter by about 0.05
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(6, abs=0.2)
