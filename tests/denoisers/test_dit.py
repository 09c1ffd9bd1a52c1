import pytest
import torch

import zoo
from zoo.config import resolve
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.dit import DiT, SiT
from zoo.factory import assemble
from zoo.layers.positions import resampled_positions, sin_cos_positions


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(family=DiT, **arguments):
    """A network whose zeros of initialisation are drawn anew, as they hide everything before them."""
    net = family(**{**family.TINY, **arguments}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return net


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("dit-s-2", 32_963_360),
        ("dit-s-4", 32_945_024),
        ("dit-s-8", 33_148_160),
        ("dit-b-2", 130_512_416),
        ("dit-b-4", 130_475_648),
        ("dit-b-8", 130_881_536),
        ("dit-l-2", 458_102_816),
        ("dit-l-4", 458_053_760),
        ("dit-l-8", 458_594_816),
        ("dit-xl-2", 675_129_632),
        ("dit-xl-4", 675_074_432),
        ("dit-xl-8", 675_683_072),
        ("dit-xl-2-512", 676_014_368),
        ("sit-xl-2", 675_129_632),
    ],
)
def test_published_sizes(name, parameters):
    model = assemble(resolve(name), empty=True)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize(("name", "gmacs"), [("dit-s-2", 6.06), ("dit-s-4", 1.41), ("dit-xl-2", 118.6)])
def test_published_costs(name, gmacs):
    """Multiply-adds of one latent, as the paper counts them (there called flops)."""
    table = zoo.describe(assemble(resolve(name), empty=True))
    assert table.rows[-1].name == "rest"
    assert table.rows[-1].macs == 0
    counted = table.total.macs / 1e9
    # the paper's figures have three digits
    assert counted == pytest.approx(gmacs, rel=5e-3)


@torch.no_grad()
def test_starts_as_published():
    net = DiT(**DiT.TINY)
    x = torch.randn(2, 3, 16, 16)
    assert not net(x, torch.tensor([3, 900]), labels=torch.tensor([0, 2])).any()
    tokens, condition = torch.randn(2, 16, 16), torch.randn(2, 16)
    assert all(torch.equal(block(tokens, condition), tokens) for block in net.blocks)
    assert torch.equal(net.pos_embed, sin_cos_positions(4, 4, 16))
    assert not net.pos_embed.requires_grad


@torch.no_grad()
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(size):
    net = tiny()
    x, t = torch.randn(2, 3, *size), torch.tensor([3, 700])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
def test_stored_positions_count_at_the_native_size_alone():
    net, t = tiny(), torch.tensor([5])
    native, wide = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 8, 24)
    before = net(native, t), net(wide, t)
    net.pos_embed.add_(torch.randn_like(net.pos_embed))
    assert not torch.allclose(net(native, t), before[0], atol=1e-3)
    assert torch.equal(net(wide, t), before[1])


@torch.no_grad()
def test_another_size_equals_a_network_that_was_built_for_it():
    net, other = tiny(), DiT(**{**DiT.TINY, "resolution": (8, 24)}).eval()
    weights = {name: weight for name, weight in net.state_dict().items() if name != "pos_embed"}
    other.load_state_dict({**weights, "pos_embed": other.pos_embed})
    x, t = torch.randn(2, 3, 8, 24), torch.tensor([1, 2])
    assert torch.equal(net(x, t), other(x, t))


