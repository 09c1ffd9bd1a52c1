"""DPM-Solver: single steps of order 1, 2 or 3 that choose their inner points themselves."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from zoo.core.exponential import Predict, Solver, between, first, integrand, is_finite, leg, second, third
from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


@dataclass(frozen=True)
class DPMSolver(Sampler[tuple[()]]):
    """Exponential Runge-Kutta in lambda = log(alpha / sigma) (Lu et al. 2022, algorithms 1 and 2).

    Order 2: m at x_t and m_1 at half the step. Order 3: m_1 at one third, m_2 at two thirds, reached from m and m_1.
    m is the noise (DPM-Solver) or the data (DPM-Solver++ single-step, Lu et al. 2022b, algorithm 1). Onto clean data
    and from pure noise a step has order 1.

    Args:
        order: how many evaluations a step takes.
        predict: integrate the prediction of the noise, "eps", or of the data, "x0".
        solver: the weight of the last difference: the paper's, "midpoint", or that of the interpolating polynomial,
            "heun" (Taylor in the paper's code).
    """

    _: KW_ONLY
    order: int = 3  # type: ignore[misc]  # a setting decides
    predict: Predict = "eps"
    solver: Solver = "midpoint"

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 3:
            raise ValueError(f"order must be 1, 2 or 3, got {self.order}")

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        prediction = denoise(x_t, now)
        if self.order == 1 or now[1:] == next[1:] or not is_finite(now, next):
            return straight(prediction, next), ()
        to, m = leg(now, next, self.predict), integrand(prediction, self.predict)
        r_1 = 1 / self.order
        inner = between(step, now, next, r_1)
        m_1 = integrand(denoise(first(leg(now, inner, self.predict), x_t, m), inner), self.predict)
        if self.order == 2:
            return second(to, x_t, m, m_1, r_1, self.solver), ()
        r_2 = 2 * r_1
        outer = between(step, now, next, r_2)
        u = second(leg(now, outer, self.predict), x_t, m, m_1, r_1 / r_2, "heun")
        m_2 = integrand(denoise(u, outer), self.predict)
        return third(to, x_t, (m, m_1, m_2), (r_1, r_2), self.solver), ()
