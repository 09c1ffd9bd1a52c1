"""Writes the tables of docs/samplers.md and docs/mixing.md: from the registry, and from the cards of two benchmarks.

    zoo bench guide-mixture --device cpu
    zoo bench guide-digits quality.data.path=FOLDER --device cpu
    python benchmarks/guide.py

Between ``<!-- NAME -->`` and ``<!-- end NAME -->`` the documents belong to this script; all else is written by hand.
A test compares them with what the script would write today.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

import registry
from zoo.bench import Card
from zoo.core import linear, mixing
from zoo.core.grid import Grid, GridPoint, make_grid
from zoo.core.parameterization import Parameterization
from zoo.core.refusals import MixError, Reason
from zoo.core.sampler import Sampler

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "table": {"alphas_cumprod": torch.linspace(0.999, 0.01, 50, dtype=torch.float64).tolist()}
}
"""What the parts cannot be built without, that have no defaults for everything."""

PURE, SOME, LITTLE, CLEAN = (
    GridPoint(3.0, 0.0, 1.0),
    GridPoint(2.0, 0.6, 0.8),
    GridPoint(1.0, 0.8, 0.6),
    GridPoint(0.0, 1.0, 0.0),
)


def built(kind: str, name: str) -> Any:
    """A part by its defaults."""
    return registry.kinds[kind].build({"name": name, **REQUIRED.get(name, {})})


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def samplers() -> str:
    """Every sampler with its facts."""
    return markdown(
        [
            "name",
            "what it is",
            "paper",
            "order",
            "converges",
            "NFE of N steps",
            "noise",
            "pure noise",
            "CFG++",
            "table",
        ],
        [_facts(name) for name in registry.samplers.names()],
    )


def _facts(name: str) -> list[str]:
    entry, sampler = registry.samplers.entry(name), built("samplers", name)
    noise = entry.facts.get("stochastic", sampler.stochastic)
    return [
        f"`{name}`",
        entry.summary,
        entry.paper or "",
        str(sampler.order),
        str(sampler.convergence) if not sampler.stochastic else "",
        str(entry.facts.get("nfe", "its own")),
        noise if isinstance(noise, str) else _yes(noise),
        _yes(sampler.from_pure_noise),
        _yes(sampler.joins),
        _yes(linear.program(sampler, built("parameterizations", "v"), Grid((SOME, LITTLE))) is not None),
    ]


def _yes(value: object) -> str:
    return "yes" if value else "no"


def measured(suite: str) -> Callable[[], str]:
    """The table of a card: a row for each sampler and spacing, a column for each number of evaluations."""
    return lambda: _measured(Card.load(RESULTS / f"{suite}-cpu" / "card.json"))


def _measured(card: Card) -> str:
    budgets = [int(nfe) for nfe in card.suite["nfe"]]
    (yardstick,) = card.yardsticks
    cells: dict[tuple[str, str], list[str]] = {}
    for index, row in enumerate(card.rows):
        told = "" if row.status == "ok" else row.status
        if row.status == "ok":
            error = "" if row.error_rms is None else f"{row.error_rms:.2g}"
            told = " / ".join(part for part in (error or "noise", f"{row.quality:.2g}") if part)
            if row.nfe != budgets[index % len(budgets)]:
                told += f" ({row.nfe})"
        cells.setdefault((row.sampler, row.spacing), []).append(told)
    table = markdown(
        ["sampler", "spacing", *(f"NFE {nfe}" for nfe in budgets)],
        [[f"`{sampler}`", f"`{spacing}`", *told] for (sampler, spacing), told in cells.items()],
    )
    low, high = yardstick.floor_range or (0.0, 0.0)
    notes = [
        f"Each cell: error RMS / {yardstick.measure}; the evaluations in brackets where they do not come out even.",
        f"{yardstick.measure} of {yardstick.samples} samples; floor, of as many real ones, {yardstick.floor:.2g} "
        f"({low:.2g} to {high:.2g}); start noise {yardstick.noise:.3g}. Errors are those of {card.suite['n']} samples.",
        *(
            f"Errors are against {one.sampler} in {one.steps} steps, whose own error is below {one.own_rms:.1g}."
            for one in card.references[:1]
        ),
        f"{card.date}; {card.hardware['cpu']}, 1 thread; torch {card.versions['torch']}, zoo {card.versions['zoo']}.",
    ]
    return "\n".join([table, "", *(f"* {note}" for note in notes)])


def best(suite: str) -> Callable[[], str]:
    """The nearest at each number of evaluations."""
    return lambda: _best(Card.load(RESULTS / f"{suite}-cpu" / "card.json"))


def _best(card: Card) -> str:
    (yardstick,) = card.yardsticks
    budgets, lines = [int(nfe) for nfe in card.suite["nfe"]], []
    for index, nfe in enumerate(budgets):
        rows = [row for at, row in enumerate(card.rows) if at % len(budgets) == index and row.status == "ok"]
        near = sorted((row for row in rows if row.error_rms is not None), key=lambda row: row.error_rms or 0.0)
        good = sorted((row for row in rows if row.quality is not None), key=lambda row: row.quality or 0.0)
        lines.append(
            [
                str(nfe),
                "; ".join(f"`{row.sampler}` on `{row.spacing}` {row.error_rms:.2g}" for row in near[:3]),
                "; ".join(f"`{row.sampler}` on `{row.spacing}` {row.quality:.2g}" for row in good[:3]),
            ]
        )
    return markdown(["NFE", "least error RMS", f"least {yardstick.measure}"], lines)


def fewer(suite: str) -> Callable[[], str]:
    """How few evaluations come up to the error of one walk, a row for each model."""
    return lambda: _fewer(Card.load(RESULTS / f"{suite}-cpu" / "card.json"))


def _fewer(card: Card) -> str:
    lines = []
    for bar in card.bars:
        rows = [row for row in card.fewer if row.model == bar.model and row.nfe is not None]
        best = sorted(rows, key=lambda row: (row.nfe, row.error_rms))[:4]
        lines.append(
            [
                f"`{bar.model}`",
                f"`{bar.sampler}` on `{bar.spacing}`: {bar.nfe}, error {bar.error_rms:.2g} of {bar.solution_rms:.2g}",
                "; ".join(f"`{row.sampler}` on `{row.spacing}` {row.nfe}" for row in best),
            ]
        )
    return markdown(["model", "to come up to", "fewest evaluations"], lines)


def reasons() -> str:
    """The closed list."""
    return markdown(["reason", "meaning"], [[f"`{one.name}`", one.value] for one in Reason])


def refused_spacings() -> dict[tuple[str, str], Reason]:
    """(schedule, spacing) that are refused, in 4 steps by their defaults."""
    found: dict[tuple[str, str], Reason] = {}
    for schedule, spacing in product(registry.schedules.names(), registry.spacings.names()):
        try:
            path = built("schedules", schedule)
            make_grid(path, built("spacings", spacing)(path, 4))
        except MixError as error:
            if error.reason is None:
                raise
            found[schedule, spacing] = error.reason
    return found


def refusal(sampler: Sampler[Any], output: Parameterization, *points: GridPoint) -> Reason | None:
    """Why a walk is refused; None where it is not."""
    try:
        mixing.check(sampler, output, Grid(points))
    except MixError as error:
        return error.reason
    return None


def refused_rules() -> dict[tuple[str, str], Reason]:
    """(sampler, walk) that are refused whatever the output means."""
    walks = {
        "from pure noise": (PURE, SOME, LITTLE, CLEAN),
        "between times without a whole one": (SOME._replace(t=0.9), LITTLE._replace(t=0.7)),
        "up": (LITTLE, SOME),
        "up from clean data": (CLEAN, LITTLE, SOME),
    }
    output, found = built("parameterizations", "v"), {}
    for (name, sampler), (walk, points) in product(rules().items(), walks.items()):
        reason = refusal(sampler, output, *points)
        if reason is not None:
            found[name, walk] = reason
    return found


def rules() -> dict[str, Sampler[Any]]:
    """Every sampler by its defaults, and those of their settings that are refused where the defaults are not."""
    named: dict[str, Sampler[Any]] = {name: built("samplers", name) for name in registry.samplers.names()}
    for name, setting, value in (("pndm", "middle", "whole"), ("unipc", "predict", "eps")):
        named[f"{name} {setting}={value}"] = registry.samplers.build({"name": name, setting: value})
    return named


def refused_outputs() -> dict[tuple[str, str], Reason]:
    """(output, walk) that are refused."""
    found: dict[tuple[str, str], Reason] = {}
    for name in registry.parameterizations.names():
        output = built("parameterizations", name)
        if (reason := refusal(built("samplers", "ddim"), output, PURE, SOME)) is not None:
            found[name, "from pure noise, any sampler"] = reason
        for rule, sampler in rules().items():
            if refusal(sampler, output, SOME, LITTLE, CLEAN) is not None:
                found[name, f"onto clean data with {rule}"] = Reason.OUTPUT_AT_DATA
    return found


def _grouped(cells: Mapping[tuple[str, str], Reason], first: str, second: str) -> str:
    """Cells of one row and reason side by side."""
    rows: dict[tuple[str, Reason], list[str]] = {}
    for (name, other), reason in cells.items():
        rows.setdefault((name, reason), []).append(other)
    return markdown(
        [first, second, "reason"],
        [[f"`{name}`", ", ".join(many), f"`{reason.name}`"] for (name, reason), many in rows.items()],
    )


SECTIONS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/samplers.md": {
        "samplers": samplers,
        "measured guide-mixture": measured("guide-mixture"),
        "best guide-mixture": best("guide-mixture"),
        "measured guide-digits": measured("guide-digits"),
        "best guide-digits": best("guide-digits"),
        "fewer-steps": fewer("fewer-steps"),
    },
    "docs/mixing.md": {
        "reasons": reasons,
        "spacings": lambda: _grouped(refused_spacings(), "schedule", "spacings"),
        "rules": lambda: _grouped(refused_rules(), "sampler", "walk"),
        "outputs": lambda: _grouped(refused_outputs(), "output", "walk"),
    },
}


def filled(text: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """A document with its tables as they are today."""
    for name, made in sections.items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(f"expected one pair of <!-- {name} --> and <!-- end {name} -->")
        text = pattern.sub(lambda found, made=made: found[1] + "\n" + made() + "\n\n" + found[2], text)  # type: ignore[misc]
    return text


def main() -> int:
    """Fill every document."""
    for document, sections in SECTIONS.items():
        path = ROOT / document
        path.write_text(filled(path.read_text(), sections))
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
