"""Tables of alpha_bar: what is one, and what lies between its entries."""

import math

import pytest
import torch

import registry
from zoo.core.schedule import ScheduleError, TableSchedule


def table(*alpha_bar, **options):
    return TableSchedule(torch.tensor(alpha_bar, dtype=torch.float64), **options)


@pytest.mark.parametrize(
    "alpha_bar", [(), (0.5, 0.6), (0.5, 0.5), (1.1, 0.5), (0.5, -0.1), (0.9, math.nan)], ids=lambda row: str(row)
)
def test_numbers_that_are_no_schedule_are_refused(alpha_bar):
    with pytest.raises(ScheduleError, match="alpha_bar"):
        table(*alpha_bar)


@pytest.mark.parametrize(
    ("interpolation", "quantity"),
    [("log-nsr", lambda m: m.nsr.log()), ("log-alpha", lambda m: m.alpha.log())],
)
def test_what_is_linear_between_two_times(interpolation, quantity):
    m = table(0.9, 0.4, interpolation=interpolation)(torch.tensor([0.0, 0.3, 1.0]))
    first, between, last = quantity(m).tolist()
    assert between == pytest.approx(0.7 * first + 0.3 * last, rel=1e-6)
    torch.testing.assert_close(m.alpha**2 + m.sigma**2, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("interpolation", ["log-nsr", "log-alpha"])
@pytest.mark.parametrize("alpha_bar", [(0.9, 0.4, 0.0), (1.0, 0.5)])
def test_infinite_ends_are_crossed_by_the_angle(alpha_bar, interpolation):
    schedule = table(*alpha_bar, interpolation=interpolation)
    t = torch.linspace(-1, schedule.t_max, 50, dtype=torch.float64)
    m = schedule(t)
    assert all(scale.isfinite().all() for scale in m)
    assert (m.alpha.diff() <= 0).all()


def test_a_table_is_a_copy():
    given = torch.tensor([0.9, 0.4], dtype=torch.float64)
    schedule = TableSchedule(given)
    before = schedule(torch.tensor(1.0)).alpha
    given.zero_()
    assert schedule(torch.tensor(1.0)).alpha == before


def test_a_stored_table_replaces_the_placeholder():
    schedule = registry.schedules.build({"name": "table", "steps": 3})
    stored = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    schedule.load_tensors({"alphas_cumprod": stored})
    assert torch.equal(schedule.tensors()["alphas_cumprod"], stored)
    assert torch.equal(schedule(torch.arange(3)).alpha, stored.sqrt())
