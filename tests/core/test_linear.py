"""Walks as tables of weights: the same numbers as the rule as it is written."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from parts import label, specs

import registry
import zoo
from zoo.core.grid import Grid, GridPoint, make_grid
from zoo.core.linear import Lin, NotLinearError, combine, recorded
from zoo.core.noise import PerSample
from zoo.core.sampler import Sampler, walk

SPECS = specs("samplers")
# Rules that look at their tensors before they go on, and why. All others must be recorded.
AS_WRITTEN: dict[str, str] = {"dpm-adaptive": "chooses its steps by the difference of two states"}


def network(x, t):
    return 0.3 * x.sin() + 0.1


def setting(parameterization="v", steps=7):
    model = zoo.Diffusion.wrap(network, schedule="linear", parameterization=parameterization, shape=(2, 3))
    times = registry.spacings.build({"name": "trailing", "end": "first"})(model.schedule, steps)
    return model.bind(), make_grid(model.schedule, times)


@torch.no_grad()
@pytest.mark.parametrize("parameterization", ["eps", "v", "x0"])
@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_a_table_gives_the_numbers_of_the_rule(spec, parameterization):
    sampler = registry.samplers.build(spec)
    denoise, grid = setting(parameterization)
    assert (recorded(sampler, denoise, grid) is None) == (spec["name"] in AS_WRITTEN)
    x = torch.randn(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    written, followed = (
        list(walk(sampler, denoise, x, grid, PerSample(1, 3), as_written=as_written)) for as_written in (True, False)
    )
    assert torch.equal(x, before)
    for one, other in zip(written, followed, strict=True):
        assert (one.at, one.index, one.total, one.nfe) == (other.at, other.index, other.total, other.nfe)
        # the same sums in another order; the largest weight of a step is below 1e3
        torch.testing.assert_close(other.x_t, one.x_t, rtol=1e-12, atol=1e-12)


def test_guidance_that_mixes_outputs_is_recorded_and_what_is_not_linear_is_not():
    model = zoo.build("tiny-unet")
    grid = make_grid(model.schedule, [900.0, 500.0, -1.0])
    labels = torch.tensor([1])
    cfg, clip = (registry.guidances.build({"name": name}) for name in ("cfg", "clip"))
    ddim = registry.samplers.build("ddim")
    assert recorded(ddim, model.bind(guidance=cfg, labels=labels), grid) is not None
    assert recorded(ddim, model.bind(guidance=[cfg, clip], labels=labels), grid) is None


def test_a_learned_variance_is_read_as_written():
    def doubled(x, t):
        return torch.cat([network(x, t), x.tanh()], 1)

    parameterization = {"name": "eps", "learned_variance": True}
    model = zoo.Diffusion.wrap(doubled, schedule="linear", parameterization=parameterization)
    grid = make_grid(model.schedule, [900.0, 500.0, -1.0])
    learned = registry.samplers.build({"name": "ddpm", "variance": "learned-range"})
    assert recorded(learned, model.bind(), grid) is None
    # who does not read it is recorded, and reads the first half of the channels
    ddim = registry.samplers.build("ddim")
    x = torch.randn(2, 3, dtype=torch.float64)
    ends = [list(walk(ddim, model.bind(), x, grid, PerSample(0, 2), as_written=how))[-1].x_t for how in (True, False)]
    assert recorded(ddim, model.bind(), grid) is not None
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-12, atol=1e-12)


def test_a_rule_that_cannot_be_hashed_is_recorded_and_not_kept():
    class Unhashable(Sampler):
        order = 1
        __hash__ = None

        def step(self, denoise, x_t, step, state, noise):
            return denoise(x_t, step.now).x_0, ()

    denoise, grid = setting()
    rows = recorded(Unhashable(), denoise, grid)
    assert rows is not None
    assert rows is not recorded(Unhashable(), denoise, grid)
    assert list(walk(Unhashable(), denoise, torch.zeros(1, 2, 3), grid, PerSample(0, 1)))[-1].index == len(grid) - 1


def test_settings_given_as_lists_work():
    model = zoo.build("tiny-mixture")
    lists, tuples = (
        registry.samplers.get("restart")(intervals=kind([kind([0.06, 0.3, 2, 2])])) for kind in (list, tuple)
    )
    ends = [zoo.sample(model, 2, sampler=rule, steps=4) for rule in (lists, tuples)]
    assert torch.equal(*ends)


def test_the_table_of_ddim_is_its_formula():
    # on the unit circle x_s = cos(s - t) x - sin(t - s) v, Salimans & Ho 2022, appendix D
    angles = [1.2, 0.7, 0.1]
    grid = Grid(tuple(GridPoint(a, math.cos(a), math.sin(a)) for a in angles))
    denoise, _ = setting("v")
    rows = recorded(registry.samplers.build("ddim"), denoise, grid)
    assert rows is not None
    for row, (t, s) in zip(rows, pairwise(angles), strict=True):
        assert row.x.weights == pytest.approx({"x": math.cos(t - s), "out0": -math.sin(t - s)}, abs=1e-15)


def test_memory_is_kept_without_sums_where_it_is_an_output():
    denoise, grid = setting("eps")
    rows = recorded(registry.samplers.build("plms"), denoise, grid)
    assert rows is not None
    assert [len(row.slots) for row in rows] == [1, 2, 3, 3, 3, 3, 3]
    assert all(kept.symbol for row in rows for kept in row.slots.values())


x, y = Lin({"x": 1.0}), Lin({"y": 1.0})


def test_sums_of_symbols():
    total = 0 + 2 * x - y / 4 + np.float64(3) * (x + y) - (-x)
    assert total.weights == {"x": 6.0, "y": 2.75}
    scales = {weight: torch.tensor(weight) for weight in total.weights.values()}
    assert combine(total, {"x": torch.tensor([1.0]), "y": torch.tensor([2.0])}, scales) == 11.5
    assert x.symbol == "x"
    assert (2 * x).symbol is None


@pytest.mark.parametrize(
    "use",
    [
        lambda: x * y,
        lambda: 1 / x,
        lambda: x / 0.0,
        lambda: x + 1,
        lambda: x**2,
        lambda: abs(x),
        lambda: x > 0,
        lambda: bool(x),
        lambda: x.shape,
        lambda: x[0],
        lambda: len(x),
        lambda: x * torch.ones(2),
        lambda: torch.ones(2) * x,
        lambda: torch.sin(x),
        lambda: torch.cat([x, y]),
        lambda: x * True + x.norm(),
    ],
)
def test_anything_else_is_refused(use):
    with pytest.raises(NotLinearError):
        use()
