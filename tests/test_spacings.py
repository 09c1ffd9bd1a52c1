"""Spacings and schedules against closed forms, and settings that make no sense."""

import math

import pytest
import torch

import registry
from zoo.core.errors import ZooError
from zoo.spacings.ratios import _beta_cdf, _beta_quantile


@pytest.mark.parametrize("x", [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999])
def test_the_incomplete_beta_function_has_its_closed_forms(x):
    assert _beta_cdf(x, 1, 1) == pytest.approx(x, rel=1e-13)
    assert _beta_cdf(x, 2, 1) == pytest.approx(x**2, rel=1e-13)
    # Beta(1/2, 1/2) is the arcsine law
    assert _beta_cdf(x, 0.5, 0.5) == pytest.approx(2 / math.pi * math.asin(math.sqrt(x)), rel=1e-12)
    assert _beta_cdf(x, 0.6, 3) == pytest.approx(1 - _beta_cdf(1 - x, 3, 0.6), abs=1e-12)
    assert _beta_quantile(_beta_cdf(x, 0.6, 0.6), 0.6, 0.6) == pytest.approx(x, rel=1e-9)


def test_quadratic_steps_of_a_continuous_schedule():
    spacing = registry.spacings.build({"name": "quadratic", "end": 0.01})
    times = spacing(registry.schedules.build("vp"), 4)
    roots = torch.tensor(times, dtype=torch.float64).sqrt().diff()
    torch.testing.assert_close(roots, torch.full_like(roots, -0.9 / 4))


def test_a_ramp_is_walked_as_it_is_and_in_between_by_lines():
    edm = registry.schedules.build("edm")
    build = registry.spacings.build
    ramp = [1.0, 0.5, 0.3, 0.0]
    # sigma over four decades
    spec = {"name": "log-snr", "sigma_max": 80.0, "sigma_min": 0.008, "ramp": ramp}
    assert build(spec)(edm, 4) == pytest.approx([80.0, 0.8, 0.008 * 10**1.2, 0.008, 0.0], rel=1e-12)
    assert build(spec)(edm, 7)[1:6:2] == pytest.approx([80 * 10**-1, 0.008 * 10**1.6, 0.008 * 10**0.6], rel=1e-12)
    assert build({**spec, "ramp": [1, 0]})(edm, 9) == pytest.approx(build({**spec, "ramp": None})(edm, 9), rel=1e-12)


def test_larger_maps_are_shifted_further():
    """Esser et al. 2024, eq. 23: sqrt(m / n); FLUX: e^mu, 0.5 at 256 tokens, 1.15 at 4096."""
    flow = registry.schedules.build
    assert flow({"name": "flow", "tokens": 1024, "rule": "root"}).shift == pytest.approx(2.0)
    assert flow({"name": "flow", "tokens": 256}).shift == pytest.approx(math.exp(0.5))
    assert flow({"name": "flow", "tokens": 4096}).shift == pytest.approx(math.exp(1.15))
    assert flow({"name": "flow", "shift": 3.0, "tokens": 256, "rule": "root"}).shift == pytest.approx(3.0)


def test_exponential_and_jsd_have_their_closed_forms():
    t = torch.arange(100, dtype=torch.float64)
    build = registry.schedules.build
    torch.testing.assert_close(build({"name": "exponential", "steps": 100})(t).alpha_bar, (-0.12 * (t + 1)).exp())
    torch.testing.assert_close(build({"name": "jsd", "steps": 100})(t).alpha_bar, 1 - (t + 1) / 100)


@pytest.mark.parametrize(
    ("spacing", "schedule", "word"),
    [
        ({"name": "log-snr", "rho": 0.0}, "edm", "rho"),
        ({"name": "log-snr", "ramp": [1.0, 0.4, 0.5, 0.0]}, "edm", "ramp must fall"),
        ({"name": "log-snr", "ramp": [0.9, 0.0]}, "edm", "ramp must fall"),
        ({"name": "log-snr", "ramp": [1.0, 0.0], "rho": 2.0}, "edm", "rho or ramp"),
        ({"name": "beta", "alpha": -1.0}, "edm", "alpha"),
        ({"name": "lcm", "trained": 5}, "linear", "trained"),
        ({"name": "lcm", "trained": 2000}, "linear", "trained"),
        ({"name": "leading", "skip_last": True, "whole": True}, "linear", "skip_last"),
        ({"name": "linspace", "last": 2.0}, "vp", "last"),
        ({"name": "trailing", "last": 0.5}, "linear", "last"),
        ({"name": "trailing", "last": 0.99}, "flow", "last"),
        ({"name": "quadratic"}, "ve", "negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused(spacing, schedule, word):
    with pytest.raises(ZooError, match=word):
        registry.spacings.build(spacing)(registry.schedules.build(schedule), 10)


@pytest.mark.parametrize("spec", [{"name": "flow", "tokens": 0}, {"name": "exponential", "rate": 0.0}])
def test_schedules_that_make_no_sense_are_refused(spec):
    with pytest.raises((ZooError, registry.RegistryError)):
        registry.schedules.build(spec)
