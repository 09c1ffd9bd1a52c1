"""Exponential integrators: one step of the probability-flow ODE, exact where the prediction is a polynomial in lambda.

With lambda = log(alpha / sigma), h = lambda_s - lambda_t and u = 0..1 along the step, for predictions m of the noise

    x_s = alpha_s / alpha_t x_t - sigma_s h (phi_1(h) m + phi_2(h) dm/du + phi_3(h) d^2m/du^2 + ...)

and of the data (Lu et al. 2022, eq. 3.4 and 2022b, eq. 8)

    x_s = sigma_s / sigma_t x_t + alpha_s h (phi_1(-h) m + phi_2(-h) dm/du + phi_3(-h) d^2m/du^2 + ...).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.parameterization import Prediction
from zoo.core.quadrature import phi

Predict = Literal["eps", "x0"]
Solver = Literal["midpoint", "heun"]


class Leg(NamedTuple):
    """The weights of one step.

    Args:
        keep: of x_t.
        first: of m; exact for steps of infinite length too.
        gain: what the later phi_k are multiplied by.
        z: their argument.
    """

    keep: float
    first: float
    gain: float
    z: float

    def weight(self, k: int) -> float:
        """Of the (k - 1)-th derivative of m along the step, k > 1."""
        return self.gain * phi(k, self.z)

    def slope(self, solver: Solver) -> float:
        """Of dm/du: exact for "heun"; "midpoint" takes half the weight of m, which is it up to higher order."""
        return self.first / 2 if solver == "midpoint" else self.weight(2)


def leg(now: GridPoint, next: GridPoint, predict: Predict) -> Leg:
    """The step between two points, for predictions of the noise or of the data."""
    h = next.lam - now.lam
    if predict == "x0":
        keep = next.sigma / now.sigma
        return Leg(keep, next.alpha - now.alpha * keep, next.alpha * h, -h)
    keep = next.alpha / now.alpha
    return Leg(keep, next.sigma - now.sigma * keep, -next.sigma * h, h)


def is_finite(now: GridPoint, next: GridPoint) -> bool:
    """Whether a step has a length in lambda: it neither leaves nor reaches pure noise or clean data."""
    return math.isfinite(next.lam - now.lam)


def fraction(start: GridPoint, at: GridPoint, end: GridPoint) -> float:
    """Where a point lies between two others, in lambda."""
    return (at.lam - start.lam) / (end.lam - start.lam)


def between(step: Step, now: GridPoint, next: GridPoint, r: float) -> GridPoint:
    """The point at the fraction r of the way from now to next, in lambda."""
    return step.at(nsr=math.exp(-(now.lam + r * (next.lam - now.lam))))


def integrand(prediction: Prediction, predict: Predict) -> Tensor:
    """m: the part of a prediction that is integrated."""
    return prediction.x_0 if predict == "x0" else prediction.eps


def first(to: Leg, x: Tensor, m: Tensor) -> Tensor:
    """m constant: DPM-Solver-1, DDIM."""
    return to.keep * x + to.first * m


def second(to: Leg, x: Tensor, m: Tensor, m_r: Tensor, r: float, solver: Solver) -> Tensor:
    """m linear through m and m_r, known at the fraction r of the step (DPM-Solver-2); behind it where r < 0."""
    return first(to, x, m) + to.slope(solver) / r * (m_r - m)


def third(to: Leg, x: Tensor, ms: tuple[Tensor, Tensor, Tensor], rs: tuple[float, float], solver: Solver) -> Tensor:
    """m quadratic through three values, at 0 and the fractions rs of the step (DPM-Solver-3).

    "midpoint", the paper's weights, leaves the curvature to the choice of the points: r_2 = 2 / 3 makes it vanish.
    """
    (m, m_1, m_2), (r_1, r_2) = ms, rs
    if solver == "midpoint":
        return first(to, x, m) + to.weight(2) / r_2 * (m_2 - m)
    d_1, d_2 = (m_1 - m) / r_1, (m_2 - m) / r_2
    slope = (r_2 * d_1 - r_1 * d_2) / (r_2 - r_1)
    curvature = 2 / (r_2 - r_1) * (d_2 - d_1)
    return first(to, x, m) + to.weight(2) * slope + to.weight(3) * curvature
