"""The UNet around timm's encoders: which fit, what they are given, and what is said of those that do not fit."""

import pytest
import timm
import torch
from torch import nn
from torch.testing import assert_close

import zoo
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.timm_unet import TimmUNet
from zoo.layers import timm_features
from zoo.layers.timm_features import BackboneError

SMALL = {"in_channels": 1, "base_channels": 8, "blocks_per_level": 1}


def small(encoder="test_resnet", **arguments):
    torch.manual_seed(0)
    return TimmUNet(encoder=encoder, **{**SMALL, **arguments}).eval()


def run(network, *size):
    x = torch.randn(2, network.in_channels, *size, generator=torch.Generator().manual_seed(0))
    return network(x, torch.tensor([10.0, 900.0]))


@torch.no_grad()
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (64, 96), (30, 17)])
@pytest.mark.parametrize("encoder", ["test_resnet", "test_efficientnet", "test_convnext", "test_mambaout"])
def test_any_size(encoder, size):
    assert run(small(encoder), *size).shape == (2, 1, *size)


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["test_maxvit", "swin_tiny_patch4_window7_224"])
def test_some_are_built_for_one_size(encoder):
    network = small(encoder, resolution=(32, 48))
    assert run(network, 32, 48).shape == (2, 1, 32, 48)
    with pytest.raises(ShapeError, match=rf"{encoder} is built for images of 32x48, got 32x32.*resolution=\[32, 32\]"):
        run(network, 32, 32)


def test_a_fresh_network_says_nothing():
    assert not run(small(), 32, 32).any()


def test_levels_stop_before_the_maps_vanish():
    assert small("resnet10t", resolution=32).reductions == (1, 2, 4, 8)
    assert small("resnet10t", resolution=64).reductions == (1, 2, 4, 8, 16)
    # a stride of 4 leaves a gap that the stem fills
    assert small("test_convnext", resolution=32).reductions == (1, 2, 4, 8)
    assert small("vgg11", resolution=8, levels=2).reductions == (1, 1, 2)


@pytest.mark.parametrize(
    ("encoder", "stride", "reductions"),
    [
        ("resnet10t", 1, (1, 1, 2, 4)),
        ("test_convnext", 2, (1, 2, 4, 8)),
        ("test_convnext", 1, (1, 1, 2, 4)),
    ],
)
def test_the_stem_can_keep_more_detail(encoder, stride, reductions):
    network = small(encoder, stem_stride=stride, levels=3, resolution=32)
    assert network.reductions == reductions
    with torch.no_grad():
        assert run(network, 32, 32).shape == (2, 1, 32, 32)


def test_batch_norms_become_group_norms():
    kinds = {type(part) for part in small("resnet10t").modules()}
    assert not any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    assert any(isinstance(part, nn.BatchNorm2d) for part in small("resnet10t", norm="keep").modules())


def test_a_converted_norm_keeps_weight_bias_and_activation():
    part = nn.Sequential(timm.layers.BatchNormAct2d(16))
    nn.init.normal_(part[0].weight)
    nn.init.normal_(part[0].bias)
    weight, bias = part[0].weight, part[0].bias
    timm_features.without_batch_norms(part)
    x = torch.randn(2, 16, 4, 4)
    expected = nn.functional.relu(nn.functional.group_norm(x, 2, weight, bias, eps=1e-5))
    torch.testing.assert_close(part(x), expected)


@pytest.mark.parametrize("feed", ["stem", "image"])
def test_time_and_class_reach_the_output(feed):
    network = small(classes=3, feed=feed)
    nn.init.normal_(network.conv_out.weight)
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        plain = network(x, torch.tensor(5.0))
        assert torch.equal(plain, network(x, torch.tensor(5.0), labels=torch.tensor([-1])))
        assert not torch.allclose(plain, network(x, torch.tensor(500.0)))
        assert not torch.allclose(plain, network(x, torch.tensor(5.0), labels=torch.tensor([1])))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"encoder": "resnet81"}, "has no model 'resnet81'; did you mean .*'resnet18'"),
        ({"encoder": "vit_tiny_patch16_224"}, "vit_tiny_patch16_224 gives maps of a single scale.*zoo list backbones"),
        ({"encoder": "inception_v4"}, "inception_v4 makes maps of .* from 32x32 pixels, where its reductions promise"),
        ({"encoder": "vgg11", "stem_stride": 1}, "vgg11 has no strided convolution"),
        ({"stem_stride": 3}, "stem_stride must divide"),
    ],
)
def test_models_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(BackboneError, match=said):
        small(**arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"levels": 9}, "levels must be 1 to"),
        ({"decoder_channels": (8, 8)}, "decoder_channels needs 4 widths"),
        ({"dropout": 1.0}, "dropout"),
        ({"base_channels": 0}, "base_channels must be at least 1"),
        ({"resolution": 0}, "resolution"),
        ({"pretrained": True}, "set feed: image"),
    ],
)
def test_values_that_make_no_sense(arguments, said):
    with pytest.raises(ArgumentValueError, match=said):
        small(**arguments)


@pytest.fixture
def offline(monkeypatch):
    """timm whose weights cannot be fetched."""
    made = timm.create_model

    def create_model(name, *, pretrained=False, **arguments):
        if pretrained:
            raise OSError("no route to host")
        return made(name, pretrained=False, **arguments)

    monkeypatch.setattr(timm, "create_model", create_model)


def test_pretrained_weights_that_cannot_be_had(offline):
    with pytest.raises(BackboneError, match=r"weights of resnet10t could not be fetched \(OSError: no route to host\)"):
        small("resnet10t", pretrained=True, feed="image", in_channels=3)


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["test_resnet", "swin_tiny_patch4_window7_224"])
def test_a_saved_model_fetches_nothing(offline, monkeypatch, tmp_path, encoder):
    """Swin keeps tables that no file holds: these have to be made again, without its weights."""
    config = {
        "shape": [3, 16, 16],
        "denoiser": {
            "name": "timm-unet",
            "encoder": encoder,
            "feed": "image",
            **SMALL,
            "in_channels": 3,
            "resolution": 16,
        },
        "schedule": "linear",
        "parameterization": "eps",
    }
    model = zoo.build(config).eval()
    nn.init.normal_(model.denoiser.conv_out.weight)
    model.config["denoiser"]["pretrained"] = True
    zoo.save(model, tmp_path / "model.safetensors")
    again = zoo.load(tmp_path / "model.safetensors")
    x = torch.randn(1, 3, 16, 16)
    expected = model.denoiser(x, torch.tensor(7.0))
    # float32 sums over weights that lie elsewhere in memory may have another order
    assert_close(again.denoiser(x, torch.tensor(7.0)), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
