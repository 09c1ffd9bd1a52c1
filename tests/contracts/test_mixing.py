"""Any sampler, schedule, parameterization and spacing: they work together, or are refused for one of few reasons."""

from __future__ import annotations

import importlib.util
import random
import re
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import torch
from parts import label, specs

import registry
import zoo
from zoo.core import mixing
from zoo.core.grid import Grid, GridPoint, make_grid
from zoo.core.refusals import MixError, Reason

ROOT = Path(__file__).parents[2]
KINDS = ("samplers", "parameterizations", "schedules", "spacings")
# The reasons that a walk down from noise can be refused for, by defaults; the others belong to inversions and settings.
DOWNWARD = {
    Reason.COUNTS_STEPS,
    Reason.FINITE_NOISE,
    Reason.RULE_AT_NOISE,
    Reason.OUTPUT_AT_NOISE,
    Reason.OUTPUT_AT_DATA,
    Reason.WHOLE_TIMES,
}


INSTEAD = re.compile(r"\b(use|take|start|end|set|pass|give|falling times)\b")


def guide():
    spec = importlib.util.spec_from_file_location("guide", ROOT / "benchmarks" / "guide.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def parts(kind):
    return {label(spec): registry.kinds[kind].build(spec) for spec in specs(kind)}


def network(x, t):
    return 0.3 * x.sin() + 0.1


def cells(names_only):
    """The axes of the product: every part by its defaults, or with every setting that has a test of its own."""
    return [[name for name in parts(kind) if not names_only or name in registry.kinds[kind].names()] for kind in KINDS]


def some(names_only, count):
    """So many cells, the same ones every time."""
    draw = random.Random(0)
    return [tuple(draw.choice(axis) for axis in cells(names_only)) for _ in range(count)]


def refusal(cell):
    """Why a cell is refused, None where it works; anything else is a failure."""
    sampler, parameterization, schedule, spacing = (parts(kind)[name] for kind, name in zip(KINDS, cell, strict=True))
    model = zoo.Diffusion.wrap(network, schedule=schedule, parameterization=parameterization, shape=(2,))
    x_T = torch.full((1, 2), 0.7, dtype=torch.float64)
    try:
        end = zoo.sample(model, x_T=x_T, sampler=sampler, spacing=spacing, steps=4)
    except MixError as error:
        refused = error
    else:
        assert end.isfinite().all(), cell
        return None
    assert refused.reason in DOWNWARD, f"{cell}: {refused}"
    assert INSTEAD.search(str(refused)), f"{cell} does not say what to do: {refused}"
    return refused.reason


def test_any_cell_works_or_is_refused_for_a_reason():
    found = {cell: refusal(cell) for cell in some(False, 400)}
    # a third is refused: mostly spacings that count trained steps on paths that have none
    assert len(found) / 2 < sum(reason is None for reason in found.values())


@pytest.fixture(scope="module")
def expected():
    """What the committed tables say about a cell of defaults."""
    tables = guide()
    spacings, rules, outputs = tables.refused_spacings(), tables.refused_rules(), tables.refused_outputs()

    def told(cell):
        sampler, parameterization, schedule, spacing = cell
        if (schedule, spacing) in spacings:
            return spacings[schedule, spacing]
        path, rows = parts("schedules")[schedule], parts("spacings")[spacing]
        grid, reason = make_grid(path, rows(path, 4)), None
        if not grid[0].alpha:
            at_noise = outputs.get((parameterization, "from pure noise, any sampler"))
            reason = rules.get((sampler, "from pure noise"), at_noise)
        if reason is None and not grid[-1].sigma:
            reason = outputs.get((parameterization, f"onto clean data with {sampler}"))
        return reason

    return told


def test_the_refused_cells_are_those_of_the_tables(expected):
    for cell in some(True, 250):
        assert refusal(cell) == expected(cell), cell


@pytest.mark.slow
def test_every_cell_is_as_the_tables_say(expected):
    for cell in product(*cells(True)):
        assert refusal(cell) == expected(cell), cell


PURE, SOME, CLEAN = GridPoint(2.0, 0.0, 1.0), GridPoint(1.0, 0.6, 0.8), GridPoint(0.0, 1.0, 0.0)
RULES = [
    ("plms", "v", (PURE, SOME), Reason.RULE_AT_NOISE),
    ("ddim", "eps", (PURE, SOME), Reason.OUTPUT_AT_NOISE),
    ({"name": "flow-rk", "last": "full"}, "x0", (SOME, CLEAN), Reason.OUTPUT_AT_DATA),
    ("unipc", "v", (CLEAN, SOME), Reason.RULE_AT_DATA),
    ({"name": "pndm", "middle": "whole"}, "v", (SOME._replace(t=0.5), SOME._replace(t=0.2)), Reason.WHOLE_TIMES),
    ("ddpm", "v", (CLEAN, SOME), Reason.UPWARD),
]


@pytest.mark.parametrize(("sampler", "output", "points", "reason"), RULES, ids=[row[3].name for row in RULES])
def test_a_refusal_carries_its_reason(sampler, output, points, reason):
    with pytest.raises(MixError) as caught:
        mixing.check(registry.samplers.build(sampler), registry.parameterizations.build(output), Grid(points))
    assert caught.value.reason is reason
    assert INSTEAD.search(str(caught.value))


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"schedule": "flow", "sampling": {"spacing": "leading"}}, Reason.COUNTS_STEPS),
        ({"schedule": "flow", "sampling": {"spacing": "karras"}}, Reason.FINITE_NOISE),
        ({"schedule": "flow", "parameterization": "flow", "sampler": "plms"}, Reason.RULE_AT_NOISE),
        ({"schedule": "flow"}, Reason.OUTPUT_AT_NOISE),
        ({"sampler": "unipc", "sampling": {"guidance": {"name": "cfg-pp"}}}, Reason.JOINS_NOT),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else "",
)
def test_a_model_is_refused_when_it_is_built(overrides, reason):
    with pytest.raises(MixError) as caught:
        zoo.build("tiny-mixture", **overrides)
    assert caught.value.reason is reason


def test_every_reason_has_a_test_above():
    built = {Reason.COUNTS_STEPS, Reason.FINITE_NOISE, Reason.JOINS_NOT}
    assert {row[3] for row in RULES} | built == set(Reason)
