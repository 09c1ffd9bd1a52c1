"""The model: any network behind one face, and what `zoo.sample` makes of its arguments."""

import pytest
import torch
from torch import nn

import registry
import zoo
from zoo.core.bound import ConditionError
from zoo.core.errors import ShapeError, ZooError
from zoo.core.scaling import MinMax


def network(x, t, **cond):
    return 0.3 * x + 0.001 * t.reshape(-1, *[1] * (x.ndim - 1)).to(x)


@pytest.fixture
def wrapped():
    return zoo.Diffusion.wrap(network, shape=(2, 3))


def test_wraps_a_function_a_module_and_parts_that_are_built(wrapped):
    assert zoo.sample(wrapped, 2, steps=3).shape == (2, 2, 3)
    layer = nn.Linear(3, 3)
    layer.forward = lambda x, t: x * layer.weight.mean()
    model = zoo.Diffusion.wrap(
        layer,
        schedule=registry.schedules.build("flow"),
        parameterization={"name": "flow", "time_scale": 1000.0},
        shape=(3,),
    )
    assert list(model.parameters()) == list(layer.parameters())
    assert zoo.sample(model, 2, steps=3).shape == (2, 3)


def test_denoise_reads_the_raw_output(wrapped):
    x_t, t = torch.randn(4, 2, 3, dtype=torch.float64), torch.tensor([0.0, 10.5, 500.0, 999.0])
    prediction = wrapped.denoise(x_t, t)
    m = wrapped.schedule(t.double()).like(x_t)
    torch.testing.assert_close(prediction.eps, network(x_t, t), rtol=0, atol=1e-15)
    torch.testing.assert_close(m.alpha * prediction.x_0 + m.sigma * prediction.eps, x_t, rtol=0, atol=1e-12)
    same = wrapped.denoise(x_t[:1].expand(4, 2, 3), 500)
    assert torch.equal(same.x_0, wrapped.denoise(x_t[:1].expand(4, 2, 3), torch.full((4,), 500.0)).x_0)


def test_the_loss_is_the_squared_error_of_the_output_for_each_sample(wrapped):
    x_0, eps = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    t = torch.tensor([0, 1, 400, 998, 999])
    expected = (network(wrapped.add_noise(x_0, eps, t), t) - eps).square().mean((1, 2))
    loss = wrapped.loss(x_0, t=t, eps=eps)
    assert loss.shape == (5,)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-14)
    assert torch.equal(wrapped(x_0, t, eps), loss)  # forward is the loss, for wrappers around modules


@pytest.mark.parametrize("parameterization", registry.parameterizations.names())
def test_a_perfect_network_has_no_loss(parameterization):
    """A Gaussian of variance ~0 is known from any x_t, so its exact denoiser answers every question right."""
    model = zoo.build("tiny-gaussian", parameterization=parameterization, denoiser={"mean": 0.3, "var": 1e-20})
    if not model.parameterization.exact_labels:
        pytest.skip("a rounded label does not tell the exact denoiser where it is")
    x_0, eps = torch.full((4, 2), 0.3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    loss = model.loss(x_0, t=torch.tensor([1.0, 50.0, 400.0, 999.0]), eps=eps)
    torch.testing.assert_close(loss, torch.zeros_like(loss), rtol=0, atol=1e-12)


def test_samples_leave_model_space():
    scaling = MinMax(low=0.0, high=10.0)
    plain, scaled = (zoo.Diffusion.wrap(network, shape=(2, 3), scaling=one) for one in (None, scaling))
    torch.testing.assert_close(zoo.sample(scaled, 2, steps=3), 5 * zoo.sample(plain, 2, steps=3) + 5)


def test_the_arithmetic_is_that_of_the_start(wrapped):
    for dtype in (torch.float32, torch.float64):
        assert zoo.sample(wrapped, x_T=torch.zeros(1, 2, 3, dtype=dtype), steps=2).dtype == dtype


def test_one_label_serves_all_samples():
    seen = []

    def labelled(x, t, labels):
        seen.append(labels)
        return 0.1 * x

    model = zoo.Diffusion.wrap(labelled, shape=(2,))
    zoo.sample(model, 3, steps=1, labels=4)
    zoo.sample(model, 3, steps=1, labels=[1, 2, 3])
    assert [row.tolist() for row in seen] == [[4, 4, 4], [1, 2, 3]]
    with pytest.raises(ConditionError, match="2 rows for 3 samples"):
        zoo.sample(model, 3, steps=1, labels=[1, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 1, "shape": None}, ShapeError, "shape of a sample is open"),
        ({"x_T": torch.zeros(1, 2), "shape": (3,)}, ShapeError, r"\(3,\).*\(2,\)"),
        ({"shape": (2,), "times": [9.0, 0.0], "steps": 3}, ShapeError, "not both"),
        ({"shape": (2,), "sampler": "dddim"}, registry.RegistryError, "did you mean 'ddim'"),
        ({"shape": (2,), "sampler": {"name": "ddim", "etta": 1.0}}, registry.RegistryError, "sampler.etta"),
        ({"shape": (2,), "sampler": {"name": "ddim", "eta": 2.0}}, registry.RegistryError, "0..1"),
        ({"shape": (2,), "spacing": "trailling"}, registry.RegistryError, "did you mean 'trailing'"),
        ({"shape": (2,), "guidance": {"name": "clip", "low": 1.0}}, registry.RegistryError, "low < high"),
        ({"shape": (2,), "steps": 0}, ZooError, "steps"),
        ({"shape": (2,), "steps": 2000}, ZooError, "1000"),
        ({"shape": (2,), "sampler": {"name": "ddpm", "variance": "learned"}}, ZooError, "learned_variance"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, error, message):
    model = zoo.Diffusion.wrap(network)
    with pytest.raises(error, match=message):
        zoo.sample(model, **arguments)