def test_positions_by_hand():
    row, column, channel = 1, 2, 8
    table = sin_cos_positions(2, 3, channel, dtype=torch.float64)
    assert table.shape == (1, 6, 8)
    frequencies = torch.tensor([1.0, 0.01], dtype=torch.float64)
    expected = [f(p * frequencies) for p in (column, row) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(table[0, row * 3 + column], torch.cat(expected), rtol=0, atol=1e-15)


def test_resampled_positions_keep_a_plane():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    table = (rows + 10 * columns).flatten()[None, :, None]
    assert resampled_positions(table, (8, 8), (8, 8)) is table
    finer = resampled_positions(table, (8, 8), (16, 8)).unflatten(1, (16, 8))[0, :, :, 0]
    # away from the border, half rows lie at quarters
    assert finer[8, 3] == pytest.approx(33.75, abs=1e-4)
    assert resampled_positions(table.half(), (8, 8), (5, 3)).dtype == torch.float16


@torch.no_grad()
@pytest.mark.parametrize("family", [DiT, SiT])
def test_null_labels(family):
    net = tiny(family)
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([1, 2, 3])
    null = net(x, t, labels=torch.tensor([-1, -1, -1]))
    assert torch.equal(net(x, t), null)
    assert torch.equal(net(x, t, labels=torch.tensor([3, 3, 3])), null)
    mixed = net(x, t, labels=torch.tensor([0, -1, 2]))
    assert torch.equal(mixed[1], null[1])
    assert not torch.allclose(mixed[0], null[0], atol=1e-4)


def test_no_class_without_a_null_class():
    net = tiny(null_class=False)
    x, t = torch.zeros(2, 3, 16, 16), torch.zeros(2)
    for labels, given in ((None, "no labels were given"), (torch.tensor([0, -1]), "labels hold -1")):
        with pytest.raises(ArgumentValueError, match=f"built without a null class, and {given}: give every image"):
            net(x, t, labels=labels)
    with pytest.raises(ArgumentValueError, match=r"labels must be 0\.\.2"):
        net(x, t, labels=torch.tensor([0, 3]))
    with pytest.raises(ArgumentValueError, match="unconditional"):
        tiny(classes=None)(x, t, labels=torch.tensor([0, 1]))


@torch.no_grad()
def test_guidance_of_three_channels_is_that_of_the_original():
    """forward_with_cfg through the public functions: one Euler step of a walk shows the guided noise."""
    torch.manual_seed(3)
    config = {
        "shape": [4, 8, 8],
        "denoiser": {"name": "dit", **DiT.TINY, "in_channels": 4, "out_channels": 8, "resolution": 8},
        "schedule": "linear",
        "parameterization": {"name": "eps", "learned_variance": True},
    }
    model = zoo.build(config).eval()
    model.denoiser.load_state_dict(tiny(in_channels=4, out_channels=8, resolution=8).state_dict())
    x, labels = torch.randn(2, 4, 8, 8), torch.tensor([0, 2])
    both = model.denoiser(torch.cat([x, x]), torch.tensor(999), labels=torch.cat([labels, torch.tensor([3, 3])]))
    given, none = both.chunk(2)
    eps = torch.cat([none[:, :3] + 4 * (given - none)[:, :3], given[:, 3:4]], 1)
    guidance = {"name": "cfg", "scale": 4.0, "channels": 3}
    m = model.schedule(torch.tensor(999.0))
    expected = (x - m.sigma.float() * eps) / m.alpha.float()
    sampled = zoo.sample(model, 2, x_T=x, labels=labels, guidance=guidance, times=[999, -1], sampler="ddim", steps=None)
    # alpha is 6e-3 at the start, which multiplies rounding; the values are of the order of 1e3
    torch.testing.assert_close(sampled, expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_spare_channels_are_left_out():
    net = tiny(SiT, spare_channels=True)
    twin = DiT(**{**DiT.TINY, "out_channels": 6}).eval()
    twin.load_state_dict(net.state_dict())
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0.25, 1.0])
    assert torch.equal(net(x, t), twin(x, t)[:, :3])


@torch.no_grad()
def test_the_shift_of_time_moves_frequencies():
    net, shifted = tiny(), DiT(**DiT.TINY, time_shift=1.0).eval()
    shifted.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(net(x, torch.tensor(0)), shifted(x, torch.tensor(0)))
    assert not torch.allclose(net(x, torch.tensor(500)), shifted(x, torch.tensor(500)), atol=1e-3)


@torch.no_grad()
def test_empty_batch_and_one_time_for_all():
    net = tiny()
    assert net(torch.randn(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(net(x, torch.tensor(7)), net(x, torch.tensor([7, 7])))


def test_positions_of_an_inference_run_may_be_trained_with():
    net = tiny()
    x = torch.randn(1, 3, 20, 12)
    with torch.inference_mode():
        net(x, torch.tensor(3))
    net(x, torch.tensor(3)).square().mean().backward()
    assert net.x_embedder.proj.weight.grad.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "heads must divide channels = 16, got 3; nearest: 2 or 4"),
        ({"resolution": 18}, "resolution must be a multiple of patch = 4, got 18; nearest: 16 or 20. Images of other "
         "sizes can be denoised all the same"),
        ({"channels": 18, "heads": 1}, "channels must be a multiple of 4, as sines and cosines of rows and columns, "
         "got 18; nearest: 16 or 20"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"mlp_ratio": 0.01}, "mlp_ratio must leave at least one channel of 16, got 0.01"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        DiT(**{**DiT.TINY, **arguments})
    assert str(caught.value) == message


def test_what_cannot_be_denoised():
    with pytest.raises(ShapeError, match=r"DiT expects x of shape \(B, 3, H, W\)"):
        tiny()(torch.zeros(2, 1, 16, 16), torch.zeros(2))
    with pytest.raises(ShapeError, match=r"SiT expects t of shape \(2,\)"):
        tiny(SiT)(torch.zeros(2, 3, 16, 16), torch.zeros(3))
