"""Paths of samplers over data that can be looked at: two numbers a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.core import linear
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ShapeError
from zoo.core.grid import Grid, GridPoint
from zoo.core.linear import Call, Lin, Row
from zoo.sampling import chosen_grid, chosen_sampler, walk

_FINE = 400
"""Steps of the walk that stands for the exact one; of third order, so far below what a picture shows."""


@dataclass(frozen=True)
class Path:
    """What one sampler did.

    Args:
        name: the sampler, with its settings.
        states: (N + 1, n, 2) in model space, the start first.
        nfe: evaluations.
        error: root mean square distance of the ends from the exact walk's; None for a sampler that draws noise.
    """

    name: str
    states: Tensor
    nfe: int
    error: float | None


@dataclass(frozen=True)
class Paths:
    """Samplers side by side, from the same noise.

    Args:
        several: one a sampler.
        exact: (M + 1, n, 2) the probability-flow ODE.
        data: (k, 2) draws of the data.
    """

    several: tuple[Path, ...]
    exact: Tensor
    data: Tensor


def trace(
    model: Diffusion,
    samplers: Sequence[str | Mapping[str, Any]],
    *,
    n: int = 14,
    steps: int | None = None,
    spacing: Any = None,
    seed: int = 0,
) -> Paths:
    """Walk the same noise with several samplers.

    Args:
        model: of data of two numbers, such as ``tiny-mixture``.
        samplers: names or mappings.
        n: how many paths.
        steps: of each walk; None for the model's.
        spacing: of each walk; None for the model's.
        seed: of the noise.

    Raises:
        ShapeError: when a sample of the model is no point of a plane.
    """
    if model.shape != (2,):
        raise ShapeError(f"paths are drawn in a plane: a sample must have shape (2,), got {model.shape}")
    settings: dict[str, Any] = {"n": n, "seed": seed, "guidance": ()}
    reference = {"name": "unipc", "order": 3, "lower_order_final": False}
    fine = list(walk(model, sampler=reference, steps=_FINE, **settings))
    found = []
    for spec in samplers:
        rule = chosen_sampler(model, spec)
        moments = list(walk(model, sampler=rule, steps=steps, spacing=spacing, **settings))
        last = moments[-1]
        off = None if rule.stochastic else float((last.x_t - fine[-1].x_t).square().mean().sqrt())
        found.append(Path(_named(spec), torch.stack([moment.x_t for moment in moments]), last.nfe, off))
    exact = torch.stack([moment.x_t for moment in fine])
    draw = getattr(model.denoiser, "sample", None)
    data = draw(4000, torch.Generator().manual_seed(seed)) if draw is not None else exact[-1]
    return Paths(tuple(found), exact, data.reshape(-1, 2))


def _named(spec: str | Mapping[str, Any]) -> str:
    if isinstance(spec, str):
        return spec
    return " ".join([str(spec["name"]), *(f"{key}={value}" for key, value in spec.items() if key != "name")])


def table(
    model: Diffusion,
    sampler: str | Mapping[str, Any],
    *,
    steps: int | None = None,
    spacing: Any = None,
    times: Sequence[float] | Grid | None = None,
) -> list[str] | None:
    """The weighted sums of a walk, a line each; None for a rule that is more than weighted sums.

    ``x`` is the state, ``outK`` what the network said, ``noiseK`` a draw, ``slotK`` what the rule remembers.
    """
    grid = chosen_grid(model, steps, spacing, times)
    rows = linear.recorded(chosen_sampler(model, sampler), model.bind(), grid)
    if rows is None:
        return None
    lines = [_point(grid[0])]
    for row in rows:
        lines += [f"  {line}" for line in _instructions(row)]
        lines.append(_point(row.next))
    return lines


def _instructions(row: Row) -> list[str]:
    lines = []
    for op in row.ops:
        if isinstance(op, Call):
            lines.append(f"{op.out} = network({_sum(op.x)}, t = {op.at.t:g})")
        else:
            lines.append(f"{op.out} ~ N(0, I)")
    lines.append(f"x <- {_sum(row.x)}")
    return lines + [f"{name} <- {_sum(kept)}" for name, kept in row.slots.items()]


def _sum(total: Lin) -> str:
    if total.symbol:
        return total.symbol
    text = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight):.8g} {name}" for name, weight in total.weights.items())
    return text.removeprefix("+ ")


def _point(at: GridPoint) -> str:
    return f"t = {at.t:g}  alpha = {at.alpha:.8g}  sigma = {at.sigma:.8g}"
