"""LMS: Adams-Bashforth of any order in the noise-to-signal ratio, with exact weights."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.quadrature import adams
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class Past(NamedTuple):
    """One evaluation and the ratio it was made at."""

    e: Tensor
    nsr: float


@dataclass(frozen=True)
class LMS(Sampler[tuple[Past, ...]]):
    """x_s / alpha_s = x_t / alpha_t + sum_j w_j e_j, w_j the integral of the j-th Lagrange polynomial.

    The polynomials run through the last evaluations at s_j = sigma_j / alpha_j, as uneven as the grid is, and are
    integrated in closed form over the step (k-diffusion's LMS; DEIS in rho: Zhang & Chen 2023, eq. 15). The first
    steps have the orders 1, 2, ...

    Args:
        order: how many evaluations are remembered, the present one included.
    """

    _: KW_ONLY
    order: int = 4  # type: ignore[misc]  # a setting decides

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 4:
            raise ValueError(f"order must be 1 to 4, got {self.order}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[Past, ...], noise: Noise
    ) -> tuple[Tensor, tuple[Past, ...]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        prediction = denoise(x_t, now)
        if not now.alpha:  # infinitely far from every later step: nothing to remember
            return straight(prediction, next), ()
        past = (Past(prediction.eps, now.nsr), *state)[: self.order]
        x_s = next.alpha / now.alpha * x_t
        for weight, one in zip(adams([one.nsr for one in past], next.nsr), past, strict=True):
            x_s = x_s + next.alpha * weight * one.e
        return x_s, past
