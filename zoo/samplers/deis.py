"""DEIS: Adams-Bashforth on the noise prediction, integrated exactly in a variable of choice."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from zoo.core.exponential import is_finite
from zoo.core.grid import GridPoint, Step
from zoo.core.quadrature import phi, weights
from zoo.core.sampler import Denoise, Noise, Sampler, straight

Variable = Literal["t", "rho", "log-rho"]

# Gauss-Legendre nodes and weights on 0..1: 16 points integrate polynomials of degree 31
NODES, WEIGHTS = ((side + 1) / 2 for side in np.polynomial.legendre.leggauss(16))
WEIGHTS = WEIGHTS - 1 / 2


class Past(NamedTuple):
    """One evaluation and where it was made."""

    e: Tensor
    at: GridPoint


@dataclass(frozen=True)
class DEIS(Sampler[tuple[Past, ...]]):
    """x_s / alpha_s = x_t / alpha_t + sum_j w_j e_j,  w_j = integral of L_j drho,  rho = sigma / alpha.

    L_j are the Lagrange polynomials through the last evaluations e_j, in one of three variables: the schedule's time
    t (tAB-DEIS; Zhang & Chen 2023, eq. 15), rho (rhoAB; the same as ``lms``), or log rho (diffusers, and the exact
    form of DPM-Solver's multistep). The first steps, those onto clean data where log rho has no end, and those from
    pure noise have lower orders.

    Args:
        order: how many outputs are used, the present one included.
        variable: what the polynomials are polynomials of.
        lower_order_final: lower the order toward the end, so that the last step has order 1.
    """

    _: KW_ONLY
    order: int = 3  # type: ignore[misc]  # a setting decides
    variable: Variable = "t"
    lower_order_final: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 6:
            raise ValueError(f"order must be 1 to 6, got {self.order}")

    @property
    def convergence(self) -> int:
        """That of the order; a last step of order 1 leaves 2 of it."""
        return min(self.order, 2) if self.lower_order_final else self.order

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[Past, ...], noise: Noise
    ) -> tuple[Tensor, tuple[Past, ...]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        prediction = denoise(x_t, now)
        if not now.alpha:  # infinitely far from every later step: nothing to remember
            return straight(prediction, next), ()
        if self.variable == "log-rho":  # where clean data is infinitely far away
            known = tuple(one for one in state if is_finite(one.at, now))
        else:  # clean data may share the time of the least noise: one of them is a node
            known = tuple(one for one in state if self.variable == "rho" or one.at.t != now.t)
        past = (Past(prediction.eps, now), *known)[: self.order]
        order = min(len(past), step.total - step.index) if self.lower_order_final else len(past)
        if order == 1 or (self.variable == "log-rho" and not is_finite(now, next)):
            return straight(prediction, next), past
        x_s = next.alpha / now.alpha * x_t
        for weight, one in zip(self._weights(step, [one.at for one in past[:order]]), past, strict=False):
            x_s = x_s + next.alpha * weight * one.e
        return x_s, past

    def _weights(self, step: Step, points: list[GridPoint]) -> list[float]:
        """The integrals of the polynomials, from their moments over the step: u = 0 at now, 1 at next."""
        now, next = step.now, step.next
        if self.variable == "log-rho":
            h = next.lam - now.lam
            # rho = rho_s e^(h (1 - u)): the moments are n! phi_(n+1)(h)
            scale = -next.nsr * h
            moments = [scale * math.factorial(n) * phi(n + 1, h) for n in range(len(points))]
            return weights([(one.lam - now.lam) / h for one in points], moments)
        if self.variable == "rho":
            h = next.nsr - now.nsr
            return weights([(one.nsr - now.nsr) / h for one in points], [h / (n + 1) for n in range(len(points))])
        h = next.t - now.t
        rho = [step.at(t=now.t + float(u) * h).nsr for u in NODES]
        moments = [next.nsr - now.nsr]
        for n in range(1, len(points)):  # by parts: integral of u^n drho = rho_s - n integral of u^(n-1) rho du
            inner = sum(w * n * u ** (n - 1) * value for u, w, value in zip(NODES, WEIGHTS, rho, strict=True))
            moments.append(next.nsr - float(inner))
        return weights([(one.t - now.t) / h for one in points], moments)
