"""What every sampler promises: it runs on anything, is pure, and costs what it says."""

import dataclasses
import math
import re

import pytest
import torch
from parts import drawn, label, specs, start

import registry
import zoo
from zoo.core.noise import PerSample, seeds

SPECS = specs("samplers")
SAMPLERS = [registry.samplers.build(spec) for spec in SPECS]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=[label(spec) for spec in SPECS])


@pytest.fixture(scope="module")
def tiny():
    """One network for all rules: a rule sees nothing of it."""
    return drawn("tiny-unet")


@pytest.fixture(scope="module")
def mixture():
    return zoo.build("tiny-mixture")


@pytest.mark.parametrize("name", registry.samplers.names())
def test_facts_are_those_of_the_class(name):
    """A fact that depends on the settings is written as a formula of them; p is the order that was asked for."""
    facts = registry.samplers.entry(name).facts
    for sampler, spec in zip(SAMPLERS, SPECS, strict=True):
        if spec["name"] != name:
            continue
        settings = {field.name: getattr(sampler, field.name) for field in dataclasses.fields(sampler)}
        if isinstance(facts.get("order"), int):
            assert facts["order"] == sampler.order
        elif "order" in facts and spec == {"name": name}:
            # papers count without the lowered last steps that are the default of some
            full = {"lower_order_final": False} if "lower_order_final" in settings else {}
            assert eval(facts["order"], {"p": sampler.order}) == dataclasses.replace(sampler, **full).convergence
        if "stochastic" in facts:
            assert eval(str(facts["stochastic"]), settings) == sampler.stochastic
        if "pure_noise" in facts:
            assert eval(str(facts["pure_noise"]), settings) == sampler.from_pure_noise


@every_sampler
def test_is_a_frozen_record(sampler):
    assert hash(sampler) == hash(dataclasses.replace(sampler))
    field = dataclasses.fields(sampler)
    if field:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(sampler, field[0].name, None)


@every_sampler
def test_keeps_shape_and_dtype_and_repeats_itself(sampler, tiny):
    x_T = start(tiny, 1 if sampler.one_by_one else 2, torch.float32)
    before = x_T.clone()
    # the same record twice: whatever it remembered of the first run would show in the second
    first, second = (zoo.sample(tiny, x_T=x_T, sampler=sampler, steps=3, seed=3) for _ in range(2))
    assert first.shape == x_T.shape
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert torch.equal(first, second)
    assert torch.equal(x_T, before)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp-sde"])
def test_needs_no_evaluation_at_clean_data(sampler):
    """Not every network has an answer there."""
    edm = drawn("tiny-edm")
    spacing = {"name": "karras", "end": 0.001}
    assert zoo.sample(edm, x_T=start(edm, 2), sampler=sampler, steps=3, spacing=spacing).isfinite().all()


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("end", ["clean", "first"])
def test_works_with_few_steps(sampler, steps, end, mixture):
    spacing = {"name": "trailing", "end": end}
    moments = list(zoo.walk(mixture, x_T=start(mixture, 4), sampler=sampler, steps=steps, spacing=spacing))
    assert [moment.index for moment in moments] == list(range(steps + 1))
    assert moments[-1].x_t.isfinite().all()


@every_sampler
def test_may_stand_still(sampler, mixture):
    """Some published grids repeat a time; the step between changes nothing."""
    x_T = start(mixture, 4)
    moments = list(zoo.walk(mixture, x_T=x_T, sampler=sampler, times=[900.0, 500.0, 500.0, 100.0, 0.0, 0.0, -1.0]))
    assert all(moment.x_t.isfinite().all() for moment in moments)
    torch.testing.assert_close(moments[5].x_t, moments[4].x_t, rtol=0, atol=1e-12)


@every_sampler
def test_may_stand_still_at_either_end(sampler):
    model = zoo.build("tiny-mixture", schedule="flow", parameterization="flow")
    top = 1.0 if sampler.from_pure_noise else 0.9
    rounded = 0.5 * (1 + 2e-16)
    times = [top, top, 0.7, rounded, 0.5, 0.2, 0.1 * (1 + 4e-16), 0.1, 0.0, 0.0]
    if getattr(sampler, "middle", "exact") != "exact":
        pytest.skip("goes to whole times")
    moments = list(zoo.walk(model, x_T=start(model, 4), sampler=sampler, times=times))
    for index in (1, 4, 7, 9):  # a step of rounding is none
        torch.testing.assert_close(moments[index].x_t, moments[index - 1].x_t, rtol=0, atol=1e-12)
    # what divides by the length of such a step leaves the data by far
    assert moments[-1].x_t.abs().max() < 20


@every_sampler
def test_does_not_mind_empty_or_strided_batches(sampler, mixture):
    wide = start(mixture, 8)
    strided = zoo.sample(mixture, x_T=wide[::2], sampler=sampler, steps=5)
    assert torch.equal(strided, zoo.sample(mixture, x_T=wide[::2].contiguous(), sampler=sampler, steps=5))
    assert zoo.sample(mixture, x_T=wide[:0], sampler=sampler, steps=5).shape == (0, 2)


