"""What every parameterization promises: its output is another way to write (x_0, eps), and no sampler sees which."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parts import label, specs, start

import registry
import zoo
from zoo.core.errors import ZooError
from zoo.core.grid import GridPoint

SPECS = specs("parameterizations")
PARAMETERIZATIONS = [registry.parameterizations.build(spec) for spec in SPECS]
every_parameterization = pytest.mark.parametrize(
    "parameterization", PARAMETERIZATIONS, ids=[label(spec) for spec in SPECS]
)


def drawn(*shape):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


PATHS = {
    "vp": lambda u: ((1 - u * u) ** 0.5, u),
    "flow": lambda u: (1 - u, u),
    "ve": lambda u: (1.0, u / (1 - 0.99 * u)),
}


@every_parameterization
@pytest.mark.parametrize("path", PATHS)
@given(u=st.floats(1e-3, 0.999))
def test_an_output_gives_x_0_and_eps_back(parameterization, path, u):
    at = GridPoint(0.5, *PATHS[path](u))
    x_0, eps = drawn(3, 4)
    x_t = at.alpha * x_0 + at.sigma * eps
    prediction = parameterization.predict(parameterization.target(x_0, eps, at), x_t, at)
    # converting divides rounding errors by alpha or sigma, 1e-3 at the least
    torch.testing.assert_close(prediction.x_0, x_0, rtol=0, atol=1e-11)
    torch.testing.assert_close(prediction.eps, eps, rtol=0, atol=1e-11)


@every_parameterization
def test_holds_at_pure_noise_if_it_says_so(parameterization):
    x_0, eps = drawn(3, 4)
    at = GridPoint(1.0, 0.0, 1.0)
    if not parameterization.from_pure_noise:
        pytest.skip("says nothing about x_0 at alpha = 0, and is refused there")
    prediction = parameterization.predict(parameterization.target(x_0, eps, at), eps, at)
    torch.testing.assert_close(prediction.x_0, x_0, rtol=0, atol=1e-15)
    torch.testing.assert_close(prediction.eps, eps, rtol=0, atol=1e-15)


@every_parameterization
def test_holds_at_clean_data_or_is_refused_by_name(parameterization):
    """Where an inversion begins, and where some rules end."""
    x_0, eps = drawn(3, 4)
    model = zoo.Diffusion.wrap(lambda x, t: eps, parameterization=parameterization)
    run = zoo.walk(model, x_T=x_0, sampler="ddim", times=[-1.0, 400.0])
    if parameterization.from_clean_data:
        *_, last = run
        assert last.x_t.isfinite().all()
    else:
        with pytest.raises(ZooError, match="sigma = 0"):
            list(run)


@every_parameterization
def test_keeps_the_dtype_of_the_state(parameterization):
    at = GridPoint(0.5, 0.8, 0.6)
    x_t, out = drawn(3, 4).float()
    prediction = parameterization.predict(out, x_t, at)
    assert prediction.x_0.dtype == prediction.eps.dtype == torch.float32


@every_parameterization
def test_labels_can_be_read_back(parameterization):
    schedule = registry.schedules.build("vp")
    t = torch.linspace(0.01, 1, 20, dtype=torch.float64)
    label = parameterization.c_noise(t, schedule(t))
    again = parameterization.time(label, schedule)
    if not parameterization.exact_labels:
        # a rounded label gives the time it stands for, which has the same label
        assert torch.equal(parameterization.c_noise(again, schedule(again)), label)
        return
    # the label of EDM is a logarithm: its rounding is multiplied by the noise level
    torch.testing.assert_close(again, t, rtol=0, atol=1e-12)


@every_parameterization
def test_splits_off_a_learned_variance(parameterization):
    both = type(parameterization)(learned_variance=True)
    at, (out, var) = GridPoint(0.5, 0.8, 0.6), drawn(3, 4, 5)
    x_t = torch.zeros_like(out)
    prediction = both.predict(torch.cat([out, var], 1), x_t, at)
    assert torch.equal(prediction.var, var)
    assert torch.equal(prediction.x_0, type(parameterization)().predict(out, x_t, at).x_0)


@pytest.mark.parametrize("spec", SPECS, ids=label)
@pytest.mark.parametrize("sampler", registry.samplers.names())
def test_samples_do_not_depend_on_it(spec, sampler):
    """The same posterior told in another way gives the same samples."""
    if not registry.parameterizations.build(spec).exact_labels:
        pytest.skip("its networks are told a rounded time, and so see another posterior")
    samples = []
    for parameterization in ("eps", spec):
        model = zoo.build("tiny-mixture", parameterization=parameterization)
        # at clean data itself not every network has an answer
        settings = {"steps": 8, "spacing": {"name": "leading", "end": "first"}, "seed": 1}
        samples.append(zoo.sample(model, x_T=start(model, 4), sampler=sampler, **settings))
    # reading eps back from x_0 loses the digits of sigma / alpha, 1e-2 to 1e2 here
    torch.testing.assert_close(samples[1], samples[0], rtol=0, atol=1e-9)
