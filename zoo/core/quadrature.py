"""Exact integrals of polynomials through known values: what multistep and exponential rules are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence


def phi(k: int, z: float) -> float:
    """phi_k(z) = sum_j z^j / (j + k)!, so phi_0 = e^z, phi_1 = (e^z - 1) / z, phi_(k+1) = (phi_k - 1 / k!) / z."""
    if k and abs(z) < 1:
        # the recursion would lose a digit for every factor of z
        return sum(z**j / math.factorial(j + k) for j in range(20))
    value = math.expm1(z) / z if k else math.exp(z)
    for n in range(1, k):
        value = (value - 1 / math.factorial(n)) / z
    return value


def weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The integral of each Lagrange polynomial through distinct nodes u_j: sum_j w_j u_j^n = moments[n].

    Args:
        nodes: as many as moments; near 1 for accuracy.
        moments: of 1, u, u^2, ... under the integral that is wanted.
    """
    found = []
    for j, node in enumerate(nodes):
        lagrange = [1.0]  # its coefficients, lowest power first
        for i, other in enumerate(nodes):
            if i != j:
                shifted, raised = [*(-other * c for c in lagrange), 0.0], [0.0, *lagrange]
                lagrange = [(low + high) / (node - other) for low, high in zip(shifted, raised, strict=True)]
        found.append(sum(c * moment for c, moment in zip(lagrange, moments, strict=True)))
    return found


def adams(nodes: Sequence[float], end: float) -> list[float]:
    """Adams-Bashforth weights on uneven nodes: the integral from nodes[0] to end of each Lagrange polynomial.

    Args:
        nodes: where values are known, the present one first.
        end: where the step leads.
    """
    h = end - nodes[0]
    inner = [(node - nodes[0]) / h for node in nodes]
    return [h * weight for weight in weights(inner, [1 / (n + 1) for n in range(len(inner))])]
