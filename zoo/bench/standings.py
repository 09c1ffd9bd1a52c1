"""Tables and notes of what is compared with something: a bar to come up to, another implementation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from zoo.bench.fewer import Bar, FewerRow
from zoo.bench.pairs import PairRow

Number = Callable[[float | None], str]
"""How a number is shown."""

_DRAWN = 8
"""How many samplers a plot can hold."""


def columns(rows: Sequence[FewerRow], number: Number) -> dict[str, list[str]]:
    """The cells of the table as text: a row for each sampler, a column for each spacing, the least evaluations in it.

    Args:
        rows: of all models.
        number: how a number is shown.
    """
    lines = list(dict.fromkeys((row.model, row.sampler) for row in rows))
    found = {(row.model, row.sampler, row.spacing): row for row in rows}
    shown = {"model": [model for model, _ in lines], "sampler": [sampler for _, sampler in lines]}
    for spacing in dict.fromkeys(row.spacing for row in rows):
        cells = [found.get((model, sampler, spacing)) for model, sampler in lines]
        shown[spacing or "own"] = ["" if cell is None else _told(cell, number) for cell in cells]
    return shown


def _told(row: FewerRow, number: Number) -> str:
    if row.reason:
        return "refused"
    return str(row.nfe) if row.nfe is not None else f"never ({number(row.error_rms)})"


def notes(bars: Sequence[Bar], rows: Sequence[FewerRow], number: Number) -> list[str]:
    """What a reader of the table must know, a line each."""
    lines = []
    for bar in bars:
        name = f"{bar.model}: bar {bar.sampler} on {bar.spacing or 'its own spacing'}"
        if bar.reason:
            lines.append(f"{name}: {bar.reason}")
            continue
        lines.append(
            f"{name}: {bar.nfe} evaluations from t = {bar.first_t:g} to t = {bar.last_t:g}, "
            f"error {number(bar.error_rms)} RMS of {number(bar.solution_rms)}; "
            f"fine solution: own error below {number(bar.own_rms)}"
        )
        best = sorted((row for row in rows if row.model == bar.model and row.nfe is not None), key=_rank)[:3]
        told = [f"{row.sampler} on {row.spacing or 'its own'} {row.nfe} ({number(row.error_rms)})" for row in best]
        lines.append(f"{bar.model}: fewest: " + ("; ".join(told) or "none comes up to it"))
    if bars:
        lines.append("cells: least NFE with an error at most the bar's; 'never' with the least error that was found")
    reasons = dict.fromkeys(f"{row.model}: {row.sampler}: {row.reason}" for row in rows if row.reason)
    return [*lines, *reasons]


def series(bar: Bar, rows: Sequence[FewerRow]) -> dict[str, tuple[list[float], list[float]]]:
    """What a plot shows of a model: the best samplers, each on the spacing that serves it best, and the bar."""
    best: dict[str, FewerRow] = {}
    for row in rows:
        if row.model == bar.model and row.curve and _rank(row) < _rank(best.get(row.sampler)):
            best[row.sampler] = row
    drawn = {
        f"{row.sampler}, {row.spacing}": ([point[0] for point in row.curve], [point[1] for point in row.curve])
        for row in sorted(best.values(), key=_rank)[:_DRAWN]
    }
    if drawn and bar.error_rms and bar.nfe:
        ends = [min(xs[0] for xs, _ in drawn.values()), float(bar.nfe)]
        drawn[f"bar: {bar.sampler}, {bar.nfe}"] = (ends, [bar.error_rms] * 2)
    return drawn


def _rank(row: FewerRow | None) -> tuple[float, float]:
    if row is None or row.error_rms is None:
        return math.inf, math.inf
    return math.inf if row.nfe is None else row.nfe, row.error_rms


def beside(rows: Sequence[PairRow], number: Callable[..., str]) -> dict[str, list[str]]:
    """The cells of the table of pairs: medians, their ratio, and what the single rounds ranged over.

    Args:
        rows: of all pairs.
        number: how a number is shown, and in which unit.
    """

    def median(times: tuple[float, float, float] | None) -> str:
        return "" if times is None else number(times[1], 1e3)

    def span(row: PairRow) -> str:
        ours, theirs = (row.wall, row.peer_wall) if row.on_gpu else (row.cpu, row.peer_cpu)
        if ours is None or theirs is None:
            return ""
        return f"{number(ours[0] / theirs[1])} to {number(ours[2] / theirs[1])}"

    shown = {
        "pair": [row.pair for row in rows],
        "beside": [row.peer for row in rows],
        "NFE": [number(row.nfe) for row in rows],
        "CPU ms": [median(row.cpu) for row in rows],
        "theirs CPU ms": [median(row.peer_cpu) for row in rows],
        "wall ms": [median(row.wall) for row in rows],
        "theirs wall ms": [median(row.peer_wall) for row in rows],
        "ratio": [number(row.ratio) for row in rows],
        "range": [span(row) for row in rows],
        "difference": [number(row.difference) for row in rows],
        "note": [row.reason for row in rows],
    }
    return {name: cells for name, cells in shown.items() if any(cells)}


def said_of(rows: Sequence[PairRow], diffusers: str | None, repeats: int) -> list[str]:
    """What a reader of that table must know."""
    clock = "the wall clock" if any(row.on_gpu for row in rows) else "processor time"
    lines = [
        f"whole runs in turn, ours and theirs, {repeats} of each; ratio of the medians of {clock}; weights, start "
        "noise and evaluations are the same",
        "difference: of the results, the largest relative to the largest value; weights that are zero when fresh are "
        "redrawn",
    ]
    return [*lines, f"diffusers {diffusers}"] if diffusers else lines
