"""What every schedule promises: from clean data to noise, monotone, exact at the end, and invertible."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parts import label, specs

import registry

SPECS = specs("schedules")
SCHEDULES = [registry.schedules.build(spec) for spec in SPECS]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=[label(spec) for spec in SPECS])


def times(schedule, count=2001):
    return torch.linspace(schedule.t_clean, schedule.t_max, count, dtype=torch.float64)


@every_schedule
def test_begins_at_clean_data(schedule):
    alpha, sigma = schedule(torch.tensor(schedule.t_clean))
    assert float(alpha) == 1
    assert float(sigma) == 0
    assert schedule.t_clean <= schedule.t_min < schedule.t_max


@every_schedule
def test_noise_grows_with_time(schedule):
    m = schedule(times(schedule))
    nsr = m.sigma / m.alpha
    assert (nsr.diff() > 0).all()
    assert (m.alpha.diff() <= 0).all()
    assert (m.sigma.diff() >= 0).all()


@every_schedule
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.long])
def test_is_float64_and_keeps_shape(schedule, shape, dtype):
    t = torch.full(shape, int(schedule.t_max), dtype=dtype)
    for scale in schedule(t):
        assert scale.shape == shape
        assert scale.dtype == torch.float64
    assert schedule.inverse(schedule(t).nsr).shape == shape


@every_schedule
@given(part=st.floats(0, 1))
def test_inverse_gives_the_time_back(schedule, part):
    t = torch.tensor(schedule.t_clean + part * (schedule.t_max - schedule.t_clean), dtype=torch.float64)
    again = schedule.inverse(schedule(t).nsr)
    # relative to the length of the schedule; sigma / alpha turns 1e-16 of t into as much at a few entries of a table
    tolerance = 1e-9 * (schedule.t_max - schedule.t_clean)
    torch.testing.assert_close(again, t, rtol=0, atol=tolerance)


@every_schedule
def test_inverse_clamps_to_the_ends(schedule):
    ends = schedule.inverse(torch.tensor([0.0, float("inf")], dtype=torch.float64))
    assert ends.tolist() == [schedule.t_clean, schedule.t_max]


@pytest.mark.parametrize("name", registry.schedules.names())
def test_facts_are_those_of_the_class(name):
    facts = registry.schedules.entry(name).facts
    for schedule, spec in zip(SCHEDULES, SPECS, strict=True):
        if spec["name"] != name or not facts:
            continue
        assert facts["time"] == ("continuous" if schedule.steps is None else "discrete")
        alpha, sigma = schedule(times(schedule))
        laws = {"vp": alpha**2 + sigma**2, "ve": alpha, "flow": alpha + sigma, "sub-vp": alpha**2 + sigma}
        exact = laws[facts["path"]]
        # two roundings of numbers near 1
        torch.testing.assert_close(exact, torch.ones_like(exact), rtol=0, atol=1e-15)


@every_schedule
def test_whole_times_of_a_table_are_exact(schedule):
    if schedule.steps is None:
        pytest.skip("a continuous schedule has no table")
    whole = torch.arange(schedule.steps, dtype=torch.float64)
    assert torch.equal(schedule(whole).alpha, schedule.alpha_bar.sqrt())
