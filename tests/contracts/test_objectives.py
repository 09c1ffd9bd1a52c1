"""What every objective promises: times that a network can be asked about, and weights that make sense."""

import itertools

import pytest
import torch
from parts import label, specs

import registry

PAIRS = list(itertools.product(registry.objectives.names(), specs("schedules")))


def build(name, parameterization):
    made = registry.parameterizations.build(parameterization)
    return registry.objectives.build(name, parameterization=made)


@pytest.mark.parametrize(("name", "schedule"), PAIRS, ids=[f"{a}-on-{label(b)}" for a, b in PAIRS])
def test_draws_times_of_the_schedule(name, schedule):
    table = registry.schedules.build(schedule)
    objective = build(name, "eps")
    t, again = (objective.times(500, table, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(t, again)
    assert t.shape == (500,)
    assert t.dtype == torch.float64
    assert (t >= table.t_min).all()
    assert (t <= table.t_max).all()
    assert table.steps is None or torch.equal(t, t.round())
    assert len(t.unique()) > 10


@pytest.mark.parametrize(("name", "schedule"), PAIRS, ids=[f"{a}-on-{label(b)}" for a, b in PAIRS])
@pytest.mark.parametrize("parameterization", registry.parameterizations.names())
def test_weights_are_finite_and_positive_somewhere(name, schedule, parameterization):
    table = registry.schedules.build(schedule)
    objective = build(name, parameterization)
    t = torch.linspace(table.t_min, table.t_max, 101, dtype=torch.float64)
    weight = objective.weight(table(t))
    assert weight.shape == t.shape
    assert weight.isfinite().all()
    assert (weight >= 0).all()
    assert weight.max() > 0
