"""What a comparison found, as data and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zoo.comparison.layers import Origin, Row
from zoo.comparison.measure import Difference
from zoo.comparison.pairing import Pair
from zoo.comparison.weights import Weight

_WEIGHTS_SHOWN = 12

HEADER = ("module", "class", "input", "output", "relative", "")
WEIGHT_HEADER = ("weight in a", "in b", "", "max abs", "relative", "")


@dataclass(frozen=True)
class Comparison:
    """Two networks side by side.

    Attributes:
        a: what ``a`` is called.
        b: what ``b`` is called.
        rows: the calls of paired modules in the order in which those of ``a`` ended, and what one side alone has.
        origins: the places where the networks part; the first is ``first``.
        weights: those that differ, are missing or have another shape.
        weights_compared: how many had a counterpart.
        pairing: which modules stand for each other, and how that was found.
        remarks: what was assumed: how each side was called, what it was given, what did not load.
        rtol: a difference up to this part of the largest number is noise.
        atol: and so is one up to this.
    """

    a: str
    b: str
    rows: tuple[Row, ...]
    origins: tuple[Origin, ...]
    weights: tuple[Weight, ...]
    weights_compared: int
    pairing: tuple[Pair, ...]
    remarks: tuple[str, ...]
    rtol: float
    atol: float

    @property
    def first(self) -> Origin | None:
        """The first place where they part; None when they are equal, or when only noise adds up."""
        return self.origins[0] if self.origins else None

    @property
    def equal(self) -> bool:
        """Whether all outputs and all weights agree within the tolerance, and none is on one side only."""
        outputs = all(row.state in ("equal", "only in a", "only in b") for row in self.rows)
        return outputs and not any(weight.counts for weight in self.weights)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.first is not None:
            more = f"; {len(self.origins) - 1} more such places" if len(self.origins) > 1 else ""
            return f"different: {self.first.text}{more}"
        drift = next((row for row in self.rows if row.state in ("drifts", "follows")), None)
        if drift is not None:
            name = drift.a or "the network itself"
            return f"different, but no module makes the difference: noise adds up to more than it may in {name}"
        if not self.equal:
            return "different in weights that do not show in the outputs for these inputs"
        return "equal: every output and every weight agrees"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, fit for JSON; numbers that JSON does not have are text."""
        plain: dict[str, Any] = _json({"equal": self.equal, "verdict": self.verdict, **asdict(self)})
        return {**plain, "first": plain["origins"][0] if plain["origins"] else None}

    @property
    def weights_left_out(self) -> int:
        """How many weights the table leaves out."""
        return max(0, len(self.weights) - _WEIGHTS_SHOWN)

    def shown_weights(self) -> list[tuple[str, ...]]:
        """The first rows under `WEIGHT_HEADER`."""
        return [
            (weight.a or "-", _same(weight.b, weight.a), weight.state, *_numbers(weight.difference), _shapes(weight))
            for weight in self.weights[:_WEIGHTS_SHOWN]
        ]

    def layer_lines(self) -> list[tuple[str, ...]]:
        """The rows under `HEADER`, one a call."""
        return [_line(row) for row in self.rows]

    def pairing_summary(self) -> str:
        """How the modules were paired, and those whose names differ."""
        counts = {how: sum(pair.how == how for pair in self.pairing) for how in ("given", "name", "order and shape")}
        how = ", ".join(f"{count} by {_HOW[how]}" for how, count in counts.items() if count)
        return f"{len(self.pairing)} modules paired: {how}"

    def renamed(self) -> list[Pair]:
        """The pairs of two names."""
        return [pair for pair in self.pairing if pair.a != pair.b]

    def __str__(self) -> str:
        lines = [f"a: {self.a}", f"b: {self.b}", *self.remarks]
        if self.weights:
            lines += ["", *_table([WEIGHT_HEADER, *self.shown_weights()])]
            lines += [f"and {self.weights_left_out} more weights"] * bool(self.weights_left_out)
        else:
            lines += ["", f"all {self.weights_compared} weights are the same to the last bit"]
        lines += ["", self.pairing_summary()]
        lines += [f"  {pair.a} = {pair.b} ({pair.how})" for pair in self.renamed()]
        lines += ["", *_table([HEADER, *self.layer_lines()])]
        lines += [
            "",
            f"noise is up to {self.rtol:g} of the largest number of a tensor, or {self.atol:g}",
            self.verdict,
        ]
        return "\n".join(lines)


_HOW = {"given": "the names given", "name": "name", "order and shape": "order and shape"}


def _line(row: Row) -> tuple[str, ...]:
    name = row.a if row.a is not None else row.b
    again = f" #{row.call + 1}" if row.call else ""
    shown = name or "(the network)"
    return (
        f"{shown}{again}",
        row.kind,
        *_numbers(row.input)[:1],
        *_numbers(row.output),
        "; ".join(word for word in ("" if row.state == "equal" else row.state, row.note) if word),
    )


def _numbers(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "-", "-"
    if difference.max_abs == 0:
        return "0", "0"
    return f"{difference.max_abs:.2e}", f"{difference.relative:.1e}"


def _same(b: str | None, a: str | None) -> str:
    return "-" if b is None else "same name" if a == b else b


def _shapes(weight: Weight) -> str:
    if weight.state == "differs":
        return weight.note
    shapes = " | ".join(str(list(shape)) for shape in (weight.shape_a, weight.shape_b) if shape is not None)
    return f"{shapes} {weight.note}".strip()


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest cell, a rule below the head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return [text[0], "-" * max(map(len, text)), *text[1:]]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
