"""Precision, recall, density and coverage on sets whose answers can be counted by hand."""

import pytest
import torch

from zoo.metrics.manifold import density_coverage, precision_recall, share_nearer_than_data


def line(*places):
    return torch.tensor(places, dtype=torch.float64)[:, None]


# On a line at 0, 1, 2, 3: the ball of an end reaches, for k = 1, to its only neighbour at 1
REAL = line(0, 1, 2, 3)


def test_precision_and_recall_by_hand():
    # balls of radius 1 about the data are [-1, 4]; 5 and 9 are outside
    # balls of the samples: 0.5 reaches to 1.25, 1.25 to 0.5, 5 to 1.25 (3.75 wide), 9 to 5
    found = precision_recall(REAL, line(0.5, 1.25, 5, 9), k=1)
    assert found.faithful == 2 / 4
    # 0: within 0.75 of 0.5; 1: too; 2: within 0.75 of 1.25 and 3.75 of 5; 3: within 3.75 of 5
    assert found.covered == 1
    narrow = precision_recall(REAL, line(0.5, 0.75), k=1)
    # balls of radius 0.25 about 0.5 and 0.75 hold the data at 1 alone
    assert (narrow.faithful, narrow.covered) == (1, 1 / 4)


def test_further_neighbours_make_wider_balls():
    samples = line(-1.5, 1.5, 4.5, 20)
    assert precision_recall(REAL, samples, k=1).faithful == 1 / 4
    # with k = 2 the ball of an end is 2 wide
    assert precision_recall(REAL, samples, k=2).faithful == 3 / 4


def test_density_and_coverage_by_hand():
    # for k = 1 each of the four balls has radius 1: 0.5 lies in those of 0 and 1, 10 in none
    found = density_coverage(REAL, line(0.5, 10), k=1)
    assert found.faithful == (2 + 0) / 2
    assert found.covered == 2 / 4
    # for k = 2 they are 2, 1, 1, 2 wide: 1.75 lies in those of 0, 1, 2 and 3
    assert density_coverage(REAL, line(1.75), k=2).faithful == 4 / 2


def test_an_outlier_among_the_samples_does_not_cover_the_data():
    # recall is fooled by two samples far from each other, coverage is not
    far = line(-50, 60)
    assert precision_recall(REAL, far, k=1).covered == 1
    assert density_coverage(REAL, far, k=1).covered == 0


def test_the_data_itself_is_precise_and_complete():
    real = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    assert precision_recall(real, real).faithful == precision_recall(real, real).covered == 1
    found = density_coverage(real, real)
    # each ball holds its k = 5 neighbours and its centre
    assert found.faithful == pytest.approx(6 / 5, abs=1e-12)
    assert found.covered == 1


def test_density_and_coverage_of_one_distribution():
    generator = torch.Generator().manual_seed(0)
    real, other = (torch.randn(2000, 8, generator=generator) for _ in range(2))
    found = density_coverage(real, other, k=5)
    # Naeem et al. 2020, section 3.3: 1 on average, and 1 - 2^-k for many points; 2,000 of them scatter by 0.01 to 0.03
    assert found.faithful == pytest.approx(1, abs=0.08)
    assert found.covered == pytest.approx(1 - 2**-5, abs=0.015)


def test_share_nearer_than_data_by_hand():
    # 0.25 is nearer to 0 than 1 is; 5 is further from 3 than 2 is; a copy of 2 is nearer than anything
    assert share_nearer_than_data(REAL, line(0.25, 5, 2)) == 2 / 3
    # data that is there twice is at no distance from itself, and nothing is nearer than that
    assert share_nearer_than_data(line(0, 0, 3, 3), line(0, 3, 0.1)) == 0


def test_share_nearer_than_data_tells_copies_from_new_draws():
    generator = torch.Generator().manual_seed(0)
    real, new = (torch.randn(400, 6, generator=generator) for _ in range(2))
    copies = real[:200] + 0.01 * torch.randn(200, 6, generator=generator)
    assert share_nearer_than_data(real, copies) > 0.98
    assert 0.3 < share_nearer_than_data(real, new) < 0.7
