"""What every denoiser promises: a pure map of x and t that trains, moves, and survives a file."""

import copy
import json

import pytest
import torch
from parts import conditions, start, tiny_model

import registry
import zoo
from zoo.factory import assemble

NAMES = registry.denoisers.names()
CONDITIONS = {"labels", "cond", "low_res", "self_cond", "augment", "lengths", "prepared"}


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return tiny_model(request.param)


@pytest.fixture
def times():
    return torch.tensor([3.0, 500.5, 998.0])


@torch.no_grad()
def test_keeps_shape_and_leaves_its_input_alone(model, times):
    x = start(model, 3, torch.float32)
    before = x.clone()
    out = model.denoiser(x, times)
    assert out.shape == x.shape
    assert out.dtype == torch.float32
    assert out.isfinite().all()
    assert torch.equal(x, before)
    assert torch.equal(out, model.denoiser(x, times))


@torch.no_grad()
def test_every_row_has_its_own_time(model, times):
    x = start(model, 1).expand(3, *model.shape)
    network = copy.deepcopy(model).double().denoiser
    whole = network(x, times.double())
    assert not torch.allclose(whole[0], whole[2])
    for row in range(3):
        # sums are reordered by the batch size; float64 keeps that below 1e-10 in networks this small
        alone = network(x[row : row + 1], times[row : row + 1].double())
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_moves_to_another_dtype(model, times, dtype):
    x = start(model, 3, torch.float32)
    exact = model.denoiser(x, times)
    moved = copy.deepcopy(model).to(dtype).denoiser(x.to(dtype), times)
    assert moved.dtype == dtype
    # bfloat16 keeps 8 bits, through a dozen layers; float64 shows float32's own rounding
    tolerance = {torch.float64: 1e-4, torch.bfloat16: 0.2}[dtype] * float(exact.abs().max())
    torch.testing.assert_close(moved.float(), exact, rtol=0, atol=tolerance)


@torch.no_grad()
def test_computes_where_it_is(model, times):
    """On another device nothing is left behind on the CPU; the meta device shows it without an accelerator."""
    if not list(model.parameters()):
        pytest.skip("an analytic denoiser asks its schedule, which lives on the CPU")
    out = copy.deepcopy(model).to("meta").denoiser(start(model, 3, torch.float32).to("meta"), times.to("meta"))
    assert out.is_meta
    assert out.shape == (3, *model.shape)


def test_can_be_built_without_memory(model):
    empty = assemble(model.config, empty=True)
    assert all(weight.is_meta for weight in empty.parameters())
    assert {name: weight.shape for name, weight in empty.named_parameters()} == {
        name: weight.shape for name, weight in model.named_parameters()
    }


def test_trains_every_weight(model, times):
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        pytest.skip("an analytic denoiser has nothing to train")
    model.train()
    try:
        given = {"labels": torch.tensor([0, 1, -1])} if "labels" in conditions(model) and _has_classes(model) else {}
        if "cond_channels" in model.config["denoiser"]:
            channels = model.config["denoiser"]["cond_channels"]
            given["cond"] = torch.randn(3, channels, model.shape[-1])
        loss = model.loss(start(model, 3, torch.float32), t=times, eps=torch.randn(3, *model.shape), **given)
        assert loss.shape == (3,)
        loss.mean().backward()
        idle = [
            name
            for name, weight in model.named_parameters()
            if weight.requires_grad and (weight.grad is None or not weight.grad.any())
        ]
        assert not idle
    finally:
        model.zero_grad()
        model.eval()


def _has_classes(model):
    return bool(model.config["denoiser"].get("classes"))


@torch.no_grad()
def test_survives_a_file(model, times, tmp_path):
    zoo.save(model, tmp_path / "model.safetensors")
    again = zoo.load(tmp_path / "model.safetensors")
    x = start(model, 3, torch.float32)
    assert torch.equal(again.denoiser(x, times), model.denoiser(x, times))
    assert again.config == model.config


def test_takes_conditions_by_their_usual_names(model):
    assert conditions(model) <= CONDITIONS


def test_resolved_arguments_are_plain(model):
    assert json.loads(json.dumps(model.config["denoiser"], allow_nan=False)) == model.config["denoiser"]
