"""UNet2D: its sizes, its kinds of levels, its inputs, and what it refuses. The whole is compared with recorded runs."""

import math

import pytest
import torch
from torch.nn import functional as F

import zoo
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.unet2d import UNet2D
from zoo.factory import assemble
from zoo.layers.resampling import FilterDownsample, FilterUpsample

FIR = {
    "widths": (32, 32, 64),
    "down": ("fir", "fir-attention", "fir"),
    "up": ("fir", "fir-attention", "fir"),
    "norm_groups": None,
    "head_channels": None,
    "embedding": "fourier",
    "classes": None,
}
RESIDUAL = {"down": ("residual", "residual-attention"), "up": ("residual", "residual-attention"), "scale_shift": True}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(**arguments):
    return UNet2D(**{**UNet2D.TINY, **arguments}).eval()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("unet2d-cifar10-32", 35_746_307),
        ("unet2d-church-256", 113_673_219),
        ("unet2d-butterflies-128", 113_673_219),
        ("unet2d-default", 274_056_163),
    ],
)
def test_published_sizes(name, parameters):
    """The counts of the original's own constructor."""
    model = assemble(zoo.config.resolve(name), empty=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("name", ["unet2d-ncsnpp-256", "unet2d-default", "tiny-unet2d"])
def test_has_the_size_of_the_original(name, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    from zoo.exporters.diffusers import _unet_config

    model = assemble(zoo.config.resolve(name), empty=True)
    arguments = {key: value for key, value in model.config["denoiser"].items() if key != "name"}
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel.from_config(_unet_config(arguments, model.shape))
    # the random frequencies are a parameter there
    frequencies = sum(buffer.numel() for buffer in model.denoiser.buffers())
    ours = sum(parameter.numel() for parameter in model.parameters())
    assert ours + frequencies == sum(parameter.numel() for parameter in theirs.parameters())


@torch.no_grad()
@pytest.mark.parametrize("arguments", [{}, RESIDUAL, FIR], ids=["conv", "residual", "fir"])
@pytest.mark.parametrize("size", [(30, 17), (5, 31), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(arguments, size):
    net = tiny(**arguments)
    factor = 2 ** (len(net.widths) - 1)
    x, t = torch.randn(2, 3, *size), torch.tensor([3.0, 70.0])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % factor for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = F.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
def test_no_class_adds_nothing():
    net = tiny()
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 700])
    plain = net(x, t)
    assert torch.equal(net(x, t, labels=torch.tensor([-1, -1])), plain)
    mixed = net(x, t, labels=torch.tensor([-1, 2]))
    torch.testing.assert_close(mixed[0], plain[0], rtol=0, atol=1e-6)
    assert not torch.allclose(mixed[1], plain[1], atol=1e-4)


@torch.no_grad()
def test_labels_may_be_numbers_or_vectors():
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 700])
    numbers = tiny(classes=None, class_embedding="timestep")
    assert torch.equal(numbers(x, t, labels=torch.tensor([-1.0, -1.0])), numbers(x, t))
    assert not torch.allclose(numbers(x, t, labels=torch.tensor([0.5, 7.0])), numbers(x, t), atol=1e-4)
    vectors = tiny(classes=None, class_embedding="identity", time_width=12)
    torch.testing.assert_close(vectors(x, t, labels=torch.zeros(2, 12)), vectors(x, t), rtol=0, atol=0)
    assert not torch.allclose(vectors(x, t, labels=torch.ones(2, 12)), vectors(x, t), atol=1e-4)
    with pytest.raises(ShapeError, match=r"labels of shape \(2, 12\), vectors"):
        vectors(x, t, labels=torch.tensor([1, 2]))


