"""ER-SDE-Solver: Taylor steps for reverse SDEs whose noise is a chosen function of the noise level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from zoo.core.grid import Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler, straight

Scale = Literal["ode", "sde", "exp-inverse", "power-1.5", "power-2.5", "log", "exp"]

# psi(s) = phi(s) / s of the noise scale functions phi. The authors' "log" turns around where it is cut here: beyond,
# its noise would be negative.
PSI: dict[str, Callable[[float], float]] = {
    "ode": lambda s: 1.0,
    "sde": lambda s: s,
    "exp-inverse": lambda s: math.exp(-1 / s) + 10,
    "power-1.5": lambda s: s**0.5,
    "power-2.5": lambda s: s**1.5,
    "log": lambda s: min(s, 1020.0) ** -0.1 * math.log10(1 + 100 * min(s, 1020.0) ** 1.5),
    "exp": lambda s: math.exp(s**0.3) + 10,
}

# Gauss and Legendre's rule on 0..1
NODES = [
    ((1 + float(node)) / 2, float(weight) / 2)
    for node, weight in zip(*np.polynomial.legendre.leggauss(16), strict=True)
]


class Past(NamedTuple):
    """One evaluation: the noise level, the prediction of the data, and its slope to the one before."""

    s: float
    x_0: Tensor
    slope: Tensor | None


@dataclass(frozen=True)
class ERSDE(Sampler[tuple[Past, ...]]):
    """Extended reverse-time SDE, data prediction (Cui et al. 2023, ER-SDE-Solver-1 to 3).

    With s = sigma / alpha, ' for the next level, r = phi(s') / phi(s), and D_1, D_2 the differences of D in s:

        x' / alpha' = r x / alpha + (1 - r) D + (s' - s + phi(s') I_0) D_1 + ((s' - s)^2 / 2 + phi(s') I_1) D_2
                      + sqrt(s'^2 - r^2 s^2) z,    I_n = int_s'^s (q - s)^n / phi(q) dq

    The second step has no D_2, the first neither. phi(s) = s is the ODE and s^2 the reverse SDE.

    Args:
        stages: 1, 2 or 3 terms of Taylor's series.
        scale: phi: "ode" s, "sde" s^2, "exp-inverse" s (e^(-1 / s) + 10), "power-1.5" s^1.5, "power-2.5" s^2.5, "log"
            s^0.9 log10(1 + 100 s^1.5), "exp" s (e^(s^0.3) + 10), the authors' choice.
    """

    _: KW_ONLY
    stages: int = 3
    scale: Scale = "exp"

    def __post_init__(self) -> None:
        if not 1 <= self.stages <= 3:
            raise ValueError(f"stages must be 1, 2 or 3, got {self.stages}")

    @property
    def order(self) -> int:  # type: ignore[override]  # a setting decides
        """As many as terms."""
        return self.stages

    @property
    def convergence(self) -> int:
        """2 at most, for the ODE: D_1 is the slope in the middle of the last step, not at its end."""
        return min(self.stages, 2)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: for every scale but "ode"."""
        return self.scale != "ode"

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[Past, ...], noise: Noise
    ) -> tuple[Tensor, tuple[Past, ...]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        if not now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "ERSDE cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        prediction = denoise(x_t, now)
        if not next.sigma:
            return straight(prediction, next), ()
        x_0, s = prediction.x_0, now.nsr
        # r s / s', at most 1
        fall = PSI[self.scale](next.nsr) / PSI[self.scale](s)
        keep = next.sigma / now.sigma * fall
        x_s = keep * x_t + (next.alpha - keep * now.alpha) * x_0
        slope = (x_0 - state[0].x_0) / (s - state[0].s) if state and self.stages > 1 else None
        if slope is not None:
            x_s = x_s + next.alpha * self._weight(0, s, next.nsr) * slope
        if slope is not None and state[0].slope is not None and self.stages > 2:
            bend = (slope - state[0].slope) / ((s - state[1].s) / 2)
            x_s = x_s + next.alpha * self._weight(1, s, next.nsr) * bend
        if fall < 1:
            x_s = x_s + next.sigma * math.sqrt(1 - fall**2) * noise(x_t, now, next)
        # an evaluation at pure noise lies infinitely far away
        return x_s, (Past(s, x_0, slope), *state[:1]) if now.alpha else ()

    def _weight(self, n: int, s: float, low: float) -> float:
        """(s' - s)^(n + 1) / (n + 1) + phi(s') I_n, by Gauss and Legendre's rule in log q."""
        psi = PSI[self.scale]
        whole = 0.0
        for node, weight in NODES:
            q = low * (s / low) ** node
            whole += weight * (q - s) ** n / psi(q)
        return (low - s) ** (n + 1) / (n + 1) + low * psi(low) * math.log(s / low) * whole
