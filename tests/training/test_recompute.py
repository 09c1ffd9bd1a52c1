"""Gradient checkpointing: the same weights from less memory."""

import pytest
import torch
from torch.testing import assert_close

import zoo
from zoo.training import plan
from zoo.training.recompute import recompute
from zoo.training.start import StartError


def test_a_run_comes_to_the_same_weights(run):
    # with dropout, which must fall alike both times
    plain, less = run("plain", steps=4), run("less", steps=4, checkpointing=True)
    assert_close(dict(zoo.load(plain).state_dict()), dict(zoo.load(less).state_dict()), rtol=0, atol=0)


def test_less_is_kept(small, tmp_path):
    kept = [
        plan(small, out=tmp_path, overrides={"training": {"checkpointing": flag}}, device="cpu").activations
        for flag in (False, True)
    ]
    assert kept[1] < kept[0] / 2


@pytest.mark.parametrize(
    "name",
    ["tiny-adm", "tiny-diffnet", "tiny-dit", "tiny-edm", "tiny-timm-unet", "tiny-timm-vit", "tiny-unet2d", "tiny-uvit"],
)
def test_gradients_are_the_same(name):
    model = zoo.build(name).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.02)
    again = zoo.build(name).train()
    again.load_state_dict(model.state_dict())
    assert recompute(again.denoiser) > 0
    shape = [2, *(side or 16 for side in model.shape)]
    x_0, eps = torch.randn(shape), torch.randn(shape)
    cond = (
        {"cond": torch.randn(2, model.denoiser.frames.cond_channels, shape[-1])}
        if hasattr(model.denoiser, "frames")
        else {}
    )
    if getattr(model.denoiser, "classes", None):
        cond["labels"] = torch.tensor([0, 1])
    gradients = []
    for one in (model, again):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            one.loss(x_0, t=float(one.schedule.t_max) / 2, eps=eps, **cond).sum().backward()
        gradients.append([parameter.grad for parameter in one.parameters()])
    assert_close(gradients[1], gradients[0], rtol=0, atol=0)


def test_a_network_without_blocks():
    with pytest.raises(StartError, match="no list of blocks to recompute"):
        recompute(torch.nn.Linear(2, 2))
