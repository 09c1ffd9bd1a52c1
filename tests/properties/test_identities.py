"""Methods that are one method under several names, and walks that must not care how they are written."""

import pytest
import torch
from parts import label, specs, start

import registry
import zoo
from zoo.core.grid import Grid, GridPoint, make_grid


@pytest.fixture(scope="module")
def mixture():
    return zoo.build("tiny-mixture")


def sampled(model, sampler, **settings):
    return zoo.sample(model, x_T=start(model, 5), sampler=sampler, seed=4, **{"steps": 12, **settings})


EXACT_2M = {"name": "dpm-multistep", "solver": "heun", "lower_order_final": False}


@pytest.mark.parametrize("spacing", ["leading", "trailing", "quadratic"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "ddpm"}, {"name": "ddim", "eta": 1.0}),
        ({"name": "ddim"}, {"name": "unipc", "order": 1, "corrector": False}),
        ({"name": "ddim"}, {"name": "unipc", "order": 1, "corrector": False, "predict": "eps", "variant": "bh1"}),
        ({"name": "ddim"}, {"name": "euler"}),
        ({"name": "ddim"}, {"name": "lms", "order": 1}),
        ({"name": "ddim"}, {"name": "dpm-solver", "order": 1}),
        ({"name": "lms", "order": 3}, {"name": "deis", "variable": "rho"}),
        ({"name": "dpmpp-2s"}, {"name": "dpm-solver", "order": 2, "predict": "x0"}),
        ({"name": "dpmpp-2m"}, {"name": "dpm-multistep", "predict": "x0"}),
        ({"name": "dpmpp-2m", "solver": "heun"}, {"name": "dpm-multistep", "predict": "x0", "solver": "heun"}),
        ({"name": "dpmpp-3m"}, {"name": "dpm-multistep", "order": 3, "predict": "x0"}),
        ({"name": "deis", "order": 2, "variable": "log-rho"}, EXACT_2M),
        # the midpoint of DPM-Solver-2 in lambda is that of log(sigma / alpha)
        ({"name": "dpm2"}, {"name": "dpm-solver", "order": 2}),
    ],
    ids=lambda spec: label(spec),
)
def test_one_method_under_two_names(one, other, spacing, mixture):
    # float64 with terms of size sigma / alpha up to 1e2: 1e-12 is a hundred roundings
    first, second = (sampled(mixture, sampler, spacing=spacing) for sampler in (one, other))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


PATHS = {
    "vp": lambda nsr: ((1 + nsr**2) ** -0.5, nsr * (1 + nsr**2) ** -0.5),
    "ve": lambda nsr: (1.0, nsr),
    "flow": lambda nsr: (1 / (1 + nsr), nsr / (1 + nsr)),
}
# v, the forward variance beta and the whole times of a table belong to one path
BOUND = {("history", "v"), ("variance", "fixed-large"), ("middle", "whole"), ("middle", "diffusers")}
# so do a schedule's own time, and a tolerance in the units of x_t
BOUND |= {("time", "own"), ("name", "dpm-adaptive")}
# LCM's boundary condition weighs x_t itself
BOUND |= {("timestep_scaling", 10.0)}
FREE = [spec for spec in specs("samplers") if not any(spec.get(key) == value for key, value in BOUND)]


def walked_on(path, spec, noise):
    """Samples from the same noise over the same noise levels, in the coordinates of a path."""
    edm = zoo.build("tiny-mixture", parameterization="edm", schedule="vp")
    levels = torch.linspace(3.0, -3.0, 13, dtype=torch.float64).exp().tolist()
    rows = [GridPoint(float(20 - index), *PATHS[path](nsr)) for index, nsr in enumerate(levels)]
    # EDM's input and label are the same on every path, so the network cannot tell which it is on
    model = zoo.Diffusion.wrap(edm.denoiser, parameterization="edm")
    first, last = rows[0], rows[-1]
    x_T = first.alpha * start(edm, 5) * levels[0]
    return zoo.sample(model, x_T=x_T, sampler=spec, times=Grid(tuple(rows)), noise=noise) / last.alpha


@pytest.mark.parametrize("path", ["ve", "flow"])
@pytest.mark.parametrize("spec", FREE, ids=label)
def test_the_path_does_not_matter_only_the_noise_levels(spec, path):
    """x_t / alpha obeys one equation in sigma / alpha on every path."""
    noise = torch.randn(40, 5, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    # a few dozen operations on numbers of size sigma / alpha = 20 at most
    torch.testing.assert_close(walked_on(path, spec, noise), walked_on("vp", spec, noise), rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("predict", ["eps", "x0"])
def test_packed_rows_are_whole_steps_on_a_grid_even_in_lambda(predict, order, mixture):
    """DPM-Solver-fast on rows at the inner points of DPM-Solver is DPM-Solver."""
    settings = {"order": order, "predict": predict}
    levels = torch.linspace(3.0, -3.0, 6 * order + 1, dtype=torch.float64).exp()
    times = mixture.schedule.inverse(levels)
    rows = sampled(mixture, {"name": "dpm-fast", "lower_order_final": False, **settings}, steps=None, times=times)
    whole = sampled(mixture, {"name": "dpm-solver", **settings}, steps=None, times=times[::order])
    # the inverse of the schedule is good to 1e-12, and the terms are of size sigma / alpha = 20
    torch.testing.assert_close(rows, whole, rtol=0, atol=1e-10)


def test_inversion_and_sampling_return_to_the_start():
    """DDIM up the grid and down again; each way has an error of first order."""
    gaussian = zoo.build("tiny-gaussian", denoiser={"mean": 0.3, "var": 0.1}, schedule="vp")
    x_0 = gaussian.denoiser.sample(16, torch.Generator().manual_seed(1))
    errors = []
    for steps in (20, 80, 320):
        down = torch.linspace(0.9, 0.0, steps + 1, dtype=torch.float64).tolist()
        x_T = zoo.sample(gaussian, x_T=x_0, sampler="ddim", times=down[::-1])
        again = zoo.sample(gaussian, x_T=x_T, sampler="ddim", times=down)
        errors.append(float((again - x_0).abs().max()))
    assert errors[0] < 0.5
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_explicit_times_are_the_spacing(mixture):
    times = registry.spacings.build("trailing")(mixture.schedule, 12)
    for given in (times, make_grid(mixture.schedule, times)):
        explicit = zoo.sample(mixture, x_T=start(mixture, 5), sampler="unipc", times=given)
        assert torch.equal(explicit, sampled(mixture, "unipc"))


def test_a_walk_is_the_sample_step_by_step(mixture):
    moments = list(zoo.walk(mixture, x_T=start(mixture, 5), sampler="pndm", steps=12))
    assert [moment.index for moment in moments] == list(range(13))
    assert [moment.nfe for moment in moments] == [0, 4, 8, 12, *range(13, 22)]
    assert torch.equal(moments[0].x_t, start(mixture, 5))
    assert torch.equal(moments[-1].x_t, sampled(mixture, "pndm"))


def test_a_walk_restores_the_mode_of_the_model(mixture):
    mixture.train()
    walk = zoo.walk(mixture, 1, steps=4)
    next(walk)
    assert not mixture.training
    walk.close()
    assert mixture.training
