"""What single deterministic samplers promise beyond the contracts."""

import math

import pytest
import torch
from parts import label, specs

import registry
import zoo
from zoo.core.grid import GridError
from zoo.samplers.dpm_adaptive import ToleranceError

ADAPTIVE = {"name": "dpm-adaptive", "atol": 1e-4, "rtol": 1e-4}
DETERMINISTIC = [spec for spec in specs("samplers") if not registry.samplers.build(spec).stochastic]


@pytest.fixture(scope="module")
def gaussian():
    return zoo.build(
        {
            "shape": [2],
            "denoiser": {"name": "gaussian", "mean": [0.5, -1.0], "var": [0.09, 0.01]},
            "schedule": "vp",
            "parameterization": "eps",
        }
    )


def noise(n):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_adaptive_samples_take_their_own_steps_with_their_own_conditions():
    seen = []

    def network(x, t, labels):
        seen.append((float(t[0]), int(labels[0])))
        return torch.sin((1 + labels[:, None]) * x)

    model = zoo.Diffusion.wrap(network, schedule="vp", shape=(2,))
    settings = {"sampler": ADAPTIVE, "times": [0.9, 0.05]}
    *_, both = zoo.walk(model, x_T=noise(2), labels=torch.tensor([0, 3]), **settings)
    calls = {index: [t for t, label in seen if label == index] for index in (0, 3)}
    assert len(calls[0]) + len(calls[3]) == both.nfe
    assert calls[0] != calls[3]
    for row, index in enumerate((0, 3)):
        alone = zoo.sample(model, x_T=noise(2)[row : row + 1], labels=index, **settings)
        assert torch.equal(alone[0], both.x_t[row])


@pytest.mark.parametrize("together", ["worst", "mean"])
def test_a_batch_may_take_its_steps_together(together, gaussian):
    settings = {"times": [0.9, 0.05], "sampler": {**ADAPTIVE, "together": together}}
    *_, apart = zoo.walk(gaussian, x_T=noise(4), **{**settings, "sampler": ADAPTIVE})
    *_, joint = zoo.walk(gaussian, x_T=noise(4), **settings)
    assert joint.nfe < apart.nfe / 2
    # both keep a tolerance of 1e-4 in each of some tens of steps
    torch.testing.assert_close(joint.x_t, apart.x_t, rtol=0, atol=1e-2)


def test_adaptive_steps_give_up_on_what_is_not_finite():
    model = zoo.Diffusion.wrap(lambda x, t: x / 0, schedule="vp", shape=(2,))
    with pytest.raises(ToleranceError, match="raise atol and rtol"):
        zoo.sample(model, x_T=noise(1), sampler=ADAPTIVE, times=[0.9, 0.05])


def test_adaptive_steps_do_not_leave_clean_data(gaussian):
    with pytest.raises(GridError, match="sigma = 0"):
        zoo.sample(gaussian, x_T=noise(1), sampler=ADAPTIVE, times=[0.0, 0.5])


@pytest.mark.parametrize(
    "settings",
    [{"order": 1}, {"atol": 0.0}, {"h_init": 0.0}, {"control": "paper", "pcoeff": 0.5}],
    ids=str,
)
def test_adaptive_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match=r"must|belong"):
        registry.samplers.build({"name": "dpm-adaptive", **settings})


@pytest.mark.parametrize("spec", DETERMINISTIC, ids=label)
def test_walks_up_as_well_as_down(spec, gaussian):
    """An inversion by any rule of the ODE; most of it is far above clean data, where unipc and its kin cannot begin."""
    if spec.get("middle") in ("whole", "diffusers"):
        pytest.skip("goes to whole times of a table")
    up = torch.linspace(0.05, 0.9, 41, dtype=torch.float64).tolist()
    x_0 = gaussian.denoiser.sample(8, torch.Generator().manual_seed(1))
    first, last = (gaussian.schedule(torch.tensor(t, dtype=torch.float64)) for t in (up[0], up[-1]))
    x_T = zoo.sample(gaussian, x_T=x_0, sampler=spec, times=up)
    exact = gaussian.denoiser.ode_solution(x_0, *map(float, first), *map(float, last))
    # a rule of first order has an error of 0.03 here
    torch.testing.assert_close(x_T, exact, rtol=0, atol=0.1)


@pytest.mark.parametrize("spec", DETERMINISTIC, ids=label)
def test_leaves_clean_data_or_says_that_it_cannot(spec, gaussian):
    if spec.get("middle") in ("whole", "diffusers"):
        pytest.skip("goes to whole times of a table")
    up = torch.linspace(0.0, 0.9, 81, dtype=torch.float64).tolist()
    x_0 = gaussian.denoiser.sample(8, torch.Generator().manual_seed(1))
    last = gaussian.schedule(torch.tensor(0.9, dtype=torch.float64))
    exact = gaussian.denoiser.ode_solution(x_0, 1.0, 0.0, *map(float, last))
    try:
        x_T = zoo.sample(gaussian, x_T=x_0, sampler=spec, times=up)
    except GridError as error:
        refusal = str(error)
    else:
        refusal = None
        # at clean data the network sees no noise at all, so the first step starts out too small
        assert (x_T - exact).square().mean().sqrt() < 0.3 * exact.square().mean().sqrt()
    assert refusal is None or "sigma = 0" in refusal


