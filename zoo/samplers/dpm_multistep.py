"""DPM-Solver and DPM-Solver++ as multistep methods: orders 1 to 3 from one evaluation a step."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from torch import Tensor

from zoo.core.exponential import Predict, Solver, first, fraction, integrand, is_finite, leg, second
from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class Past(NamedTuple):
    """One evaluation: where, and the output that is integrated."""

    at: GridPoint
    m: Tensor


@dataclass(frozen=True)
class DPMMultistep(Sampler[tuple[Past, ...]]):
    """Exponential Adams-Bashforth in lambda = log(alpha / sigma), as the paper's code has it (Lu et al. 2022b, app. B).

    Order 2 extends the difference of the last two outputs, order 3 that of the last three. The first steps, those
    onto clean data and from pure noise have lower orders. The code weighs the second difference of order 3 with half
    of what the interpolating polynomial would, so it converges with order 2; ``deis`` has the whole weight.

    Args:
        order: how many outputs are used, the present one included.
        predict: integrate the prediction of the noise, "eps", or of the data, "x0".
        solver: the weight of the difference in order 2: the paper's, "midpoint", or that of the interpolating
            polynomial, "heun" (Taylor in the paper's code).
        lower_order_final: lower the order toward the end, so that the last step has order 1.
    """

    _: KW_ONLY
    order: int = 2  # type: ignore[misc]  # a setting decides
    predict: Predict = "eps"
    solver: Solver = "midpoint"
    lower_order_final: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 3:
            raise ValueError(f"order must be 1, 2 or 3, got {self.order}")

    @property
    def convergence(self) -> int:
        """2 at most: order 3 takes half of the second difference."""
        return min(self.order, 2)

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[Past, ...], noise: Noise
    ) -> tuple[Tensor, tuple[Past, ...]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        prediction = denoise(x_t, now)
        # evaluations at pure noise or clean data lie infinitely far away and carry no weight
        known = tuple(one for one in state if is_finite(one.at, now))
        past = (Past(now, integrand(prediction, self.predict)), *known)[: self.order]
        if not is_finite(now, next):
            return straight(prediction, next), past
        order = min(len(past), step.total - step.index) if self.lower_order_final else len(past)
        to = leg(now, next, self.predict)
        m = past[0].m
        if order == 1:
            return first(to, x_t, m), past
        r_1 = fraction(now, past[1].at, next)
        if order == 2:
            return second(to, x_t, m, past[1].m, r_1, self.solver), past
        r_2 = fraction(now, past[2].at, next)
        d_1 = (past[1].m - m) / r_1
        d_2 = (past[2].m - past[1].m) / (r_2 - r_1)
        curvature = (d_2 - d_1) / r_2
        return first(to, x_t, m) + to.weight(2) * (d_1 - r_1 * curvature) + to.weight(3) * curvature, past
