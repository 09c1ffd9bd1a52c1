"""ADM: its sizes, first weights, conditions, and what it refuses. The whole is a recorded run."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

import zoo
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.adm import ADM


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    """A small network whose weights all matter: fresh ones end in zeros."""
    net = ADM(**{**ADM.TINY, **arguments}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape) / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1)
    return net


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("adm-64", 295_904_454),
        ("adm-128", 421_529_606),
        ("adm-256", 553_838_086),
        ("adm-256-uncond", 552_814_086),
        ("adm-512", 558_997_638),
        ("adm-lsun-256", 552_814_086),
        ("adm-upsampler-64-256", 311_795_910),
        ("adm-upsampler-128-512", 308_835_270),
        ("improved-cifar10", 52_546_438),
        ("improved-imagenet-64", 121_063_942),
        ("improved-imagenet-64-cond", 273_049_350),
        ("improved-lsun-256", 113_676_678),
        ("improved-upsampler-64-256", 279_792_390),
    ],
)
def test_published_sizes(name, parameters):
    model = zoo.build(name, device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "gmacs"), [("adm-64", 109.7), ("improved-cifar10", 8.39), ("improved-imagenet-64-cond", 89.1)]
)
def test_published_cost(name, gmacs):
    """Multiply-adds as counted on the original; the last digit is rounded."""
    model = zoo.build(name, device="meta")
    assert zoo.describe(model).total.macs / 1e9 == pytest.approx(gmacs, rel=0.005)


@pytest.mark.slow
def test_a_large_network_is_described_without_its_memory():
    """Half a billion parameters take 2.2 GB; on the meta device there is only what PyTorch imports for it, 150 MB."""
    script = (
        "import resource, torch, zoo; zoo.build('tiny-adm')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "zoo.build('adm-256', device='meta')\n"
        "grew = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grew < 500_000, grew"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@torch.no_grad()
@pytest.mark.parametrize("resample", ["conv", "residual", "plain"])
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(resample, size):
    net = tiny(channel_mult=(1, 2, 2), resample=resample)
    x, t = torch.randn(2, 3, *size), torch.tensor([3, 700])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = F.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
def test_empty_batch():
    assert tiny()(torch.randn(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)


@torch.no_grad()
def test_no_class_adds_nothing():
    net = tiny()
    x, t = torch.randn(3, 3, 8, 8), torch.tensor([1, 2, 3])
    null = net(x, t, labels=torch.tensor([-1, -1, -1]))
    assert torch.equal(net(x, t), null)
    mixed = net(x, t, labels=torch.tensor([0, -1, 2]))
    assert torch.equal(mixed[1], null[1])
    assert not torch.allclose(mixed[0], null[0], atol=1e-4)
    net.temb.label.weight.zero_()
    assert torch.equal(net(x, t, labels=torch.tensor([0, 1, 2])), null)


@torch.no_grad()
def test_times_may_be_fractional_and_one_serves_the_batch():
    net = tiny()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(net(x, torch.tensor(7)), net(x, torch.tensor([7, 7])))
    assert not torch.allclose(net(x, torch.tensor(7.25)), net(x, torch.tensor(7)), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (3, 5), (16, 16)])
def test_an_upsampler_sees_the_enlarged_image_beside_x(size):
    net = tiny(low_res_channels=1)
    x, low_res, t = torch.randn(2, 3, 8, 8), torch.randn(2, 1, *size), torch.tensor([3, 700])
    out = net(x, t, low_res=low_res)
    enlarged = F.interpolate(low_res, (8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(out, net(x, t, low_res=enlarged))
    assert not torch.allclose(out, net(x, t, low_res=torch.zeros_like(low_res)), atol=1e-4)
    plain = tiny(in_channels=4, out_channels=3)
    plain.load_state_dict(net.state_dict())
    assert torch.equal(out, plain(torch.cat([x, enlarged], 1), t))


def test_every_block_begins_as_the_identity():
    """Published first weights: zeros at the end of every branch."""
    net = ADM(**ADM.TINY)
    ends = ("conv2", "proj_out", "conv_out")
    for name, weight in net.named_parameters():
        if "norm" not in name:
            assert weight.any() != any(end in name for end in ends), name


SHAPES = [
    {"channel_mult": (1, 1.5, 3), "attention_resolutions": ()},
    {"channel_mult": (0.5, 1)},
    {"base_channels": 6, "channel_mult": (2, 4)},
    {"resample": "conv", "blocks_per_level": 3, "heads": 1},
    {"resample": "plain", "heads_up": 4},
    {"scale_shift": False, "head_channels": 4},
    {"channel_mult": (2,), "attention_resolutions": (8,), "classes": None},
    {"in_channels": 1, "out_channels": 2, "resolution": (4, 8)},
]


@pytest.mark.parametrize("arguments", SHAPES)
def test_gradients_of_many_shapes_of_network(arguments):
    net = tiny(**arguments).train()
    labels = None if net.classes is None else torch.tensor([0, 1])
    out = net(torch.randn(2, net.in_channels, 8, 12), torch.tensor([0, 9]), labels=labels)
    assert out.shape == (2, net.out_channels, 8, 12)
    out.square().mean().backward()
    idle = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not idle


@pytest.mark.parametrize("arguments", SHAPES)
def test_sections_own_every_parameter(arguments):
    net = tiny(**arguments)
    table = zoo.describe(zoo.Diffusion.wrap(net, shape=(net.in_channels, 16, 8)))
    assert table.total.parameters == sum(weight.numel() for weight in net.parameters())
    assert "rest" not in {row.name for row in table.rows}
    assert table.total.blocks == sum("temb_proj.weight" in name for name, _ in net.named_parameters())
    attention = sum("proj_out.weight" in name for name, _ in net.named_parameters())
    assert sum(row.attention for row in table.rows) == attention


def test_heads_by_number_and_by_width():
    assert {block.heads for block in _attention(tiny(heads=4))} == {4}
    up = tiny(heads=2, heads_up=4)
    assert {block.heads for block in _attention(up.up)} == {4}
    assert {block.heads for block in _attention(up.down)} == {2}
    assert up.mid.attn_1.heads == 2
    assert tiny(head_channels=4, attention_resolutions=(8, 4)).heads == (2, 4)


def _attention(part):
    return [module for module in part.modules() if hasattr(module, "proj_out")]


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision(dtype, tolerance):
    exact = tiny()
    x = torch.randn(1, 3, 8, 8)
    expected = exact(x, torch.tensor([998]))
    out = exact.to(dtype)(x.to(dtype), torch.tensor([998]))
    assert out.dtype == dtype
    # the rounding of two dozen half-precision layers
    torch.testing.assert_close(out.float(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "heads = 3 does not divide the 16 channels of level 1; nearest: 2 or 4"),
        ({"heads_up": 5}, "heads_up = 5 does not divide the 16 channels of level 1; nearest: 4 or 8"),
        (
            {"attention_resolutions": (), "head_channels": 64},
            "head_channels = 64 does not divide the 16 channels of the middle; nearest: 16",
        ),
        (
            {"channel_mult": (1, 1.4)},
            "channel_mult[1] = 1.4 makes 8 x 1.4 = 11.2 channels, not a multiple of norm_groups = 4; "
            "nearest: 1 (8 channels) or 1.5 (12 channels)",
        ),
        ({"channel_mult": ()}, "channel_mult is empty; it needs one entry per level, such as [1, 2, 2]"),
        (
            {"attention_resolutions": (16,)},
            "attention_resolutions: no level is at 16; with resolution = 8 and 2 in channel_mult they are at 8, 4; "
            "nearest: 8",
        ),
        ({"low_res_channels": 0}, "low_res_channels must be at least 1, got 0"),
        ({"base_channels": 0}, "base_channels must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        ADM(**{**ADM.TINY, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ({}, {"x": (2, 1, 8, 8)}, "ADM expects x of shape (B, 3, H, W) with H, W >= 1, got (2, 1, 8, 8)"),
        ({}, {"labels": torch.tensor([0, 3])}, "labels must be 0..2, or -1 for no class, got 0..3"),
        ({"classes": None}, {"labels": torch.tensor([0, 1])}, "takes no labels; build it with classes=..."),
        ({}, {"low_res": torch.zeros(2, 3, 4, 4)}, "takes no low_res; build it with low_res_channels"),
        ({"low_res_channels": 3}, {}, "expected low_res of shape (2, 3, h, w), got none"),
        (
            {"low_res_channels": 3},
            {"low_res": torch.zeros(1, 3, 4, 4)},
            "expected low_res of shape (2, 3, h, w), got (1, 3, 4, 4)",
        ),
    ],
)
def test_what_cannot_be_denoised(arguments, given, message):
    given = dict(given)
    x = torch.zeros(given.pop("x", (2, 3, 8, 8)))
    with pytest.raises((ShapeError, ArgumentValueError)) as caught:
        tiny(**arguments)(x, torch.zeros(2), **given)
    assert message in str(caught.value)
