import math
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.unet import UNet
from zoo.layers.embeddings import sinusoidal_embedding

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "ddim-multi-attn-bayesian"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    return UNet(**{**UNet.TINY, **arguments}).eval()


@torch.no_grad()
def test_equals_the_original_on_its_own_weights():
    config = yaml.safe_load((GOLDEN / "config.yaml").read_text())
    net = UNet(
        out_channels=6,
        base_channels=32,
        channel_mult=(1, 2),
        blocks_per_level=1,
        attention_resolutions=(16, 8),
        resolution=16,
        dropout=0.1,
    ).eval()
    net.load_state_dict(load_file(GOLDEN / "weights.safetensors"))
    io = load_file(GOLDEN / "io.safetensors")
    facts = config["outputs"]["out"]
    # fp32_noise: how far the original differs from itself when float32 sums are reordered
    tolerance = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])
    torch.testing.assert_close(net(io["x"], io["t"]), io["out"], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 35_746_307),
        ({"channel_mult": (1, 2, 2, 2, 4), "resolution": 64}, 78_700_803),
        ({"channel_mult": (1, 1, 2, 2, 4, 4), "resolution": 256}, 113_673_219),
    ],
    ids=["cifar10-32", "celeba-64", "church-256"],
)
def test_published_sizes(arguments, parameters):
    with torch.device("meta"):
        net = UNet(**arguments)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(size):
    net = tiny(channel_mult=(1, 2, 2))
    x, t = torch.randn(2, 3, *size), torch.tensor([3, 700])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
