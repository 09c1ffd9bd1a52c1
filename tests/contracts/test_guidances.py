"""What every guidance promises: it wraps any model, keeps its shape, and treats every sample by itself."""

import dataclasses

import pytest
import torch
from parts import label, specs

import registry
import zoo
from zoo.core.bound import ConditionError
from zoo.core.grid import GridPoint


def network(x, t, labels=None):
    """Pulls each sample toward its label; without one, toward zero."""
    shift = 0.0 if labels is None else labels.clamp(min=0).to(x).reshape(-1, 1, 1, 1)
    return 0.5 * x - 2 * shift


class Pull(torch.nn.Module):
    """A classifier that finds class k where the mean of x is k."""

    def forward(self, x, t):
        return -(x.flatten(1).mean(1, keepdim=True) - torch.arange(4, device=x.device)).square()


def weaker(x, t, labels=None):
    return 0.4 * network(x, t, labels)


AT = GridPoint(500.0, 0.6, 0.8)
REQUIRED = {
    "autoguidance": lambda: {"model": zoo.Diffusion.wrap(weaker, shape=(3, 4, 4))},
    "classifier": lambda: {"model": Pull()},
}
SPECS = [{**spec, **REQUIRED.get(spec["name"], dict)()} for spec in specs("guidances")]
every_guidance = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: label({key: value for key, value in spec.items() if key != "model"})
)


@pytest.fixture
def model():
    return zoo.Diffusion.wrap(network, shape=(3, 4, 4))


@every_guidance
def test_keeps_shape_dtype_and_the_relation_of_x_0_and_eps(spec, model):
    guidance = registry.guidances.build(spec)
    x_t, labels = torch.randn(4, 3, 4, 4), torch.tensor([0, 1, 2, -1])
    before = x_t.clone()
    guided = model.bind(guidance=guidance, labels=labels)(x_t, AT)
    assert guided.x_0.shape == guided.eps.shape == x_t.shape
    assert guided.x_0.dtype == guided.eps.dtype == torch.float32
    assert torch.equal(x_t, before)
    if getattr(guidance, "recompute_eps", True) and not guidance.splits:
        torch.testing.assert_close(AT.alpha * guided.x_0 + AT.sigma * guided.eps, x_t, rtol=0, atol=1e-5)


@every_guidance
def test_a_sample_is_guided_by_itself(spec, model):
    guidance = registry.guidances.build(spec)
    x_t, labels = torch.randn(4, 3, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2, -1])
    whole = model.bind(guidance=guidance, labels=labels)(x_t, AT).x_0
    for one in range(4):
        alone = model.bind(guidance=guidance, labels=labels[one : one + 1])(x_t[one : one + 1], AT).x_0
        torch.testing.assert_close(alone[0], whole[one], rtol=0, atol=1e-14)


@every_guidance
def test_is_a_frozen_record(spec):
    guidance = registry.guidances.build(spec)
    assert dataclasses.is_dataclass(guidance)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(guidance, dataclasses.fields(guidance)[0].name, 0)


@every_guidance
def test_can_be_named_in_a_call(spec, model):
    samples = zoo.sample(model, 2, sampler="ddim", steps=3, guidance=spec, labels=1)
    assert samples.isfinite().all()


def test_classifier_free_guidance_extrapolates_the_raw_outputs(model):
    x_t, labels = torch.randn(3, 3, 4, 4, dtype=torch.float64), torch.tensor([1, 2, 3])
    cfg = registry.guidances.build({"name": "cfg", "scale": 3.0})
    u, c = network(x_t, None), network(x_t, None, labels)
    torch.testing.assert_close(
        model.bind(guidance=cfg, labels=labels)(x_t, AT).eps, u + 3 * (c - u), rtol=0, atol=1e-14
    )


def test_classifier_free_guidance_needs_a_condition(model):
    with pytest.raises(ConditionError, match="labels"):
        zoo.sample(model, 1, steps=2, guidance=2.0)


def test_a_scale_of_one_asks_once(model):
    calls = []

    def counted(x, t, labels=None):
        calls.append(len(x))
        return network(x, t, labels)

    plain = zoo.Diffusion.wrap(counted, shape=(3, 4, 4))
    zoo.sample(plain, 2, steps=2, guidance=1.0, labels=1)
    assert calls == [2, 2]
    zoo.sample(plain, 2, steps=2, guidance=2.0, labels=1)
    assert calls[2:] == [4, 4]


def test_clip_bounds_x_0(model):
    clip = registry.guidances.build({"name": "clip", "low": -0.2, "high": 0.1})
    x_0 = model.bind(guidance=clip)(10 * torch.randn(2, 3, 4, 4), AT).x_0
    assert x_0.min() >= -0.2 - 1e-7
    assert x_0.max() <= 0.1 + 1e-7


def test_threshold_leaves_small_predictions_alone(model):
    x_t = 0.01 * torch.randn(2, 3, 4, 4)
    threshold = registry.guidances.build("threshold")
    assert torch.equal(model.bind(guidance=threshold)(x_t, AT).x_0, model.bind()(x_t, AT).x_0)
    big = model.bind(guidance=threshold)(100 * x_t / 0.01, AT).x_0
    assert big.abs().max() <= 1