@pytest.mark.parametrize("name", [name for name in registry.samplers if "nfe" in registry.samplers.entry(name).facts])
def test_costs_as_many_evaluations_as_it_says(name, mixture):
    """The first formula of `nfe` belongs to the default settings."""
    formula = re.match(r"(\d*) ?N ?([+-] ?\d+)?", registry.samplers.entry(name).facts["nfe"])
    factor, extra = formula[1] or "1", (formula[2] or "0").replace(" ", "")
    *_, last = zoo.walk(mixture, x_T=start(mixture, 1), sampler=name, steps=12, spacing="leading")
    assert last.nfe == int(factor) * 12 + int(extra)


@every_sampler
def test_a_sample_does_not_depend_on_its_batch(sampler, mixture):
    if getattr(sampler, "together", "no") != "no":
        pytest.skip("asked to let the batch choose the steps")
    x_T, own = start(mixture, 5), seeds(11, 5)
    whole = zoo.sample(mixture, x_T=x_T, sampler=sampler, steps=6, seed=11)
    # sums over components are reordered by batch size at most: 1e-12 is far above float64 rounding
    for index in (0, 3, 4):
        alone = zoo.sample(mixture, x_T=x_T[index : index + 1], sampler=sampler, steps=6, seed=[own[index]])
        torch.testing.assert_close(alone[0], whole[index], rtol=0, atol=1e-12)
    order = [3, 0, 4, 1, 2]
    shuffled = zoo.sample(mixture, x_T=x_T[order], sampler=sampler, steps=6, seed=[own[index] for index in order])
    torch.testing.assert_close(shuffled, whole[order], rtol=0, atol=1e-12)


@every_sampler
def test_draws_the_same_noise_for_a_sample_in_any_batch(sampler, mixture):
    def noise_of(n):
        source, draws = PerSample(5, n), []

        def record(x, now, next):
            draws.append(source(x, now, next))
            return draws[-1]

        zoo.sample(mixture, n, sampler=sampler, steps=4, noise=record)
        return torch.stack(draws)

    few, many = noise_of(2), noise_of(6)
    assert torch.equal(few, many[:, :2])
    if not sampler.stochastic:
        assert len(few) == 1  # the start alone


@every_sampler
def test_pure_noise_is_taken_or_refused_by_name(sampler):
    """A schedule with zero terminal SNR starts at alpha = 0."""
    model = zoo.build("tiny-mixture", schedule={"name": "linear", "zero_terminal_snr": True}, parameterization="v")
    run = zoo.walk(model, x_T=start(model, 2), sampler=sampler, steps=5, spacing="trailing")
    if sampler.from_pure_noise:
        *_, last = run
        assert last.x_t.isfinite().all()
    else:
        with pytest.raises(zoo.core.grid.GridError, match=type(sampler).__name__):
            list(run)


@every_sampler
def test_an_eps_network_is_refused_at_pure_noise(sampler):
    schedule = {"name": "linear", "zero_terminal_snr": True}
    model = zoo.Diffusion.wrap(lambda x, t: x, schedule=schedule, parameterization="eps", shape=(2,))
    with pytest.raises(ValueError, match="alpha = 0"):
        zoo.sample(model, 1, sampler=sampler, steps=5, spacing="trailing")


def test_a_model_whose_own_parts_do_not_go_together_is_refused_when_it_is_built():
    with pytest.raises(ValueError, match="alpha = 0"):
        zoo.build("tiny-mixture", schedule={"name": "linear", "zero_terminal_snr": True})


OF_CONSISTENCY = [
    registry.samplers.get(name) for name in registry.samplers if registry.samplers.entry(name).facts.get("consistency")
]


def consistent(model):
    """The network that a consistency model is trained to be: the end of the ODE's path through x."""

    def end(x, t):
        alpha, sigma = model.schedule(t[:1].double())
        return model.denoiser.ode_solution(x, float(alpha), float(sigma), 1.0, 0.0)

    return zoo.Diffusion.wrap(end, schedule=model.schedule, parameterization="x0", shape=model.shape)


@every_sampler
def test_comes_near_the_data(sampler):
    """Whatever the rule, noise or not, 50 steps on a Gaussian give back its mean and its spread."""
    model = zoo.build("tiny-gaussian", denoiser={"mean": 0.7, "var": 0.25})
    if type(sampler) in OF_CONSISTENCY:
        model = consistent(model)
    if sampler.one_by_one:  # 400 walks would take half a minute
        sampler = dataclasses.replace(sampler, together="worst")
    samples = zoo.sample(model, 400, sampler=sampler, steps=50)
    # 4 standard errors of 800 draws with std 0.5 are 0.07 for the mean and 10 % for the spread
    assert abs(float(samples.mean()) - 0.7) < 0.07
    assert math.isclose(float(samples.std()), 0.5, rel_tol=0.1)
