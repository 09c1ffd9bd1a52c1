"""DPM-Solver-fast: single steps of order up to 3, packed so that every row of the grid takes one evaluation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor

from zoo.core.exponential import Predict, Solver, first, fraction, integrand, is_finite, leg, second, third
from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


class Past(NamedTuple):
    """One evaluation: where, and the output that is integrated."""

    at: GridPoint
    m: Tensor


class Block(NamedTuple):
    """The step of higher order that is under way: the state it began from, and what is known since."""

    x: Tensor
    past: tuple[Past, ...]


@dataclass(frozen=True)
class DPMFast(Sampler[tuple[()] | Block]):
    """DPM-Solver of a given budget: N rows of the grid are N evaluations (Lu et al. 2022, section 3.4).

    The rows are taken in blocks of ``order``; the inner points of a block are rows themselves, at whatever fractions
    r of its length in lambda. The state at an inner row is the solver's inner stage, of lower order. What is left at
    the end makes shorter blocks. On a grid that is even in lambda this is DPM-Solver with its r = 1/3 and 2/3. Onto
    clean data and from pure noise a block falls back to order 1.

    Args:
        order: of the blocks.
        predict: integrate the prediction of the noise, "eps", or of the data, "x0".
        solver: the weight of the last difference: the paper's, "midpoint", or that of the interpolating polynomial,
            "heun".
        inner: the same for the second inner stage of a block of 3; diffusers takes "midpoint".
        lower_order_final: let the last block be a step of order 1, where the rows would fill whole blocks too.
    """

    _: KW_ONLY
    order: int = 3  # type: ignore[misc]  # a setting decides
    predict: Predict = "eps"
    solver: Solver = "midpoint"
    inner: Solver = "heun"
    lower_order_final: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 3:
            raise ValueError(f"order must be 1, 2 or 3, got {self.order}")

    @property
    def convergence(self) -> int:
        """That of whole blocks; a last one of order 1 leaves 2 of it."""
        return min(self.order, 2) if self.lower_order_final else self.order

    def init(self) -> tuple[()] | Block:
        return ()

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()] | Block, noise: Noise
    ) -> tuple[Tensor, tuple[()] | Block]:
        now, next = step.now, step.next
        ends = list(accumulate(self._orders(step.total)))
        begun = Block(x_t, ()) if not state or step.index in ends else state
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, begun if begun.past else ()
        prediction = denoise(x_t, now)
        past = (*begun.past, Past(now, integrand(prediction, self.predict)))
        start = past[0].at
        # a walk that turns around may come back to where the block began: no fraction of nothing
        if not is_finite(start, next) or start[1:] == next[1:]:
            return straight(prediction, next), ()
        to = leg(start, next, self.predict)
        ms = [one.m for one in past]
        rs = [fraction(start, one.at, next) for one in past]
        if len(past) == 3:
            x_s = third(to, begun.x, (ms[0], ms[1], ms[2]), (rs[1], rs[2]), self.solver)
        elif len(past) == 2:
            solver = self.solver if step.index + 1 in ends else self.inner
            x_s = second(to, begun.x, ms[0], ms[1], rs[1], solver)
        else:
            x_s = first(to, begun.x, ms[0])
        return x_s, Block(begun.x, past)

    def _orders(self, total: int) -> list[int]:
        """The lengths of the blocks."""
        whole, rest = divmod(total, self.order)
        if rest or not self.lower_order_final or self.order == 1:
            return [self.order] * whole + [rest] * bool(rest)
        return [self.order] * (whole - 1) + [self.order - 1, 1]
