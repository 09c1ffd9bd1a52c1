"""The order with which every sampler approaches the exact solution of the probability-flow ODE, measured."""

import itertools
import math

import pytest
import torch
from parts import label, specs

import registry
import zoo
from zoo.core.grid import GridError, make_grid

EXTRA = [
    {"name": "unipc", "order": order, "predict": predict, "lower_order_final": False}
    for order, predict in itertools.product((1, 2, 3, 4), ("x0", "eps"))
]
SPECS = [
    spec
    for spec in [*specs("samplers"), *EXTRA]
    if not registry.samplers.build(spec).stochastic
    # both bring the middle of a step to a whole time of a table, so no step of theirs can become small
    and spec.get("middle") not in ("whole", "diffusers")
]


@pytest.fixture(scope="module")
def model():
    return zoo.build(
        {
            "shape": [2],
            "denoiser": {"name": "gaussian", "mean": [0.5, -1.0], "var": [0.09, 0.01]},
            "schedule": "vp",
            "parameterization": "eps",
        }
    )


def error(model, sampler, steps):
    """RMS distance to the closed-form solution on a grid that ends at sigma > 0.

    The jump from the last noise to clean data has an error of its own, which no number of steps removes.
    """
    ends = model.schedule(torch.tensor([0.9, 0.05], dtype=torch.float64)).nsr.log().tolist()
    nsr = torch.linspace(*ends, steps + 1, dtype=torch.float64).exp()
    grid = make_grid(model.schedule, model.schedule.inverse(nsr).tolist())
    x_T = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    walked = zoo.sample(model, x_T=x_T, sampler=sampler, times=grid)
    exact = model.denoiser.ode_solution(x_T, *grid[0][1:], *grid[-1][1:])
    return float((walked - exact).square().mean().sqrt())


# In straight time the error term of second order of the midpoint rule vanishes on the linear flow of Gaussian data.
BETTER_ON_GAUSSIANS = {"flow-rk-method=midpoint": 3}


@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_has_the_order_it_claims(spec, model):
    sampler = registry.samplers.build(spec)
    # single-step rules of high order reach rounding before 160 steps
    grids = (20, 40) if sampler.convergence >= 4 and spec["name"] == "flow-rk" else (160, 320)
    coarse, fine = (error(model, sampler, steps) for steps in grids)
    # 4e-13 is where rounding takes over from a method of order 5
    assert fine > 4e-13
    # the slope between two finite grids, not the limit: methods of order p come within 0.35 of it from N = 160 on
    expected = BETTER_ON_GAUSSIANS.get(label(spec), sampler.convergence)
    assert abs(math.log2(coarse / fine) - expected) <= 0.35


def test_a_wrong_time_costs_the_order(model):
    """The measurement can tell: the same rule told a neighbouring time for its evaluations drops to first order."""

    def late(x, t):
        return model.denoiser(x, t + 0.002)

    wrong = zoo.Diffusion.wrap(late, schedule="vp", shape=(2,))
    wrong.denoiser.ode_solution = model.denoiser.ode_solution
    coarse, fine = (error(wrong, registry.samplers.build("plms"), steps) for steps in (160, 320))
    assert abs(math.log2(coarse / fine)) < 1


@pytest.mark.parametrize("middle", ["whole", "diffusers"])
def test_whole_middles_need_whole_times(middle, model):
    with pytest.raises(GridError, match="exact"):
        zoo.sample(model, 1, sampler={"name": "pndm", "middle": middle}, steps=10)
