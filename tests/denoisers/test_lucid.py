"""lucidrains' UNet: its parts against their formulas, its sizes, and what it refuses. The whole is a recorded run."""

import math

import pytest
import torch

import zoo
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.lucid import LucidUNet, Time
from zoo.factory import assemble
from zoo.layers.memory import MemoryAttention, RMSNorm, attend_linearly


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    return LucidUNet(**{**LucidUNet.TINY, **arguments}).eval()


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [({}, 35_711_491), ({"self_conditioned": True}, 35_720_899), ({"out_channels": 6}, 35_711_686)],
    ids=["plain", "self-conditioned", "learned-variance"],
)
def test_published_sizes(arguments, parameters):
    """The counts of the original's own constructor."""
    with torch.device("meta"):
        net = LucidUNet(**arguments)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("name", ["lucid-32", "lucid-128"])
def test_presets_are_the_published_network(name):
    model = assemble(zoo.config.resolve(name), empty=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == 35_711_491


@torch.no_grad()
def test_linear_attention_by_its_definition():
    heads, d = 2, 3
    q, k, v = torch.randn(2, 5, 6), torch.randn(2, 7, 6), torch.randn(2, 7, 6)
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        weights = q[..., own].softmax(-1) @ k[..., own].softmax(1).transpose(1, 2)  # (B, N, M)
        expected = weights @ v[..., own] / math.sqrt(d)
        # float32 sums in another order
        torch.testing.assert_close(attend_linearly(q, k, v, heads=heads)[..., own], expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("full", [True, False])
def test_attention_sees_the_memory_and_ignores_the_order_of_positions(full):
    layer = MemoryAttention(6, heads=2, head_channels=4, full=full)
    x = torch.randn(2, 6, 3, 5)
    out = layer(x)
    assert out.shape == x.shape
    torch.testing.assert_close(layer(x.flip(2, 3)).flip(2, 3), out, rtol=0, atol=1e-5)
    layer.memory.zero_()
    assert not torch.allclose(layer(x), out, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rms_norm_gives_unit_mean_square_and_leaves_zeros(dtype):
    x = torch.randn(2, 64, 2, 2, dtype=dtype)
    x[0, :, 0, 0] = 0
    out = RMSNorm(64).to(dtype)(x)
    assert not out[0, :, 0, 0].any()
    # half precision keeps 8 (bfloat16) or 11 bits of each value
    torch.testing.assert_close(out[1].float().square().mean(0), torch.ones(2, 2), rtol=0, atol=0.02)


def test_sinusoids_of_drawn_frequencies():
    time = Time(dim=8, width=12, kind="learned", sinusoids=4, max_period=10_000)
    seen = []
    time.dense[0].register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    time(torch.tensor([0.5, 3.0]), torch.float32)
    w = time.frequencies.detach()
    for row, t in zip(seen[0], (0.5, 3.0), strict=True):
        angles = 2 * math.pi * t * w
        expected = torch.cat([torch.tensor([t]), angles.sin(), angles.cos()])
        # the product is rounded in another order: some 1e-7 of an angle near 20
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)
    assert time.frequencies.requires_grad
    random = Time(dim=8, width=12, kind="random", sinusoids=4, max_period=10_000)
    assert "frequencies" in random.state_dict()
    assert "frequencies" not in dict(random.named_parameters())


@torch.no_grad()
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(size):
    net = tiny(channel_mult=(1, 2, 2), heads=2)
    x, own, t = torch.randn(2, 3, *size), torch.randn(2, 3, *size), torch.tensor([3, 700])
    out = net(x, t, self_cond=own)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    x, own = (torch.nn.functional.pad(one, (0, right, 0, bottom), mode=mode) for one in (x, own))
    assert torch.equal(out, net(x, t, self_cond=own)[..., : size[0], : size[1]])


@torch.no_grad()
def test_empty_batch():
    assert tiny()(torch.randn(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)


@torch.no_grad()
def test_no_estimate_is_seen_as_zeros():
    net = tiny()
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([1, 2])
    assert torch.equal(net(x, t), net(x, t, self_cond=torch.zeros_like(x)))
    assert not torch.allclose(net(x, t), net(x, t, self_cond=x), atol=1e-3)


def test_sizes_and_gradients_of_many_shapes_of_network():
    for arguments in (
        {"channel_mult": (1, 2, 3), "heads": (1, 2, 3), "head_channels": (4, 2, 3), "full_attention": (True,) * 3},
        {"channel_mult": (2,), "heads": 1, "stem_channels": 4, "self_conditioned": False},
        {"in_channels": 1, "out_channels": 2, "time_embedding": "learned", "sinusoids": 6},
        {"time_embedding": "random", "dropout": 0.5, "norm_groups": 4},
    ):
        net = tiny(**arguments).train()
        x = torch.randn(2, net.in_channels, 8, 12)
        out = net(x, torch.tensor([0, 9]))
        assert out.shape == (2, net.out_channels, 8, 12)
        out.square().mean().backward()
        assert not [name for name, parameter in net.named_parameters() if parameter.grad is None]


def test_sections_tell_where_the_attention_is():
    rows = tiny().sections(9, 16)
    assert [row.name for row in rows] == ["in", "level 0", "level 1", "middle", "out"]
    assert [row.resolution for row in rows] == [(10, 16), (10, 16), (5, 8), (5, 8), (10, 16)]
    assert [row.heads for row in rows] == [0, 1, 2, 2, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel_mult": ()}, "heads has 0 entries and channel_mult 0; give as many, at least one"),
        ({"heads": (4, 4)}, "heads has 2 entries and channel_mult 4; give as many, at least one"),
        ({"full_attention": (True,)}, "full_attention has 1 entries and channel_mult 4; give as many, at least one"),
        ({"head_channels": (32, 32, 0, 32)}, "head_channels must be at least 1, got 0"),
        ({"channel_mult": (1, 0), "heads": 1}, "base_channels x channel_mult must be at least 1, got 0"),
        ({"time_embedding": "learned", "sinusoids": 5}, "sinusoids must be even and at least 2, sines and cosines"),
        ({"max_period": 1.0}, "max_period must be above 1, got 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        (
            {"base_channels": 20, "norm_groups": 8},
            "stem_channels must be a multiple of norm_groups = 8, got 20; nearest: 16 or 24",
        ),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        LucidUNet(**arguments)
    assert str(caught.value).startswith(message)


def test_what_cannot_be_denoised():
    x, t = torch.zeros(2, 3, 8, 8), torch.zeros(2)
    with pytest.raises(ShapeError, match=r"LucidUNet expects x of shape \(B, 3, H, W\)"):
        tiny()(torch.zeros(2, 1, 8, 8), t)
    with pytest.raises(ShapeError, match=r"self_cond of the shape of x, \(2, 3, 8, 8\), got \(2, 3, 4, 4\)"):
        tiny()(x, t, self_cond=torch.zeros(2, 3, 4, 4))
    with pytest.raises(ArgumentValueError, match="takes no self_cond; build it with self_conditioned=true"):
        tiny(self_conditioned=False)(x, t, self_cond=x)
