"""Weights of exact integrals, against what tables and definitions give."""

import math

import numpy as np
import pytest

from zoo.core.quadrature import adams, phi, weights


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("z", [-30.0, -1.5, -1.0, -0.3, 1e-9, 0.0, 0.9, 1.0, 2.0, 10.0])
def test_phi_is_the_integral_it_stands_for(k, z):
    """phi_k(z) = integral of e^((1 - u) z) u^(k - 1) / (k - 1)! over 0..1."""
    exact = math.exp(z)
    if k:
        side, weight = np.polynomial.legendre.leggauss(60)
        u = (side + 1) / 2
        exact = float((weight / 2 * np.exp((1 - u) * z) * u ** (k - 1)).sum()) / math.factorial(k - 1)
    # the recursion starts at |z| = 1 and loses a digit at most
    assert math.isclose(phi(k, z), exact, rel_tol=1e-13)


def test_even_steps_have_the_weights_of_adams_and_bashforth():
    fourth = [weight * 24 for weight in adams([0.0, -1.0, -2.0, -3.0], 1.0)]
    assert fourth == pytest.approx([55, -59, 37, -9], rel=1e-13)
    assert [weight * 12 for weight in adams([5.0, 7.0, 9.0], 3.0)] == pytest.approx([-46, 32, -10], rel=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_uneven_steps_integrate_polynomials_exactly(order):
    nodes = [80.0, 110.0, 170.0, 230.0, 400.0, 620.0][:order]
    for power in range(order):
        exact = (50.0 ** (power + 1) - 80.0 ** (power + 1)) / (power + 1)
        found = sum(weight * node**power for weight, node in zip(adams(nodes, 50.0), nodes, strict=True))
        assert math.isclose(found, exact, rel_tol=1e-11)


def test_weights_reproduce_the_moments():
    nodes, moments = [0.0, -0.7, -2.1], [1.0, 0.3, 0.2]
    found = weights(nodes, moments)
    for power, moment in enumerate(moments):
        total = sum(weight * node**power for weight, node in zip(found, nodes, strict=True))
        assert math.isclose(total, moment, rel_tol=1e-13)
