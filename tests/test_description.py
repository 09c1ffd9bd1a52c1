import json

import pytest
import torch
from torch import nn

from zoo.core.errors import ShapeError
from zoo.denoisers.gaussian import Gaussian
from zoo.denoisers.unet import UNet
from zoo.description import compare, describe, layer_table
from zoo.parameterizations import Eps
from zoo.schedules.beta import Linear


def unet(**arguments):
    with torch.device("meta"):
        return UNet(**arguments)


class Plain(nn.Module):
    """Two linear layers with a silu between them, and a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 10)
        self.second = nn.Linear(10, 6)
        self.own = nn.Parameter(torch.zeros(6, 6))

    def forward(self, x, t, *, cond=None):
        h = nn.functional.silu(self.first(x))
        return self.second(h) @ self.own


# convolutions + linears + attention of one image, as counted on the original networks
@pytest.mark.parametrize(
    ("arguments", "side", "gmacs"),
    [
        ({}, 32, 6.22),
        ({"channel_mult": (1, 2, 2, 2, 4), "resolution": 64}, 64, 24.05),
        ({"channel_mult": (1, 1, 2, 2, 4, 4), "resolution": 256}, 256, 248.5),
    ],
    ids=["cifar10", "celeba", "church"],
)
def test_published_multiply_adds(arguments, side, gmacs):
    net = unet(**arguments)
    table = layer_table(net, (3, side, side))
    assert table.total.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)  # as many digits as were published
    assert table.total.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert [row.name for row in table.rows[1:-2]] == [f"level {i}" for i in range(len(net.widths))]
    assert sum(row.macs for row in table.rows) == table.total.macs
    assert sum(row.saved_bytes for row in table.rows) == table.total.saved_bytes


def test_rows_of_a_unet():
    table = describe(unet(), (3, 32, 32))
    level = table.rows[2]
    assert (level.name, level.resolution, level.channels, level.mult) == ("level 1", (16, 16), 256, 2)
    assert (level.blocks, level.attention, level.heads) == (5, 5, 1)
    shallow = describe(unet(attention_resolutions=()), (3, 32, 32)).rows[2]
    assert shallow.attention == 0
    # five attention layers of four 256 x 256 products with bias and a norm
    assert level.parameters - shallow.parameters == 5 * (4 * (256 * 256 + 256) + 2 * 256)
    assert level.macs - shallow.macs == 5 * 256 * (4 * 256 * 256 + 2 * 256 * 256)


def test_counts_of_a_plain_network_by_hand():
    table = layer_table(Plain(), (6,))
    rows = {row.name: row for row in table.rows}
    assert list(rows) == ["first", "second", "rest"]
    assert [row.parameters for row in table.rows] == [70, 66, 36]
    assert [row.macs for row in table.rows] == [60, 60, 36]
    # kept for the backward pass: by the silu its input; by the second layer its own, by the product its own
    assert (rows["first"].saved_bytes, rows["second"].saved_bytes) == (40, 40 + 24)
    # alive at once: h, which the forward still holds, the second layer's output and the product's
    assert table.total.peak_bytes == 40 + 24 + 24


def test_memory_is_that_of_the_real_thing():
    """The activations that a real forward keeps, counted on real tensors."""
    net = UNet(**UNet.TINY).eval()
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    x = torch.randn(1, 3, 8, 8)
    own.add(x.untyped_storage().data_ptr())
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # the plain formula of attention, as the table has it
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with plain, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(x, torch.tensor([5.0]))
    assert out.requires_grad
    told = layer_table(net, (3, 8, 8)).total.saved_bytes
    assert told == pytest.approx(sum(kept.values()), rel=0.02)


def test_describing_leaves_the_network_as_it_was():
    net = UNet(**UNet.TINY)
    net.mid.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    first = layer_table(net, (3, 8, 8))
    assert net.training
    assert not net.mid.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None and not parameter.is_meta for parameter in net.parameters())
    assert layer_table(net.half().eval(), (3, 8, 8)) == first


def test_a_network_without_parameters():
    model = Gaussian(shape=(3, 8, 8), schedule=Linear(), parameterization=Eps())
    table = describe(model)
    assert (table.name, table.shape, table.total.parameters) == ("Gaussian", (3, 8, 8), 0)
    assert table.total.peak_bytes > 0


def test_a_model_is_described_by_its_denoiser():
    class Model(nn.Module):
        denoiser = unet(**UNet.TINY)
        shape = (3, 8, 8)

    assert describe(Model()) == layer_table(Model.denoiser, (3, 8, 8))
    assert describe(Model(), (3, 16, 16), name="large").shape == (3, 16, 16)


@pytest.mark.parametrize("shape", [None, (128, None)])
def test_open_shapes(shape):
    with pytest.raises(ShapeError) as caught:
        describe(Plain(), shape)
    assert str(caught.value) == (f"describe needs the shape of one sample, such as (3, 32, 32), got {shape}")


def test_text_and_data():
    table = layer_table(unet(), (3, 32, 32), name="ddpm-cifar10")
    lines = str(table).splitlines()
    assert lines[0] == "ddpm-cifar10, one sample of 3 x 32 x 32"
    assert " ".join(lines[5].split()[:-4]) == "level 1 16x16 256 = 128 x 2 5 5, 1 head 10.64M 3.058G"
    assert lines[-1].split()[:4] == ["total", "22", "35.75M", "6.222G"]
    assert json.loads(json.dumps(table.to_dict()))["total"]["parameters"] == 35_746_307


def test_side_by_side():
    a = layer_table(unet(), (3, 32, 32), name="four levels")
    b = layer_table(unet(channel_mult=(1, 2)), (3, 32, 32), name="two levels")
    both = compare(a, b)
    names = [(row_a or row_b).name for row_a, row_b in both.rows()]
    assert names == ["in", "level 0", "level 1", "level 2", "level 3", "middle", "out", "total"]
    assert [row.name for row, other in both.rows() if other is None] == ["level 2", "level 3"]
    assert [(x or y).name for x, y in compare(b, a).rows()] == names
    assert both.ratios()["parameters"] == pytest.approx(b.total.parameters / a.total.parameters)
    lines = str(both).splitlines()
    assert lines[:2] == ["a: four levels", "b: two levels"]
    assert lines[-1].startswith("b / a: params x 0.")
    assert both.to_dict()["b"]["name"] == "two levels"