def test_one_image_of_one_value_per_group_works_as_in_a_batch():
    net = tiny(channel_mult=(1, 1), norm_groups=8)
    x, t = torch.randn(2, 3, 2, 2), torch.tensor([5, 5])
    # a batch changes the order of float32 sums, nothing else
    torch.testing.assert_close(net(x, t)[:1], net(x[:1], t[:1]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_empty_batch():
    assert tiny()(torch.randn(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)


@torch.no_grad()
def test_null_labels():
    net = tiny()
    x, t = torch.randn(3, 3, 8, 8), torch.tensor([1, 2, 3])
    null = net(x, t, labels=torch.tensor([-1, -1, -1]))
    assert torch.equal(net(x, t), null)
    mixed = net(x, t, labels=torch.tensor([0, -1, 2]))
    assert torch.equal(mixed[1], null[1])
    assert not torch.allclose(mixed[0], null[0], atol=1e-4)
    assert not torch.allclose(mixed[2], net(x, t, labels=torch.tensor([0, -1, 1]))[2], atol=1e-4)


@torch.no_grad()
def test_one_time_serves_the_batch_and_times_may_be_fractional():
    net = tiny()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(net(x, torch.tensor(7)), net(x, torch.tensor([7, 7])))
    assert torch.equal(net(x, torch.tensor([7.0, 7.0], dtype=torch.float64)), net(x, torch.tensor([7, 7])))
    assert not torch.allclose(net(x, torch.tensor(7.5)), net(x, torch.tensor(7)), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision(dtype, tolerance):
    net = tiny().to(dtype)
    exact = tiny()
    exact.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 8, 8, dtype=dtype)
    out = net(x, torch.tensor([998]))
    assert out.dtype == dtype
    # the rounding of a dozen half-precision layers
    torch.testing.assert_close(out.float(), exact(x.float(), torch.tensor([998])), rtol=0, atol=tolerance)
    # the two times are one number in bfloat16, and not in the float32 of the embedding
    one, other = (net.temb(torch.tensor([t]), None, dtype) for t in (998.0, 999.0))
    assert not torch.equal(one, other)


def test_sizes_and_gradients_of_many_shapes_of_network():
    for arguments in (
        {"channel_mult": (1, 1.5, 3), "attention_resolutions": ()},
        {"resample_with_conv": False, "blocks_per_level": 3},
        {"channel_mult": (2,), "attention_resolutions": (8,), "classes": None},
        {"in_channels": 1, "out_channels": 2, "resolution": (4, 8)},
    ):
        net = tiny(**arguments).train()
        x = torch.randn(2, net.in_channels, 8, 12)
        out = net(x, torch.tensor([0, 9]))
        assert out.shape == (2, net.out_channels, 8, 12)
        out.square().mean().backward()
        idle = [name for name, parameter in net.named_parameters() if parameter.grad is None]
        assert not idle


def test_attention_follows_the_longer_side():
    wide = UNet(**{**UNet.TINY, "resolution": (8, 16), "attention_resolutions": (16,)})
    assert wide.attends == (True, False)
    assert [row.attention for row in wide.sections(8, 16)] == [0, 3, 0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"base_channels": 48},
            "base_channels must be a multiple of norm_groups = 32, got 48; nearest: 32 or 64",
        ),
        ({"base_channels": 8}, "base_channels must be a multiple of norm_groups = 32, got 8; nearest: 32"),
        (
            {"channel_mult": (1, 1.4), "attention_resolutions": ()},
            "channel_mult[1] = 1.4 makes 128 x 1.4 = 179.2 channels, not a multiple of norm_groups = 32; "
            "nearest: 1.25 (160 channels) or 1.5 (192 channels)",
        ),
        ({"channel_mult": ()}, "channel_mult is empty; it needs one entry per level, such as [1, 2, 2]"),
        (
            {"attention_resolutions": (12,)},
            "attention_resolutions: no level is at 12; with resolution = 32 and 4 in channel_mult they are "
            "at 32, 16, 8, 4; nearest: 16",
        ),
        ({"resolution": 0}, "resolution must be a side >= 1 or a (height, width) of them, got 0"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"blocks_per_level": 0}, "blocks_per_level must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        UNet(**arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("x", "t", "labels", "message"),
    [
        ((2, 1, 8, 8), 2, None, "UNet expects x of shape (B, 3, H, W) with H, W >= 1, got (2, 1, 8, 8)"),
        ((3, 8, 8), 3, None, "UNet expects x of shape (B, 3, H, W) with H, W >= 1, got (3, 8, 8)"),
        ((2, 3, 0, 8), 2, None, "UNet expects x of shape (B, 3, H, W) with H, W >= 1, got (2, 3, 0, 8)"),
        ((2, 3, 8, 8), 3, None, "UNet expects t of shape (2,), one time per image, or (), got (3,)"),
        ((2, 3, 8, 8), 2, [1], "UNet expects labels of shape (2,), one per image, got (1,)"),
        ((2, 3, 8, 8), 2, [0, 3], "labels must be 0..2, or -1 for no class, got 0..3"),
        ((2, 3, 8, 8), 2, [-2, 0], "labels must be 0..2, or -1 for no class, got -2..0"),
    ],
)
def test_what_cannot_be_denoised(x, t, labels, message):
    with pytest.raises((ShapeError, ArgumentValueError)) as caught:
        tiny()(torch.zeros(x), torch.zeros(t), labels=None if labels is None else torch.tensor(labels))
    assert str(caught.value) == message


def test_labels_without_classes():
    with pytest.raises(ArgumentValueError, match=r"unconditional and takes no labels; build it with classes="):
        tiny(classes=None)(torch.zeros(1, 3, 8, 8), torch.zeros(1), labels=torch.zeros(1, dtype=torch.long))


def test_sinusoidal_embedding_by_hand():
    t = torch.tensor([0.0, 2.5])
    embedding = sinusoidal_embedding(t, 5, shift=1.0)
    angles = [2.5, 2.5e-4]
    expected = torch.tensor([[0.0, 0, 1, 1, 0], [*map(math.sin, angles), *map(math.cos, angles), 0]])
    torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-6)
    flipped = sinusoidal_embedding(t, 4, order="cos-sin")
    angles = [2.5, 2.5e-2]
    torch.testing.assert_close(
        flipped[1], torch.tensor([*map(math.cos, angles), *map(math.sin, angles)]), rtol=0, atol=1e-6
    )
    assert sinusoidal_embedding(t, 2, shift=1.0).isfinite().all()
