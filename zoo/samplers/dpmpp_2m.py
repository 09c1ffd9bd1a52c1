"""DPM-Solver++ (2M): second order from one evaluation a step, with or without noise."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler


class Past(NamedTuple):
    """The evaluation before, and the step in lambda that led away from it."""

    x_0: Tensor
    h: float


State = tuple[()] | Past


@dataclass(frozen=True)
class DPMpp2M(Sampler[State]):
    """Two-step rule on the data prediction D (Lu et al. 2022b, algorithm 2; with noise, their SDE form).

    With lambda = log(alpha / sigma), h = lambda_s - lambda_t, r = h_before / h and k = (1 + eta) h:

        x_s = sigma_s / sigma_t e^(-eta h) x_t + alpha_s (1 - e^-k) D + alpha_s w (D - D_before) / r
              + sigma_s sqrt(1 - e^(-2 eta h)) z

    w = (1 - e^-k) / 2 for "midpoint", 1 - (1 - e^-k) / k for "heun". The first step, a step onto clean data and one
    from pure noise have order 1, without the term in w.

    Args:
        solver: the weight w.
        eta: 0 without noise; 1 is the reverse SDE. It is not DDIM's eta in between.
        lower_order_final: leave the term in w out of the last step too, which steadies few steps.
    """

    _: KW_ONLY
    solver: Literal["midpoint", "heun"] = "midpoint"
    eta: float = 0.0
    lower_order_final: bool = True
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ValueError(f"eta must be at least 0, got {self.eta:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when eta > 0."""
        return self.eta > 0

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: State, noise: Noise) -> tuple[Tensor, State]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        if not now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "DPMpp2M cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        x_0 = denoise(x_t, now).x_0
        h = next.lam - now.lam
        phi = -math.expm1(-(1 + self.eta) * h)
        # h is infinite onto clean data and from pure noise
        decay = math.exp(-self.eta * h) if self.eta else 1.0
        x_s = next.sigma / now.sigma * decay * x_t + next.alpha * phi * x_0
        lowered = self.lower_order_final and step.is_last
        if isinstance(state, Past) and math.isfinite(h) and math.isfinite(state.h) and not lowered:
            w = phi / 2 if self.solver == "midpoint" else 1 - phi / ((1 + self.eta) * h)
            x_s = x_s + next.alpha * w * h / state.h * (x_0 - state.x_0)
        if self.eta and next.sigma:
            x_s = x_s + next.sigma * math.sqrt(-math.expm1(-2 * self.eta * h)) * noise(x_t, now, next)
        return x_s, Past(x_0, h)

    def init(self) -> State:
        return ()
