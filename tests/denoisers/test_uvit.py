import pytest
import torch

import zoo
from zoo.config import resolve
from zoo.core.errors import ArgumentValueError
from zoo.denoisers.uvit import UViT
from zoo.factory import assemble


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    return UViT(**{**UViT.TINY, **arguments}).eval()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("uvit-cifar10", 44_255_328),
        ("uvit-celeba-64", 44_292_228),
        ("uvit-imagenet-64-m", 130_940_292),
        ("uvit-imagenet-64-l", 286_827_652),
        ("uvit-imagenet-256-l", 286_763_172),
        ("uvit-imagenet-256-h", 500_832_016),
        ("uvit-imagenet-512-l", 286_861_524),
        ("uvit-imagenet-512-h", 500_942_656),
    ],
)
def test_published_sizes(name, parameters):
    model = assemble(resolve(name), empty=True)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


def test_table_of_parts_misses_nothing_but_positions():
    table = zoo.describe(assemble(resolve("uvit-cifar10"), empty=True))
    # the sheet of the published model has three digits
    assert table.total.macs / 1e9 == pytest.approx(12.2, rel=5e-3)
    assert [row.name for row in table.rows] == ["in", "way in", "middle", "way out", "out", "rest"]
    assert (table.rows[-1].parameters, table.rows[-1].macs) == (257 * 512, 0)
    assert sum(row.attention for row in table.rows) == 13


@torch.no_grad()
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(size):
    net = tiny(final_conv=False)
    x, t = torch.randn(2, 3, *size), torch.tensor([3, 700])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = torch.nn.functional.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
def test_positions_of_time_and_class_are_not_resampled():
    net = tiny()
    grown = net._positions((3, 7))
    assert grown.shape == (1, 2 + 21, 16)
    assert torch.equal(grown[:, :2], net.pos_embed[:, :2])
    assert net._positions((4, 4)) is net.pos_embed


@torch.no_grad()
def test_skips_come_last_in_first_out():
    net = tiny(depth=4)
    seen = {}
    for name in ("in_blocks.0", "in_blocks.1"):
        net.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: seen.update({name: out}))
    given = []
    for block in net.out_blocks:
        block.skip_linear.register_forward_pre_hook(lambda m, a: given.append(a[0][..., 16:]))
    net(torch.randn(1, 3, 16, 16), torch.tensor(5))
    assert torch.equal(given[0], seen["in_blocks.1"])
    assert torch.equal(given[1], seen["in_blocks.0"])


@torch.no_grad()
def test_null_labels():
    net = tiny()
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([1, 2, 3])
    null = net(x, t, labels=torch.tensor([-1, 3, -1]))
    assert torch.equal(net(x, t), null)
    assert not torch.equal(net(x, t, labels=torch.tensor([0, -1, -1]))[0], null[0])
    with pytest.raises(ArgumentValueError, match="this UViT was built without a null class, and no labels were given"):
        tiny(null_class=False)(x, t)


@torch.no_grad()
@pytest.mark.parametrize(
    "arguments",
    [
        {"long_skips": False},
        {"time_mlp": True, "qkv_bias": True, "final_conv": False},
        {"classes": None, "depth": 0},
        {"in_channels": 1, "resolution": (8, 24)},
    ],
)
def test_many_shapes_of_network(arguments):
    net = tiny(**arguments)
    assert net(torch.randn(2, net.in_channels, 8, 24), torch.tensor([1, 2])).shape == (2, net.in_channels, 8, 24)
    assert zoo.describe(net, (net.in_channels, 8, 24)).total.parameters == sum(w.numel() for w in net.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 3}, "depth must be even, one half for the way in and one for the way out, got 3; nearest: 2 or 4"),
        ({"heads": 5}, "heads must divide channels = 16, got 5; nearest: 4 or 8"),
        ({"resolution": (16, 2)}, "resolution must be a multiple of patch = 4, got (16, 2); nearest: 4. Images of "
         "other sizes can be denoised all the same"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        UViT(**{**UViT.TINY, **arguments})
    assert str(caught.value) == message
