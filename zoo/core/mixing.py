"""Which parts go together: every combination works, but for a short list of reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from zoo.core.bound import Guidance
from zoo.core.grid import Grid
from zoo.core.linear import Call, program
from zoo.core.parameterization import Parameterization, Scales
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Sampler


def check(
    sampler: Sampler[Any], parameterization: Parameterization, grid: Grid, guidance: Sequence[Guidance] = ()
) -> None:
    """Refuse parts that do not go together, before anything is computed.

    Args:
        sampler: the rule.
        parameterization: what the network's output means.
        grid: the walk.
        guidance: what is done to predictions.

    Raises:
        MixError: with the reason.
    """
    rule, output = type(sampler).__name__, type(parameterization).__name__.lower()
    if any(one.splits for one in guidance) and not sampler.joins:
        raise MixError(
            Reason.JOINS_NOT,
            f"guidance: cfg-pp gives x_0 and eps of different predictions, of which {rule} uses one: take ddim, or "
            "cfg for the guidance",
        )
    if any(point.alpha == 0 for point in grid.points[:-1]):
        if not sampler.from_pure_noise:
            raise MixError(
                Reason.RULE_AT_NOISE,
                f"{rule} cannot step from pure noise (alpha = 0): take ddim or unipc, or a spacing whose first time "
                "has some signal left",
            )
        if not parameterization.from_pure_noise:
            raise MixError(
                Reason.OUTPUT_AT_NOISE,
                f"a network that predicts {output} says nothing about x_0 at alpha = 0: start below the schedule's "
                "end, or use a v, x0 or flow network",
            )
    if sampler.stochastic and not sampler.climbs and any(b.nsr > a.nsr for a, b in pairwise(grid.points)):
        raise MixError(
            Reason.UPWARD,
            f"{rule} draws noise on its way down and cannot walk up (inversion): take falling times, or ddim with "
            "eta = 0",
        )
    # running the rule on symbols finds what it refuses itself, and is what the walk will follow
    rows = program(sampler, parameterization, grid)
    if rows is None and not parameterization.from_clean_data and not all(point.sigma for point in grid.points):
        rows = program(sampler, _Anything(), grid)
    calls = [op for row in rows or () for op in row.ops if isinstance(op, Call)]
    if not parameterization.from_clean_data and not all(call.at.sigma for call in calls):
        raise MixError(
            Reason.OUTPUT_AT_DATA,
            f"{rule} asks about eps at clean data (sigma = 0), of which a network that predicts {output} says "
            "nothing: end the walk above it, or use an eps, v or flow network",
        )


@dataclass(frozen=True, kw_only=True)
class _Anything(Parameterization):
    """An output that says everything everywhere: where a rule asks does not depend on what it is told."""

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return out

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return out

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return x_0
