"""timm's plain vision transformers as denoisers: the table of positions, both ways of conditioning, and refusals."""

import pytest
import torch
from torch import nn

from zoo.core.errors import ArgumentValueError
from zoo.denoisers.timm_vit import TimmViT
from zoo.layers.timm_features import BackboneError


def small(encoder="test_vit", **arguments):
    torch.manual_seed(0)
    settings = {"in_channels": 1, "patch": 4, "depth": 3, "resolution": 16, **arguments}
    return TimmViT(encoder=encoder, **settings).eval()


def heard(network):
    """The same with weights in place of the zeros that it begins with."""
    torch.manual_seed(1)
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return network


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (32, 32), (28, 28), (64, 96), (30, 17)])
@pytest.mark.parametrize("conditioning", ["token", "adaln"])
def test_any_size(conditioning, size):
    network = heard(small(conditioning=conditioning, long_skips=True))
    out = network(torch.randn(2, 1, *size), torch.tensor([10.0, 900.0]))
    assert out.shape == (2, 1, *size)
    assert out.any()


@pytest.mark.parametrize("encoder", ["test_vit2", "test_vit3", "test_vit4", "deit_tiny_patch16_224"])
def test_variants_run(encoder):
    network = heard(small(encoder, depth=2))
    with torch.no_grad():
        assert network(torch.randn(1, 1, 16, 16), torch.tensor(5.0)).isfinite().all()


@pytest.mark.parametrize("conditioning", ["token", "adaln"])
def test_time_and_class_reach_the_output(conditioning):
    network = heard(small(conditioning=conditioning, classes=3))
    x = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        plain = network(x, torch.tensor(5.0))
        assert torch.equal(plain, network(x, torch.tensor(5.0), labels=torch.tensor([-1])))
        assert not torch.allclose(plain, network(x, torch.tensor(500.0)))
        assert not torch.allclose(plain, network(x, torch.tensor(5.0), labels=torch.tensor([1])))


@torch.no_grad()
def test_modulation_with_open_gates_is_the_block_itself():
    """A pretrained block begins as it was trained: gates of 1, no shift, no scale."""
    network = small(conditioning="adaln")
    block, modulation = network.vit.blocks[0], network.modulation[0]
    x = torch.randn(2, 5, network.vit.embed_dim)
    condition = torch.randn(2, network.vit.embed_dim)
    assert torch.equal(modulation(block, x, condition), x)
    modulation.gate = 1.0
    torch.testing.assert_close(modulation(block, x, condition), block(x))


@torch.no_grad()
def test_fresh_long_skips_are_not_heard():
    plain, skipped = small(), small(long_skips=True)
    skipped.load_state_dict(plain.state_dict(), strict=False)
    nn.init.normal_(plain.head.weight)
    skipped.head.load_state_dict(plain.head.state_dict())
    x, t = torch.randn(1, 1, 16, 16), torch.tensor(5.0)
    torch.testing.assert_close(skipped(x, t), plain(x, t))
    nn.init.normal_(skipped.skip[0].weight)
    assert not torch.allclose(skipped(x, t), plain(x, t))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"encoder": "vit_tinny_patch16_224"}, "did you mean .*'vit_tiny_patch16_224'"),
        ({"encoder": "resnet18"}, "resnet18 is a model of timm.models.resnet, not a plain vision transformer"),
        (
            {"encoder": "deit_tiny_distilled_patch16_224"},
            "deit_tiny_distilled_patch16_224 cannot be built as a denoiser",
        ),
        ({"encoder": "vit_small_plus_patch16_dinov3"}, "timm.models.eva, not a plain"),
        ({"encoder": "vit_xsmall_patch16_clip_224", "conditioning": "adaln", "patch": 5}, "multiple of patch = 5"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_refusals(arguments, said):
    with pytest.raises((BackboneError, ArgumentValueError), match=said):
        small(**arguments)


def test_blocks_that_cannot_be_modulated_say_so():
    with torch.device("meta"), pytest.raises(BackboneError, match="has ParallelScalingBlock; use conditioning: token"):
        small("vit_base_patch16_xp_224", depth=1, conditioning="adaln")
