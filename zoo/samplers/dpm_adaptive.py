"""DPM-Solver-12 and -23: steps as long as a tolerance allows."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.exponential import between, first, leg, second, third
from zoo.core.grid import GridPoint, Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class ToleranceError(ZooError, RuntimeError):
    """A tolerance that no step reaches."""


@dataclass(frozen=True)
class DPMAdaptive(Sampler[tuple[()]]):
    """A pair of DPM-Solvers of neighbouring orders, whose difference sets the step (Lu et al. 2022, appendix C.2).

    Every row of the grid is reached by as many steps of its own as it takes, so walk few rows: ``steps: 1`` leaves
    all to the tolerance. Order 2 compares DPM-Solver-1 and 2, order 3 compares 2 (r = 1/3) and 3, on the same
    evaluations:

        E = rms((x_low - x_high) / max(atol, rtol max(|x_low|, |x_before|))).

    Control "paper": accepted where E <= 1; then h <- 0.9 h E^(-1/p), which may grow without limit: where x_t has few
    numbers a difference can be small by accident, so give it some rows. Control "pid" (k-diffusion), errors newest
    first: f = E^(-b_1) E_1^(-b_2) E_2^(-b_3), limited to 1 + atan(f - 1); accepted where f >= 0.81; then h <- f h.

    Samples are walked one by one, each with its own steps, so that none depends on the others, and the evaluations of
    all are counted. Onto clean data the steps end at the least noise that a network was trained on, and the rest is one
    of order 1.

    Args:
        order: p of the better of the pair, 2 or 3.
        atol: absolute tolerance, in the units of x_t.
        rtol: relative tolerance.
        control: how the step follows the error.
        pcoeff: proportional part of the PID control.
        icoeff: integral part; alone, it is the ordinary control.
        dcoeff: differential part.
        accept_safety: the factor above which the PID control accepts.
        h_init: the first step, in lambda.
        last: sigma / alpha at which they end where a schedule goes on below.
        together: "no" walks samples one by one. A whole batch can take the steps that its worst sample allows, "worst"
            (the paper's code), or those of its mean error, "mean" (k-diffusion); then a sample depends on its batch.
    """

    _: KW_ONLY
    order: int = 3  # type: ignore[misc]  # a setting decides
    atol: float = 0.0078
    rtol: float = 0.05
    control: Literal["paper", "pid"] = "pid"
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    accept_safety: float = 0.81
    h_init: float = 0.05
    last: float = 0.002
    together: Literal["no", "worst", "mean"] = "no"
    from_pure_noise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.order not in (2, 3):
            raise ValueError(f"order must be 2 or 3, got {self.order}")
        if not (self.atol > 0 and self.rtol >= 0 and self.h_init > 0 and self.last > 0):
            raise ValueError("atol, h_init and last must be above 0 and rtol not below")
        pid = (self.pcoeff, self.icoeff, self.dcoeff, self.accept_safety)
        if self.control == "paper" and pid != (0.0, 1.0, 0.0, 0.81):
            raise ValueError("pcoeff, icoeff, dcoeff and accept_safety belong to control 'pid'")

    @property
    def one_by_one(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether a batch is walked sample by sample."""
        return self.together == "no"

    @property
    def all_at_once(self) -> bool:  # type: ignore[override]
        """Whether a batch takes the same steps."""
        return self.together != "no"

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        if step.now[1:] == step.next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, ()
        if not step.now.sigma:
            raise MixError(
                Reason.RULE_AT_DATA, "DPMAdaptive cannot step from clean data (sigma = 0): start above it, or take ddim"
            )
        end = step.next if step.next.sigma else self._above_clean(step)
        x = self._integrate(denoise, x_t, step, end) if len(x_t) else x_t
        return (x if end is step.next else straight(denoise(x, end), step.next)), ()

    def _above_clean(self, step: Step) -> GridPoint:
        """Where a step onto clean data takes its last evaluation: not below what a network was trained on."""
        least = step.grid.least
        if step.now.nsr <= max(self.last, least.nsr):
            return step.now
        return least if least.nsr >= self.last else step.at(nsr=self.last)

    def _integrate(self, denoise: Denoise, x: Tensor, step: Step, end: GridPoint) -> Tensor:
        at, before, way = step.now, x, math.copysign(1.0, end.lam - step.now.lam)
        control = _PID(self) if self.control == "pid" else _Paper(self)
        e: Tensor | None = None
        # a rest of 1e-9 is what rounding leaves, and no step
        while (rest := abs(end.lam - at.lam)) > 1e-9:
            h = min(control.h, rest)
            to = end if rest - h < 1e-9 else step.at(nsr=math.exp(-(at.lam + way * h)))
            # a step that was refused begins where it did: its first evaluation holds
            e = denoise(x, at).eps if e is None else e
            low, high = self._pair(denoise, x, e, step, at, to)
            delta = torch.maximum(torch.full_like(x, self.atol), self.rtol * torch.maximum(low.abs(), before.abs()))
            error = self._norm((low - high) / delta)
            if not math.isfinite(error) or h < 1e-9:
                raise ToleranceError(
                    f"dpm-adaptive: an error of {error:g} at sigma / alpha = {at.nsr:g} with a step of {h:g}; "
                    "check that the network's output is finite, or raise atol and rtol"
                )
            if control.accepts(error, h):
                x, before, at, e = high, low, to, None
        return x

    def _pair(
        self, denoise: Denoise, x: Tensor, e: Tensor, step: Step, now: GridPoint, to: GridPoint
    ) -> tuple[Tensor, Tensor]:
        """The states of the lower and the higher order at ``to``."""
        whole, r = leg(now, to, "eps"), 1 / self.order
        inner = between(step, now, to, r)
        e_1 = denoise(first(leg(now, inner, "eps"), x, e), inner).eps
        if self.order == 2:
            return first(whole, x, e), second(whole, x, e, e_1, r, "midpoint")
        outer = between(step, now, to, 2 * r)
        e_2 = denoise(second(leg(now, outer, "eps"), x, e, e_1, 1 / 2, "heun"), outer).eps
        low = second(whole, x, e, e_1, r, "midpoint")
        return low, third(whole, x, (e, e_1, e_2), (r, 2 * r), "midpoint")

    def _norm(self, off: Tensor) -> float:
        square = off.double().square()
        mean = square.mean() if self.together == "mean" else square.reshape(len(square), -1).mean(1).max()
        return float(mean.sqrt())


class _Paper:
    """Accept errors up to 1."""

    def __init__(self, rule: DPMAdaptive) -> None:
        self.h, self.order = rule.h_init, rule.order

    def accepts(self, error: float, h: float) -> bool:
        self.h = 0.9 * h * max(error, 1e-12) ** (-1 / self.order)
        return error <= 1


class _PID:
    """Let the change of the step decide what is accepted."""

    def __init__(self, rule: DPMAdaptive) -> None:
        p, i, d, order = rule.pcoeff, rule.icoeff, rule.dcoeff, rule.order
        self.h, self.safety = rule.h_init, rule.accept_safety
        self.powers = ((p + i + d) / order, -(p + 2 * d) / order, d / order)
        self.earlier: tuple[float, float] | None = None

    def accepts(self, error: float, h: float) -> bool:
        inverse = 1 / (error + 1e-8)
        earlier = self.earlier or (inverse, inverse)
        factor = math.prod(one**power for one, power in zip((inverse, *earlier), self.powers, strict=True))
        factor = 1 + math.atan(factor - 1)
        if accepted := factor >= self.safety:
            self.earlier = (inverse, earlier[0])
        else:
            self.earlier = earlier
        self.h *= factor
        return accepted
