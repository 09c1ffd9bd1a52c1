"""UniPC: a predictor of any order and a corrector that costs no evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler


class Past(NamedTuple):
    """One evaluation: where, and the output that is integrated."""

    at: GridPoint
    m: Tensor


class State(NamedTuple):
    """What UniPC remembers: evaluations, newest first, and the step that led to the present x_t."""

    past: tuple[Past, ...] = ()
    x_before: Tensor | None = None
    order: int = 0


@dataclass(frozen=True)
class UniPC(Sampler[State]):
    """Unified predictor-corrector (Zhao et al. 2023, algorithms 1 and 2, eq. 6 to 9).

    With lambda = log(alpha / sigma), h = lambda_s - lambda_t and z = -h, for predictions of the data:

        x_s = sigma_s / sigma_t x_t - alpha_s (e^z - 1) m_0 - alpha_s B sum_k rho_k (m_k - m_0) / r_k

    r_k = (lambda_k - lambda_t) / h over earlier evaluations m_k, and the rho_k solve
    sum_k rho_k r_k^(n-1) = n! psi_n / B, psi_1 = (e^z - 1) / z - 1, psi_(n+1) = psi_n / z - 1 / (n+1)!. For
    predictions of the noise z = h and alpha and sigma change places. The corrector repeats the step into t with
    m(x_t) as one more point, r = 1, as soon as that is known.

    Args:
        order: p of the predictor; with the corrector the method has order p + 1.
        variant: B = z ("bh1") or e^z - 1 ("bh2").
        predict: integrate the prediction of the data, "x0", or of the noise, "eps".
        corrector: whether to correct.
        lower_order_final: lower the order toward the end, so that the last step has order 1.
    """

    _: KW_ONLY
    order: int = 2  # type: ignore[misc]  # a setting decides
    variant: Literal["bh1", "bh2"] = "bh2"
    predict: Literal["x0", "eps"] = "x0"
    corrector: bool = True
    lower_order_final: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 6:
            raise ValueError(f"order must be 1 to 6, got {self.order}")

    @property
    def convergence(self) -> int:
        """p, and one more with the corrector (theorem 3.1); a last step of order 1 leaves 2 of it."""
        reached = self.order + self.corrector
        return min(reached, 2) if self.lower_order_final else reached

    @property
    def from_pure_noise(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether a step may start at alpha = 0: not with predictions of the noise, which divide by alpha."""
        return self.predict == "x0"

    def init(self) -> State:
        return State()

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: State, noise: Noise) -> tuple[Tensor, State]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        if not now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "UniPC cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        prediction = denoise(x_t, now)
        m = Past(now, prediction.x_0 if self.predict == "x0" else prediction.eps)
        if self.corrector and state.x_before is not None and math.isfinite(_h(state.past[0].at, now)):
            points = [*state.past[1 : state.order], m]
            x_t = self._advance(state.x_before, state.past[0], points, now, corrects=True)
        past = (m, *state.past)[: self.order]
        order = min(self.order, len(past))
        if self.lower_order_final:
            order = min(order, step.total - step.index)
        if not math.isfinite(_h(now, next)):
            order = 1
        x_s = self._advance(x_t, m, past[1:order], next, corrects=False)
        return x_s, State(past, x_t, order)

    def _advance(self, x: Tensor, m_0: Past, others: Sequence[Past], to: GridPoint, *, corrects: bool) -> Tensor:
        """x at ``m_0.at`` brought to ``to``; the corrector's last point lies at ``to`` itself."""
        now, h = m_0.at, _h(m_0.at, to)
        if self.predict == "x0":
            z, keep, scale = -h, to.sigma / now.sigma, to.alpha
        else:
            z, keep, scale = h, to.alpha / now.alpha, to.sigma
        # Noise predictions carried onto clean data: sigma_s (e^z - 1) at sigma_s = 0
        gain = scale * math.expm1(z) if z < math.inf else to.alpha * now.sigma / now.alpha
        x_s = keep * x - gain * m_0.m
        # An evaluation at alpha = 0 lies infinitely far away and carries no weight
        others = [one for one in others if math.isfinite(_h(one.at, now))]
        if not others:
            return x_s
        r = [_h(now, one.at) / h for one in others]
        big_b = z if self.variant == "bh1" else math.expm1(z)
        for rho_k, r_k, one in zip(_rho(z, r, big_b), r, others, strict=True):
            x_s = x_s - (scale * big_b * rho_k / r_k) * (one.m - m_0.m)
        return x_s


def _h(now: GridPoint, next: GridPoint) -> float:
    """The step in lambda."""
    return next.lam - now.lam


def _rho(z: float, r: Sequence[float], big_b: float) -> list[float]:
    """The weights of the earlier points. A single point has 1/2, which keeps the order (section 3.2)."""
    if len(r) == 1:
        return [0.5]
    psi, rows, right = math.expm1(z) / z - 1, [], []
    for n in range(1, len(r) + 1):
        rows.append([r_k ** (n - 1) for r_k in r])
        right.append(math.factorial(n) * psi / big_b)
        psi = psi / z - 1 / math.factorial(n + 1)
    return [float(weight) for weight in np.linalg.solve(np.array(rows), np.array(right))]
