"""DPM-Solver++ (3M): three evaluations remembered, with or without noise."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from zoo.core.exponential import is_finite
from zoo.core.grid import GridPoint, Step
from zoo.core.quadrature import phi
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class Past(NamedTuple):
    """One evaluation: where, and the prediction of the data."""

    at: GridPoint
    x_0: Tensor


@dataclass(frozen=True)
class DPMpp3M(Sampler[tuple[Past, ...]]):
    """Three-step rule on the data prediction D (Lu et al. 2022b; with noise, k-diffusion's 3M SDE).

    With lambda = log(alpha / sigma), h = lambda_s - lambda_t and k = (1 + eta) h:

        x_s = sigma_s / sigma_t e^(-eta h) x_t + alpha_s ((1 - e^-k) D + w_1 D' + w_2 D'' / 2)
              + sigma_s sqrt(1 - e^(-2 eta h)) z
        w_1 = 1 - (1 - e^-k) / k,    w_2 = 1/2 - w_1 / k,

    D' and D''/2 being the first two divided differences of D at t, per step h. Half the weight that D'' would need,
    as published, so the rule converges with order 2. The second step has two points, the first step and those onto
    clean data and from pure noise have one.

    Args:
        eta: 0 without noise; 1 is the reverse SDE.
        weights: "diffusers" takes 1 from w_2 where there is noise, a slip of that library, for walks that shall
            repeat it; the rule has order 1 then.
        solver: what weighs D' in a step of two points: w_1 for "heun", (1 - e^-k) / 2 for "midpoint".
        lower_order_final: two points in the last step but one, and one in the last, which steadies few steps.
    """

    _: KW_ONLY
    eta: float = 0.0
    weights: Literal["published", "diffusers"] = "published"
    solver: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True
    order: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ValueError(f"eta must be at least 0, got {self.eta:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when eta > 0."""
        return self.eta > 0

    @property
    def convergence(self) -> int:
        """2: of the weight of D'', half is missing, and the first step has order 1."""
        return 2

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[Past, ...], noise: Noise
    ) -> tuple[Tensor, tuple[Past, ...]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        if not now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "DPMpp3M cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        prediction = denoise(x_t, now)
        # an evaluation at pure noise lies infinitely far away
        past = (Past(now, prediction.x_0), *(one for one in state if is_finite(one.at, now)))[:3]
        if not next.sigma:
            return straight(prediction, next), past
        h = next.lam - now.lam
        decay = math.exp(-self.eta * h) if self.eta else 1.0
        keep = next.sigma / now.sigma * decay
        x_s = keep * x_t + (next.alpha - keep * now.alpha) * past[0].x_0
        used = len(past) if math.isfinite(h) else 1
        if self.lower_order_final:
            used = min(used, step.total - step.index)
        x_s = x_s + next.alpha * self._slopes(past[:used], h) if used > 1 else x_s
        if self.eta:
            x_s = x_s + next.sigma * math.sqrt(-math.expm1(-2 * self.eta * h)) * noise(x_t, now, next)
        return x_s, past

    def _slopes(self, past: tuple[Past, ...], h: float) -> Tensor:
        """w_1 D' + w_2 D'' / 2."""
        k = (1 + self.eta) * h
        r = [(new.at.lam - old.at.lam) / h for new, old in pairwise(past)]
        d = [(new.x_0 - old.x_0) / one for (new, old), one in zip(pairwise(past), r, strict=True)]
        if len(past) == 2:
            return (k * phi(2, -k) if self.solver == "heun" else k * phi(1, -k) / 2) * d[0]
        bend = (d[0] - d[1]) / (r[0] + r[1])
        slip = self.weights == "diffusers" and self.eta > 0
        return k * phi(2, -k) * (d[0] + r[0] * bend) + (k * phi(3, -k) - slip) * bend
