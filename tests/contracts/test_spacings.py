"""What every spacing promises, on every schedule: times that fall, or a refusal that says why."""

import itertools

import pytest
from parts import label, specs

import registry
from zoo.core.errors import ZooError

PAIRS = list(itertools.product(specs("spacings"), specs("schedules")))
STEPS = (1, 2, 3, 7, 10, 50)


def asked(rule, table, steps):
    """The times, or why there are none."""
    try:
        return rule(table, steps), ""
    except ZooError as error:
        return [], str(error)


@pytest.mark.parametrize(("spacing", "schedule"), PAIRS, ids=[f"{label(a)}-on-{label(b)}" for a, b in PAIRS])
def test_times_fall_strictly_from_start_to_end(spacing, schedule):
    rule, table = registry.spacings.build(spacing), registry.schedules.build(schedule)
    for steps in STEPS:
        times, refusal = asked(rule, table, steps)
        if refusal:
            assert any(word in refusal for word in ("steps", "schedule", "sigma"))
            continue
        assert all(isinstance(t, float) for t in times)
        assert times[0] <= table.t_max
        assert times[-1] >= table.t_clean
        if spacing["name"] == "diff-svc":
            # the old code's walk: its stride decides the number of steps, and its last step changes nothing
            assert times[-2:] == [0.0, 0.0]
            times = times[:-1]
        else:
            assert len(times) == steps + 1
        if spacing["name"] == "quadratic":
            # the first squares may share a whole time, in the original as here
            times = list(dict.fromkeys(times))
        assert all(later < earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("schedule", specs("schedules"), ids=label)
@pytest.mark.parametrize("name", ["trailing", "linspace"])
def test_there_is_a_spacing_for_every_schedule(name, schedule):
    table = registry.schedules.build(schedule)
    assert registry.spacings.build(name)(table, 10)[0] == table.t_max


@pytest.mark.parametrize("spacing", specs("spacings"), ids=label)
@pytest.mark.parametrize("steps", [0, -1])
def test_refuses_no_steps(spacing, steps):
    rule = registry.spacings.build(spacing)
    with pytest.raises(ZooError, match=r"steps|sections"):
        rule(registry.schedules.build("linear"), steps)


@pytest.mark.parametrize("spacing", specs("spacings"), ids=label)
def test_refuses_more_steps_than_were_trained_if_it_counts_them(spacing):
    table = registry.schedules.build({"name": "linear", "steps": 10})
    rule = registry.spacings.build(spacing)
    times, refusal = asked(rule, table, 11)
    assert "10" in refusal if refusal else len(set(times)) == 12