@pytest.mark.parametrize("schedule", ["linear", "vp", "flow"])
def test_adaptive_steps_ask_nothing_below_what_was_trained(schedule):
    asked = []

    def network(x, t):
        asked.append(float(t[0]))
        return torch.sin(x)

    model = zoo.Diffusion.wrap(network, schedule=schedule, shape=(2,))
    start = 0.9 * model.schedule.t_max
    zoo.sample(model, 1, sampler=ADAPTIVE, times=[start, model.schedule.t_clean])
    lowest, trained = (
        float(model.schedule(torch.tensor(t, dtype=torch.float64)).nsr) for t in (min(asked), model.schedule.t_min)
    )
    # a float32 network is told float32 times
    assert math.isclose(lowest, max(trained, 0.002), rel_tol=1e-4)


@pytest.mark.parametrize("total", range(1, 14))
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("lowered", [True, False])
def test_packed_steps_fill_the_budget(order, total, lowered):
    sampler = registry.samplers.build({"name": "dpm-fast", "order": order, "lower_order_final": lowered})
    lengths = sampler._orders(total)
    assert sum(lengths) == total
    assert all(1 <= length <= order for length in lengths)
    assert lengths == sorted(lengths, reverse=True)
    if lowered and total % order == 0:
        assert lengths[-1] == 1


def test_churn_goes_up_before_it_goes_down(gaussian):
    """The network is asked at s^ = (1 + s_churn / N) s, and the state there has the variance of s^."""
    asked = []

    def network(x, t):
        asked.append((float(t[0]), x))
        return 0 * x

    model = zoo.Diffusion.wrap(network, schedule="vp", shape=(2,))
    start = gaussian.schedule(torch.tensor(0.5, dtype=torch.float64))
    x_T = start.sigma * noise(20000)
    zoo.sample(model, x_T=x_T, sampler={"name": "euler", "s_churn": 0.5}, times=[0.5, 0.4, 0.3])
    t, x = asked[0]
    there = gaussian.schedule(torch.tensor(t, dtype=torch.float64))
    assert math.isclose(float(there.nsr / start.nsr), 1.25, rel_tol=1e-9)
    # 40000 draws: the standard error of a standard deviation is 0.35 %
    assert math.isclose(float(x.std()), float(there.sigma), rel_tol=0.015)


@pytest.mark.parametrize("last", [0.002, 0.002 * (1 + 1e-15), 0.002 * (1 + 1e-11)])
def test_adaptive_steps_may_end_where_the_walk_does(last):
    """The least level of the walk and the rule's own differ by rounding, or not at all: no step lies between."""
    model = zoo.Diffusion.wrap(lambda x, t: 0.3 * x.sin(), schedule="ve", parameterization="eps")
    times = [2.0, last, 0.0]
    times = [*model.schedule.inverse(torch.tensor(times[:2], dtype=torch.float64)).tolist(), model.schedule.t_clean]
    *_, end = zoo.walk(model, x_T=noise(2), sampler={**ADAPTIVE, "last": 0.002}, times=times)
    assert end.x_t.isfinite().all()


@pytest.mark.parametrize("sampler", registry.samplers.names())
def test_samples_may_be_single_numbers(sampler):
    model = zoo.Diffusion.wrap(lambda x, t: 0.3 * x.sin(), shape=())
    assert zoo.sample(model, 3, sampler=sampler, steps=4).shape == (3,)


@pytest.mark.parametrize("variable", ["t", "rho", "log-rho"])
def test_deis_walks_up_from_clean_data_that_has_the_time_of_the_least_noise(variable, gaussian):
    model = zoo.Diffusion.wrap(gaussian.denoiser, schedule="linear", shape=(2,))
    assert zoo.invert(model, noise(2), sampler={"name": "deis", "variable": variable}, steps=10).isfinite().all()


@pytest.mark.parametrize("name", ["plms", "pndm"])
@pytest.mark.parametrize("schedule", ["flow", "edm", "linear"])
def test_what_is_mixed_is_read_on_every_path(name, schedule):
    """A single step onto clean data mixes nothing: whatever is remembered, it is DDIM's."""
    model = zoo.Diffusion.wrap(lambda x, t: 0.3 * x.sin(), schedule=schedule, parameterization="v")
    times = [model.schedule.t_clean + 0.7 * (model.schedule.t_max - model.schedule.t_clean), model.schedule.t_clean]
    of_v, ddim = (
        zoo.sample(model, x_T=noise(2), sampler=sampler, times=times)
        for sampler in ({"name": name, "history": "v"}, "ddim")
    )
    torch.testing.assert_close(of_v, ddim, rtol=1e-10, atol=1e-10)


def test_packed_steps_may_come_back(gaussian):
    """The block of the last two steps ends where it began."""
    sampler = {"name": "dpm-fast", "order": 2, "lower_order_final": False}
    back = zoo.sample(gaussian, x_T=noise(2), sampler=sampler, times=[0.9, 0.6, 0.5, 0.3, 0.5])
    assert back.isfinite().all()
