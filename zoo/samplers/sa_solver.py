"""SA-Solver: stochastic Adams predictor and corrector, with noise of a chosen strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from torch import Tensor

from zoo.core.exponential import is_finite
from zoo.core.grid import GridPoint, Step
from zoo.core.quadrature import phi, weights
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler


class Past(NamedTuple):
    """One evaluation: where, and the prediction of the data."""

    at: GridPoint
    x_0: Tensor


class Before(NamedTuple):
    """The step that led to the present x_t: its start, and the noise it had."""

    x: Tensor
    z: Tensor | None


class State(NamedTuple):
    """What SA-Solver remembers: evaluations, newest first, and the last step."""

    past: tuple[Past, ...] = ()
    before: Before | None = None


@dataclass(frozen=True)
class SASolver(Sampler[State]):
    """Adams integration of the reverse SDE with noise tau (Xue et al. 2023, algorithm 1).

    With lambda = log(alpha / sigma), h = lambda_s - lambda_t, k = (1 + tau^2) h, and l_j the polynomials that are 1 at
    one of the evaluations D_j and 0 at the others:

        x_s = sigma_s / sigma_t e^(-tau^2 h) x_t + alpha_s sum_j b_j D_j + sigma_s sqrt(1 - e^(-2 tau^2 h)) z
        b_j = (1 + tau^2) int_0^h e^(-(1 + tau^2) (h - u)) l_j(u) du

    The predictor uses D at t and before. The corrector repeats the step into t, from the state before and with the
    same z, with D(x_t) as one more point as soon as that is known.

    Args:
        predictor_order: number of evaluations that the predictor uses.
        corrector_order: that the corrector uses, the newest included; 0 for no corrector.
        tau: 0 is the ODE, 1 the reverse SDE.
        interval: [low, high], the noise levels sigma / alpha within which a step has noise; None for all.
        leading: weigh two points by the leading term in h of their integrals, as the authors run it, which long steps
            can tell.
        lower_order_final: lower the orders toward the end, so that the last step uses one evaluation.
    """

    _: KW_ONLY
    predictor_order: int = 2
    corrector_order: int = 2
    tau: float = 1.0
    interval: tuple[float, float] | None = None
    leading: bool = False
    lower_order_final: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.predictor_order <= 4 or not 0 <= self.corrector_order <= 5:
            raise ValueError(
                f"predictor_order must be 1 to 4 and corrector_order 0 to 5, got {self.predictor_order} and "
                f"{self.corrector_order}"
            )
        if not self.tau >= 0:
            raise ValueError(f"tau must be at least 0, got {self.tau:g}")

    @property
    def order(self) -> int:  # type: ignore[override]  # a setting decides
        """Of the predictor."""
        return self.predictor_order

    @property
    def convergence(self) -> int:
        """For tau = 0. The corrector gains an order; the first step, and a last one of order 1, leave less."""
        if not self.corrector_order:
            return min(self.predictor_order, 2)
        reached = min(self.predictor_order + 1, self.corrector_order, 3)
        return min(reached, 2) if self.lower_order_final else reached

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when tau > 0."""
        return self.tau > 0

    def init(self) -> State:
        return State()

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: State, noise: Noise) -> tuple[Tensor, State]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        if not now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "SASolver cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        new = Past(now, denoise(x_t, now).x_0)
        left = step.total - step.index if self.lower_order_final else math.inf
        if state.before is not None and is_finite(state.past[0].at, now):
            count = int(min(self.corrector_order, left + 1))
            x_t = self._advance(state.before.x, state.past[0].at, now, (new, *state.past)[:count], state.before.z)
        # an evaluation at pure noise lies infinitely far away
        past = (new, *(one for one in state.past if is_finite(one.at, now)))
        count = int(min(self.predictor_order, left)) if is_finite(now, next) else 1
        z = noise(x_t, now, next) if self._tau(now) and next.sigma else None
        x_s = self._advance(x_t, now, next, past[:count], z)
        kept = past[: max(self.predictor_order, self.corrector_order, 2) - 1]
        return x_s, State(kept, Before(x_t, z) if self.corrector_order else None)

    def _tau(self, now: GridPoint) -> float:
        """The tau of a step from ``now``."""
        return self.tau if self.interval is None or self.interval[0] <= now.nsr <= self.interval[1] else 0.0

    def _advance(self, x: Tensor, now: GridPoint, next: GridPoint, points: Sequence[Past], z: Tensor | None) -> Tensor:
        """One step with the given evaluations."""
        h, tau = next.lam - now.lam, self._tau(now)
        keep = next.sigma / now.sigma * (math.exp(-(tau**2) * h) if tau else 1.0)
        x_s = keep * x
        for b_j, point in zip(self._b(now, h, tau, points), points, strict=True):
            x_s = x_s + (next.alpha * b_j) * point.x_0
        if z is None:
            return x_s
        return x_s + next.sigma * math.sqrt(-math.expm1(-2 * tau**2 * h)) * z

    def _b(self, now: GridPoint, h: float, tau: float, points: Sequence[Past]) -> list[float]:
        """The weights b_j. In v = u / h the moment of v^n is k n! phi_(n+1)(-k)."""
        k = (1 + tau**2) * h
        if len(points) == 1:  # which holds for steps of infinite length too
            return [-math.expm1(-k)]
        moments = [k * math.factorial(n) * phi(n + 1, -k) for n in range(len(points))]
        if len(points) == 2 and self.leading:
            moments[1] = k / 2
        return weights([(point.at.lam - now.lam) / h for point in points], moments)
