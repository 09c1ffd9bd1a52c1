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
EXTRA += [
    {"name": "deis", "order": order, "variable": variable}
    for order, variable in itertools.product((1, 2, 3, 4), ("t", "rho", "log-rho"))
]
EXTRA += [
    {"name": name, "order": order, "predict": predict, "solver": solver}
    for name, order, predict, solver in itertools.product(
        ("dpm-solver", "dpm-fast", "dpm-multistep"), (1, 2, 3), ("x0", "eps"), ("midpoint", "heun")
    )
]
EXTRA += [{**spec, "lower_order_final": False} for spec in EXTRA if spec["name"] in ("dpm-fast", "dpm-multistep")]
EXTRA += [{"name": "lms", "order": order} for order in (1, 2, 3, 4)]
SPECS = [
    spec
    for spec in [*specs("samplers"), *EXTRA]
    if not registry.samplers.build(spec).stochastic
    # both bring the middle of a step to a whole time of a table, so no step of theirs can become small
    and spec.get("middle") not in ("whole", "diffusers")
    # its steps are its own; below
    and spec["name"] != "dpm-adaptive"
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
BETTER_ON_GAUSSIANS = {"flow-rk-method=midpoint": 3, "heun-alpha=0.5": 3}


@pytest.mark.parametrize("spec", SPECS, ids=label)
def test_has_the_order_it_claims(spec, model):
    sampler = registry.samplers.build(spec)
    # single-step rules of high order reach rounding before 160 steps
    grids = (20, 40) if sampler.convergence >= 4 and spec["name"] == "flow-rk" else (160, 320)
    if spec["name"] == "dpm-fast":  # whole blocks of 2 and of 3
        grids = (162, 324)
    if spec.get("variable") == "log-rho" and spec.get("order") == 4:
        grids = (80, 160)  # later the errors of its start, of the other sign, cancel some of its own
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


@pytest.mark.parametrize("control", ["paper", "pid"])
@pytest.mark.parametrize("order", [2, 3])
def test_adaptive_steps_follow_the_tolerance(order, control, model):
    """A hundredth of the tolerance: the error falls with it, and the steps rise with its p-th root."""
    ends = make_grid(model.schedule, [0.9, 0.05])
    x_T = torch.randn(1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = model.denoiser.ode_solution(x_T, *ends[0][1:], *ends[1][1:])
    errors, calls = [], []
    for tolerance in (1e-3, 1e-5):
        sampler = {"name": "dpm-adaptive", "order": order, "control": control, "atol": tolerance, "rtol": tolerance}
        *_, last = zoo.walk(model, x_T=x_T, sampler=sampler, times=ends)
        errors.append(float((last.x_t - exact).abs().max()))
        calls.append(last.nfe)
    # an error is held in each step and adds up over some tens of them
    assert errors[0] < 100 * 1e-3
    assert errors[1] < 100 * 1e-5
    assert errors[1] < errors[0] / 10
    # 100^(1/2) = 10 and 100^(1/3) = 4.6 times the steps, the first of which grow slowly from a fixed length
    assert 2 < calls[1] / calls[0] < 1.3 * 100 ** (1 / order)
