"""Neighbours in blocks, against all pairs at once."""

import pytest
import torch

from zoo.core.errors import ShapeError
from zoo.metrics.neighbours import counts_within, nearest


def cloud(n, seed, width=5):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(a, b):
    return (a[:, None] - b[None]).square().sum(-1).sqrt()


@pytest.mark.parametrize("rows", [1, 7, 1024])
@pytest.mark.parametrize("k", [1, 4])
def test_blocks_give_what_all_pairs_give(rows, k):
    a, b = cloud(23, 0), cloud(31, 1)
    found = nearest(a, b, k, rows=rows)
    expected = exact(a, b).sort(dim=1)
    assert torch.equal(found.places, expected.indices[:, :k])
    # |a|^2 + |b|^2 - 2ab loses some digits of float64 where points are near
    torch.testing.assert_close(found.distances, expected.values[:, :k], rtol=1e-10, atol=0)


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_no_point_is_its_own_neighbour(rows):
    points = cloud(23, 0)
    table = exact(points, points).fill_diagonal_(torch.inf).sort(dim=1)
    assert torch.equal(nearest(points, points, 3, itself=True, rows=rows).places, table.indices[:, :3])


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_counts_of_balls(rows):
    points, centres = cloud(40, 2), cloud(30, 3)
    radii = torch.linspace(0.5, 3.5, 30, dtype=torch.float64)
    expected = (exact(points, centres) <= radii).sum(1)
    assert torch.equal(counts_within(points, centres, radii, rows=rows), expected)
    assert 0 < int(expected.sum()) < 40 * 30


@pytest.mark.parametrize("rows", [1, 2, 1024])
def test_among_equals_the_first(rows):
    points = torch.tensor([[0.0], [1.0], [1.0], [-1.0], [1.0]], dtype=torch.float64)
    assert nearest(points[:1], points, 4, rows=rows).places.tolist() == [[0, 1, 2, 3]]
    own = nearest(points, points, 4, itself=True, rows=rows)
    assert own.places[1].tolist() == [2, 4, 0, 3]
    assert own.places[4].tolist() == [1, 2, 0, 3]
    assert own.distances[1].tolist() == [0, 0, 1, 2]


def test_a_copy_is_at_no_distance():
    # far from the origin, where |a|^2 + |b|^2 - 2ab alone would leave 1e-4 of rounding
    points = cloud(6, 0) + 1e4
    assert nearest(points, points).distances.abs().max() == 0
    twice = torch.cat([points, points])
    assert nearest(twice, twice, itself=True).distances.abs().max() == 0


def test_the_neighbour_that_a_radius_reaches_to_is_inside():
    points = cloud(50, 4, width=300)
    radii = nearest(points, points, 3, itself=True).distances[:, -1]
    # itself and its three neighbours are in each ball
    assert int(counts_within(points, points, radii, rows=7).sum()) == 50 * 4


@pytest.mark.parametrize(
    ("a", "b", "k"),
    [((3, 2), (4, 3), 1), ((3,), (3,), 1), ((3, 2), (2, 2), 3), ((3, 2), (2, 2), 0), ((0, 2), (2, 2), 1)],
)
def test_sets_that_cannot_be_compared(a, b, k):
    with pytest.raises(ShapeError):
        nearest(torch.zeros(a), torch.zeros(b), k)


def test_needs_others_and_radii():
    with pytest.raises(ShapeError, match="but themselves"):
        nearest(torch.zeros(3, 2), torch.zeros(3, 2), 3, itself=True)
    with pytest.raises(ShapeError, match="one radius for each of 3 centres"):
        counts_within(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2))
