"""The kernel distance against what a pencil gives, and without bias."""

import itertools

import pytest
import torch

from zoo.core.errors import ShapeError
from zoo.metrics.kernel import kernel_distance, squared_mmd


def normal(n, seed, width=2):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    # k(x, y) = (xy + 1)^3: pairs within a: 1, within b: 343, across: 1, 1, 27, 64
    assert squared_mmd(a, b) == pytest.approx(1 + 343 - 2 * (1 + 1 + 27 + 64) / 4, abs=1e-12)


def test_as_written_in_sums():
    a, b = normal(5, 0, 3), normal(7, 1, 3)

    def kernel(x, y):
        return float((x @ y / 3 + 1) ** 3)

    within_a = sum(kernel(x, y) for x, y in itertools.permutations(a, 2)) / (5 * 4)
    within_b = sum(kernel(x, y) for x, y in itertools.permutations(b, 2)) / (7 * 6)
    across = sum(kernel(x, y) for x, y in itertools.product(a, b)) / (5 * 7)
    assert squared_mmd(a, b) == pytest.approx(within_a + within_b - 2 * across, rel=1e-12)


def test_two_halves_of_one_distribution_are_at_zero_on_average():
    pairs = [(normal(20, 2 * trial), normal(20, 2 * trial + 1)) for trial in range(400)]
    found = torch.tensor([squared_mmd(a, b) for a, b in pairs], dtype=torch.float64)
    error = float(found.std()) / 400**0.5
    assert abs(float(found.mean())) < 4 * error
    # with the pairs of a row and itself, which the biased estimate counts, it would be far away
    biased = float(torch.tensor([float(((a * a).sum(1) / 2 + 1).pow(3).mean()) for a, _ in pairs]).mean()) / 20
    assert biased > 20 * error
    assert (found < 0).any()


def test_moved_sets_are_apart():
    same, moved = kernel_distance(normal(400, 0), normal(400, 1)), kernel_distance(normal(400, 0), normal(400, 1) + 1)
    assert moved.mean > 10 * abs(same.mean)
    assert moved.mean > 3 * moved.std


def test_subsets():
    a, b = normal(60, 0), normal(44, 1)
    found = kernel_distance(a, b, subsets=12)
    # half of the smaller set
    assert (found.subsets, found.size) == (12, 22)
    assert found.std > 0
    assert kernel_distance(a, b, subsets=12) == found
    assert kernel_distance(a, b, subsets=12, seed=1) != found
    assert kernel_distance(a, b, size=10).size == 10


@pytest.mark.parametrize(("a", "b"), [((3, 2), (3, 3)), ((1, 2), (3, 2)), ((3,), (3,))])
def test_sets_that_cannot_be_compared(a, b):
    with pytest.raises(ShapeError):
        squared_mmd(torch.zeros(a), torch.zeros(b))