@torch.no_grad()
def test_a_fourier_network_hears_the_logarithm_of_t_and_divides_by_it():
    net = tiny(**FIR)
    x = torch.randn(1, 3, 8, 8)
    t = torch.tensor([0.37])
    waves = 2 * math.pi * t.log() * net.temb.waves.frequencies
    expected = torch.cat([waves.sin(), waves.cos()])[None]
    torch.testing.assert_close(net.temb._times(t, torch.float32), expected, rtol=0, atol=1e-4)
    undivided = tiny(**FIR)
    undivided.load_state_dict(net.state_dict())
    undivided.divides = False
    torch.testing.assert_close(net(x, t), undivided(x, t) / 0.37, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_a_table_of_times_is_read_between_its_rows():
    net = tiny(embedding="learned", time_steps=10)
    rows = net.temb.table.weight
    times = net.temb._times(torch.tensor([3.0, 3.25, 9.0, 42.0]), torch.float32)
    torch.testing.assert_close(times[0], rows[3])
    torch.testing.assert_close(times[1], 0.75 * rows[3] + 0.25 * rows[4])
    torch.testing.assert_close(times[2], rows[9])
    torch.testing.assert_close(times[3], rows[9])


@torch.no_grad()
def test_the_image_runs_along_beside_the_maps():
    """With a network that is silent but for its output skips, the output is what the levels say, doubled and added."""
    net = tiny(**FIR)
    x, t = torch.randn(1, 3, 8, 8), torch.ones(1)
    torch.nn.init.zeros_(net.conv_out.weight)
    torch.nn.init.zeros_(net.conv_out.bias)
    for skip in net.output_skip:
        torch.nn.init.zeros_(skip.conv.weight)
    said = [torch.randn(3), torch.randn(3)]
    for skip, bias in zip(net.output_skip, said, strict=True):
        skip.conv.bias.copy_(bias)
    double = FilterUpsample([1, 3, 3, 1])
    level_2 = said[1][None, :, None, None].expand(1, 3, 2, 2)
    level_1 = said[0][None, :, None, None] + double(level_2)
    torch.testing.assert_close(net(x, t), double(level_1), rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_halved_image_joins_every_level():
    net = tiny(**FIR)
    x = torch.randn(1, 3, 8, 8)
    h = torch.randn(1, 32, 4, 4)
    joined, image = net.input_skip[0](h, x)
    halved = FilterDownsample([1, 3, 3, 1])(x)
    torch.testing.assert_close(image, halved)
    torch.testing.assert_close(joined, h + net.input_skip[0].conv(halved))


def test_heads_that_do_not_divide_a_level_see_less_of_it():
    net = tiny(head_channels=5)
    attention = net.down[1].attn["0"]
    assert (attention.heads, attention.q.out_channels, attention.proj_out.in_channels) == (3, 15, 15)
    assert net(torch.randn(1, 3, 8, 8), torch.tensor([1])).shape == (1, 3, 8, 8)


def test_describes_its_levels():
    net = tiny(**FIR)
    rows = {section.name: section for section in net.sections(8, 8)}
    assert list(rows) == ["in", "level 0", "level 1", "level 2", "middle", "out"]
    # one block on the way down, two up, and one that halves or doubles each
    assert [rows[f"level {i}"].blocks for i in range(3)] == [4, 5, 4]
    assert [rows[f"level {i}"].attention for i in range(3)] == [0, 2, 0]
    assert rows["level 1"].modules == ("down.1", "up.1", "input_skip.1", "output_skip.0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"down": ("conv",)}, "down must have one kind per level: 2 of them, got 1"),
        ({"widths": ()}, "widths must be one positive number per level"),
        ({"widths": (8, 18)}, "4 groups do not divide a map of 26 channels"),
        ({"head_channels": 17}, "head_channels = 17 is wider than a level of 16"),
        ({"up": ("conv", "fir")}, "up: level 1 is 'fir' and level 0 is 'conv'"),
        ({"widths": (8, 8, 8), "down": ("conv", "fir", "conv"), "up": ("conv",) * 3}, "the image cannot be halved"),
        ({"embedding": "learned"}, "time_steps is the size"),
        ({"class_embedding": "identity"}, "classes is the size of the table"),
        ({"middle_scale": 0.0}, "middle_scale must be positive"),
        ({"dropout": 1.0}, "dropout"),
        ({"blocks_per_level": 0}, "blocks_per_level"),
    ],
)
def test_refuses_what_makes_no_network(arguments, message):
    with pytest.raises(ArgumentValueError, match=message):
        tiny(**arguments)


def test_refuses_labels_that_are_no_classes():
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([1])
    with pytest.raises(ArgumentValueError, match="labels must be 0"):
        tiny()(x, t, labels=torch.tensor([3]))
    with pytest.raises(ArgumentValueError, match="takes no labels"):
        tiny(classes=None)(x, t, labels=torch.tensor([0]))
