"""PNDM: pseudo numerical methods with a Runge-Kutta start (F-PNDM), and the second-order S-PNDM."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Denoise, Noise, Sampler, adams_bashforth, as_eps, mixable, transfer

History = tuple[Tensor, ...]


@dataclass(frozen=True)
class PNDM(Sampler[History]):
    """Linear multistep on eps with a start of its own (Liu et al. 2022, algorithm 2 and section 3.4).

    F-PNDM, three Runge-Kutta steps with the middle time m = (t + s) / 2, tr the transfer of eq. 11:

        e_1 at x_t;  e_2 at tr(x_t, e_1, m);  e_3 at tr(x_t, e_2, m);  e_4 at tr(x_t, e_3, s)
        e' = (e_1 + 2 e_2 + 2 e_3 + e_4) / 6,

    then e' = (55 e - 59 e_1 + 37 e_2 - 9 e_3) / 24, newest first; only e_1 of a Runge-Kutta step enters the
    history. S-PNDM: e' = (e_1 + e_2) / 2 with e_2 at tr(x_t, e_1, s), then e' = (3 e - e_1) / 2. Both have
    order 2, since the transfer holds e' constant. F-PNDM takes N + 9 evaluations for N steps, S-PNDM N + 1.

    Args:
        variant: "f" for F-PNDM, "s" for S-PNDM.
        middle: what becomes of m when the stride is odd. "exact" takes the true middle; "whole", the paper's code,
            brings the state to the whole time below it; "diffusers" tells the network that whole time too and
            brings the state to the one above in the first half step, below in the second.
        history: what is mixed, eps, or v = alpha eps - sigma x_0, turned into eps at the present x_t
            (diffusers, for networks that predict v).
    """

    _: KW_ONLY
    variant: Literal["f", "s"] = "f"
    middle: Literal["exact", "whole", "diffusers"] = "exact"
    history: Literal["eps", "v"] = "eps"
    order: ClassVar[int] = 2
    from_pure_noise: ClassVar[bool] = False

    @property
    def convergence(self) -> int:
        """2, but 1 when v is mixed: v turns with x_t, and the mix is read at the x_t before the step."""
        return 2 if self.history == "eps" else 1

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: History, noise: Noise) -> tuple[Tensor, History]:
        now, next = step.now, step.next
        e = mixable(denoise(x_t, now), now, self.history)
        # Walking onto clean data there is no noise to ask the network about at the far end
        warm_up = {"f": 3, "s": 1}[self.variant] if next.sigma else 0
        if len(state) >= warm_up:
            mixed = adams_bashforth(e, state if self.variant == "f" else state[:1])
        elif self.variant == "s":
            mixed = (e + self._probe(denoise, x_t, e, now, next, next)) / 2
        else:
            mixed = self._runge_kutta(denoise, x_t, e, step)
        return transfer(x_t, as_eps(mixed, x_t, now, self.history), now, next), (e, *state[:2])

    def _runge_kutta(self, denoise: Denoise, x_t: Tensor, e_1: Tensor, step: Step) -> Tensor:
        now, next = step.now, step.next
        first, second, asked = self._middle(step)
        e_2 = self._probe(denoise, x_t, e_1, now, first, asked)
        e_3 = self._probe(denoise, x_t, e_2, now, second, asked)
        e_4 = self._probe(denoise, x_t, e_3, now, next, next)
        return (e_1 + 2 * e_2 + 2 * e_3 + e_4) / 6

    def _probe(
        self, denoise: Denoise, x_t: Tensor, e: Tensor, now: GridPoint, to: GridPoint, asked: GridPoint
    ) -> Tensor:
        """The output at tr(x_t, e, to), where the network is told that it is at ``asked``."""
        there = transfer(x_t, as_eps(e, x_t, now, self.history), now, to)
        return mixable(denoise(there, asked), asked, self.history)

    def _middle(self, step: Step) -> tuple[GridPoint, GridPoint, GridPoint]:
        """Where the two half steps bring the state, and what the network is told."""
        m = (step.now.t + step.next.t) / 2
        if self.middle == "exact":
            return (step.at(t=m),) * 3
        low, high = sorted((step.now.t, step.next.t))
        if not low <= math.floor(m) <= math.ceil(m) <= high:
            raise MixError(
                Reason.WHOLE_TIMES,
                f"pndm: middle {self.middle!r} goes to whole times, and there is none between {low:g} and {high:g}; "
                "use 'exact'",
            )
        below = step.at(t=float(math.floor(m)))
        if self.middle == "whole":
            return below, below, step.at(t=m)
        return step.at(t=float(math.ceil(m))), below, below
