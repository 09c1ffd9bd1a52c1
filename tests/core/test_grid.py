"""Grids: rows fixed in float64, points between them, and refusals."""

import math

import pytest
import torch

import registry
from zoo.core.grid import Grid, GridError, GridPoint, make_grid


@pytest.fixture
def linear():
    return registry.schedules.build("linear")


def test_rows_are_the_schedule_at_the_times(linear):
    grid = make_grid(linear, [999, 500, 0, -1])
    assert [point.t for point in grid.points] == [999.0, 500.0, 0.0, -1.0]
    assert grid[1].alpha_bar == pytest.approx(float(linear.alpha_bar[500]), rel=1e-15)
    assert grid[-1] == (-1.0, 1.0, 0.0)


def test_ratios_at_the_ends_are_infinite_not_errors():
    clean, noise = GridPoint(0.0, 1.0, 0.0), GridPoint(1.0, 0.0, 1.0)
    assert (clean.nsr, clean.lam) == (0.0, math.inf)
    assert (noise.nsr, noise.lam) == (math.inf, -math.inf)


@pytest.mark.parametrize("t", [-1.0, 0.0, 250.5, 999.0])
def test_points_off_the_grid_come_from_the_schedule(linear, t):
    point = make_grid(linear, [999, 0]).at(t=t)
    expected = linear(torch.tensor(t, dtype=torch.float64))
    assert point == (t, float(expected.alpha), float(expected.sigma))


def test_a_ratio_outside_the_schedule_is_kept(linear):
    """Churn goes above the noisiest time; the network is asked at the end, the scales are what was asked for."""
    point = make_grid(linear, [999, 0]).at(nsr=1000.0)
    assert point.t == 999
    assert point.nsr == pytest.approx(1000, rel=1e-12)
    assert math.hypot(point.alpha, point.sigma) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "scales"),
    [
        ("vp", lambda nsr: (1 / math.hypot(1, nsr), nsr / math.hypot(1, nsr))),
        ("ve", lambda nsr: (1.0, nsr)),
        ("flow", lambda nsr: (1 / (1 + nsr), nsr / (1 + nsr))),
    ],
)
def test_bare_rows_are_joined_in_log_nsr_on_their_own_path(kind, scales):
    grid = Grid(tuple(GridPoint(t, *scales(math.exp(t))) for t in (2.0, 1.0, -1.0)))
    assert grid.kind == kind
    for wanted in (grid.at(t=0.25), grid.at(nsr=math.exp(0.25))):
        assert wanted == pytest.approx((0.25, *scales(math.exp(0.25))), rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([(1.0, 0.0, 0.0)], "both zero"),
        ([(1.0, -0.1, 1.0)], "row 0"),
        ([(1.0, 1.0, 0.5), (0.0, math.nan, 0.0)], "row 1"),
    ],
)
def test_rows_that_mean_nothing_are_refused(rows, message):
    with pytest.raises(GridError, match=message):
        Grid(tuple(GridPoint(*row) for row in rows))


@pytest.mark.parametrize("times", [[], [1000.0], [5.0, -2.0], [math.nan]])
def test_times_outside_the_schedule_are_refused(linear, times):
    with pytest.raises(GridError, match=r"-1\.\.999|at least one time"):
        make_grid(linear, times)


def test_a_point_needs_one_coordinate(linear):
    grid = make_grid(linear, [999, 0])
    for wrong in ({}, {"t": 1.0, "nsr": 1.0}):
        with pytest.raises(GridError, match="one of them"):
            grid.at(**wrong)


@pytest.mark.parametrize(("name", "t"), [("vp", 0.4), ("flow", 0.4), ("ve", 0.4), ("edm", 3.0), ("linear", 400.0)])
def test_rates_are_the_slopes_of_the_schedule(name, t):
    grid = make_grid(registry.schedules.build(name), [t])
    step = 1e-5 * t if name != "linear" else 0.5
    low, high = grid.at(t=t - step), grid.at(t=t + step)
    slopes = [(above - below) / (2 * step) for below, above in zip(low[1:], high[1:], strict=True)]
    # a central difference of relative length 1e-5 has an error of 1e-10, and 1e-11 from rounding
    assert grid.rate(grid[0]) == pytest.approx(slopes, rel=1e-8, abs=1e-10)


def test_a_bare_grid_has_no_rates():
    with pytest.raises(GridError, match="its schedule"):
        Grid((GridPoint(1.0, 0.5, 0.5),)).rate(GridPoint(1.0, 0.5, 0.5))


def test_rows_that_differ_by_rounding_stand_still():
    grid = Grid((GridPoint(0.5, 1.0, 0.0020000000000000013), GridPoint(0.4, 1.0, 0.002), GridPoint(0.3, 1.0, 0.0019)))
    assert grid[1] == (0.4, 1.0, 0.0020000000000000013)
    assert grid[2] == (0.3, 1.0, 0.0019)


def test_rows_may_be_lists():
    """Whatever they come as, they are hashed."""
    grid = Grid([[1.0, 0.6, 0.8], [0.0, 1.0, 0.0]])
    assert hash(grid) == hash(Grid((GridPoint(1.0, 0.6, 0.8), GridPoint(0.0, 1.0, 0.0))))
    assert grid[0].nsr == 0.8 / 0.6
