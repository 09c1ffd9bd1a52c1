"""EDM's two networks: their sizes, first weights, conditions, and what they refuse. The whole is a recorded run."""

import math

import pytest
import torch
from torch.nn import functional as F

import zoo
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.denoisers.edm_dhariwal import DhariwalUNet
from zoo.denoisers.edm_song import InputResidual, SongUNet
from zoo.factory import assemble
from zoo.layers.edm import FourierEmbedding, SinusoidalEmbedding, class_vectors, group_norm
from zoo.layers.embeddings import sinusoidal_embedding

FAMILIES = [SongUNet, DhariwalUNet]
both = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tiny(family, **arguments):
    """A small network whose weights all matter: fresh ones end in zeros, or next to."""
    net = family(**{**family.TINY, **arguments}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape) / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1)
    return net


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("edm-cifar10-vp", 55_733_891),
        ("edm-cifar10-cond-vp", 55_735_299),
        ("edm-cifar10-ve", 56_397_827),
        ("edm-cifar10-cond-ve", 56_400_643),
        ("edm-ffhq-64-vp", 61_805_571),
        ("edm-ffhq-64-ve", 62_761_091),
        ("edm-afhqv2-64-vp", 61_805_571),
        ("edm-afhqv2-64-ve", 62_761_091),
        ("edm-imagenet-64", 295_899_267),
    ],
)
def test_published_sizes(name, parameters):
    """The last is the published count; the others round to those of the released files, 55.7 M, 56.4 M, ..."""
    model = assemble(zoo.config.resolve(name), empty=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@torch.no_grad()
@both
@pytest.mark.parametrize("size", [(30, 30), (33, 20), (5, 31), (1, 1), (2, 3)])
def test_odd_sizes_are_padded_and_cropped(family, size):
    net = tiny(family, channel_mult=(1, 2, 2))
    x, t = torch.randn(2, 3, *size), torch.tensor([0.3, -1.2])
    out = net(x, t)
    assert out.shape == x.shape
    bottom, right = (-side % 4 for side in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "replicate"
    padded = F.pad(x, (0, right, 0, bottom), mode=mode)
    assert torch.equal(out, net(padded, t)[..., : size[0], : size[1]])


@torch.no_grad()
@both
def test_empty_batch(family):
    assert tiny(family)(torch.randn(0, 3, 8, 8), torch.zeros(0)).shape == (0, 3, 8, 8)


@torch.no_grad()
@both
def test_labels_are_numbers_or_vectors(family):
    net = tiny(family)
    x, t = torch.randn(3, 3, 8, 8), torch.tensor([0.1, 0.2, 0.3])
    null = net(x, t, labels=torch.tensor([-1, -1, -1]))
    assert torch.equal(net(x, t), null)
    assert torch.equal(net(x, t, labels=torch.zeros(3, 3)), null)
    numbers = net(x, t, labels=torch.tensor([0, -1, 2]))
    vectors = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert torch.equal(numbers[1], null[1])
    assert not torch.allclose(numbers[0], null[0], atol=1e-4)
    for kind in (vectors, vectors.float(), vectors.double()):
        assert torch.equal(net(x, t, labels=kind), numbers)
    soft = net(x, t, labels=0.5 * vectors.float())
    assert not torch.allclose(soft[0], numbers[0], atol=1e-4)
    # the null of guidance for vectors of whole numbers
    assert torch.equal(class_vectors(torch.full((2, 3), -1), 3, 2, x.device), torch.zeros(2, 3, dtype=torch.int64))


@torch.no_grad()
@both
def test_an_augmentation_of_zeros_is_none(family):
    net = tiny(family, augment_channels=9)
    x, t, augment = torch.randn(2, 3, 8, 8), torch.tensor([0.1, 0.2]), torch.randn(2, 9)
    assert torch.equal(net(x, t, augment=torch.zeros(2, 9)), net(x, t))
    assert not torch.allclose(net(x, t, augment=augment), net(x, t), atol=1e-4)


@torch.no_grad()
@both
def test_one_time_serves_the_batch(family):
    net = tiny(family)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(net(x, torch.tensor(0.7)), net(x, torch.tensor([0.7, 0.7])))
    assert not torch.allclose(net(x, torch.tensor(0.7)), net(x, torch.tensor(0.5)), atol=1e-6)


SHAPES = [
    (SongUNet, {"channel_mult": (1, 1.5, 3), "attention_resolutions": ()}),
    (SongUNet, {"encoder": "standard", "decoder": "standard", "resample_filter": (1, 1)}),
    (SongUNet, {"encoder": "skip", "decoder": "standard", "channel_mult": (1, 2, 2)}),
    (SongUNet, {"encoder": "residual", "channel_mult": (1, 2, 3), "blocks_per_level": 2}),
    (SongUNet, {"embedding": "fourier", "noise_mult": 2, "time_mult": 2}),
    (SongUNet, {"channel_mult": (2,), "attention_resolutions": (8,), "classes": None}),
    (DhariwalUNet, {"channel_mult": (2,), "attention_resolutions": (8,), "classes": None}),
    (DhariwalUNet, {"channel_mult": (1, 2, 3, 4), "mid_attention": False, "blocks_per_level": 2}),
    (DhariwalUNet, {"in_channels": 1, "out_channels": 2, "resolution": (4, 8)}),
]


@pytest.mark.parametrize(("family", "arguments"), SHAPES)
def test_gradients_of_many_shapes_of_network(family, arguments):
    net = tiny(family, augment_channels=2, **arguments).train()
    labels = None if net.classes is None else torch.tensor([0, 1])
    out = net(torch.randn(2, net.in_channels, 8, 16), torch.tensor([0.1, 0.9]), labels=labels, augment=torch.ones(2, 2))
    assert out.shape == (2, net.out_channels, 8, 16)
    out.square().mean().backward()
    idle = [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    # every class but those of the two images gets no gradient; the weight as a whole does
    assert not idle


@pytest.mark.parametrize(("family", "arguments"), SHAPES)
def test_sections_own_every_parameter(family, arguments):
    net = tiny(family, **arguments)
    table = zoo.describe(zoo.Diffusion.wrap(net, shape=(net.in_channels, 16, 8)))
    assert table.total.parameters == sum(weight.numel() for weight in net.parameters())
    assert "rest" not in {row.name for row in table.rows}
    blocks = sum("temb_proj.weight" in name for name, _ in net.named_parameters())
    assert table.total.blocks == blocks
    attention = sum("proj_out.weight" in name for name, _ in net.named_parameters())
    assert sum(row.attention for row in table.rows) == attention


def test_song_attends_once_on_the_way_up_and_dhariwal_after_every_block():
    song = tiny(SongUNet, blocks_per_level=2)
    assert list(song.down[1].attn) == ["0", "1"]
    assert list(song.up[1].attn) == ["2"]
    dhariwal = tiny(DhariwalUNet, blocks_per_level=2)
    assert list(dhariwal.up[1].attn) == ["0", "1", "2"]
    assert [row.heads for row in dhariwal.sections(8, 8)] == [0, 0, 2, 2, 0]


@torch.no_grad()
def test_first_weights_are_the_published_ones():
    song = SongUNet(channel_mult=(1, 1), blocks_per_level=1, attention_resolutions=(16,), classes=10)
    block = song.down[0].block[0]
    # Xavier's bound sqrt(6 / (fan_in + fan_out)), of 3x3 convolutions of 128 channels; uniform numbers come close to it
    bound = math.sqrt(6 / (2 * 9 * 128))
    assert 0.99 * bound < float(block.conv1.weight.abs().max()) <= bound
    assert 0.99e-5 * bound < float(block.conv2.weight.abs().max()) <= 1e-5 * bound
    attention = song.down[1].attn["0"]
    # a fused layer of 3 x 128 outputs, times sqrt(0.2)
    bound = math.sqrt(0.2 * 6 / (128 + 3 * 128))
    assert 0.99 * bound < float(attention.q.weight.abs().max()) <= bound
    assert float(attention.proj_out.weight.abs().max()) <= 1e-5
    assert float(song.conv_out.weight.abs().max()) <= 1e-5
    assert not any(bias.any() for name, bias in song.named_parameters() if name.endswith("bias") and "norm" not in name)

    dhariwal = DhariwalUNet(**{**DhariwalUNet.TINY, "classes": 100, "augment_channels": 9})
    ends = ("conv2", "proj_out", "conv_out", "temb.augment")
    for name, weight in dhariwal.named_parameters():
        assert weight.any() != any(end in name for end in ends) or "norm" in name, name
    # N(0, 1): the standard deviation of 3200 numbers is within 5 standard errors of 1
    assert abs(float(dhariwal.temb.label.weight.std()) - 1) < 5 / math.sqrt(2 * 3200)


def test_norm_groups_hold_four_channels_until_there_are_32():
    assert [group_norm(channels, eps=1e-6).num_groups for channels in (4, 64, 128, 256)] == [1, 16, 32, 32]


@torch.no_grad()
def test_the_sinusoids_are_the_usual_ones():
    t = torch.tensor([0.0, 2.5, 999.0], dtype=torch.float64)
    for last_slowest, shift, order in ((True, 1.0, "sin-cos"), (False, 0.0, "cos-sin")):
        usual = sinusoidal_embedding(t, 16, shift=shift, order=order, dtype=torch.float64)
        ours = SinusoidalEmbedding(16, last_slowest=last_slowest)(t, torch.float64)
        # an angle of 999 loses three digits of float64's sixteen
        torch.testing.assert_close(ours, usual, rtol=0, atol=1e-12)


@torch.no_grad()
def test_random_frequencies_are_not_rounded():
    waves = FourierEmbedding(8)
    exact = waves.frequencies.clone()
    t = torch.tensor([0.7, -1.3])
    angles = t[:, None] * 2 * math.pi * exact
    # float32 angles of a hundred radians
    expected = torch.cat([angles.sin(), angles.cos()], 1)
    torch.testing.assert_close(waves(t, torch.float32), expected, rtol=0, atol=1e-4)
    assert torch.equal(waves.to(torch.bfloat16).frequencies, exact)
    assert waves.to("meta").frequencies.is_meta


@torch.no_grad()
def test_the_residual_encoder_filters_what_lies_beyond_the_border():
    """One pass makes what two would, but for the border, where the filter meets the convolution of zeros."""
    layer = InputResidual(2, 4, (1.0, 3.0, 3.0, 1.0))
    h, image = torch.randn(1, 4, 4, 4), torch.randn(1, 2, 8, 8)
    merged, again = layer(h, image)
    assert merged is again
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    wide = F.conv2d(F.pad(image, (2, 2, 2, 2)), layer.conv.weight, layer.conv.bias)
    halved = F.conv2d(wide, torch.outer(taps, taps).expand(4, 1, 4, 4), stride=2, groups=4)
    # float32 sums in another order
    torch.testing.assert_close(merged, (h + halved) / math.sqrt(2), rtol=0, atol=1e-5)


@torch.no_grad()
@both
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision(family, dtype, tolerance):
    exact = tiny(family)
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([-1.25])
    expected = exact(x, t)
    out = exact.to(dtype)(x.to(dtype), t)
    assert out.dtype == dtype
    # the rounding of two dozen half-precision layers
    torch.testing.assert_close(out.float(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        (SongUNet, {"channel_mult": ()}, "channel_mult is empty; it needs one entry per level, such as [1, 2, 2]"),
        (SongUNet, {"base_channels": 0}, "base_channels must be at least 1, got 0"),
        (SongUNet, {"base_channels": 10}, "makes 10 x 1 = 10 channels, not a multiple of 4, as the group norms need"),
        (SongUNet, {"base_channels": 132}, "a map of 132 channels (a level's, or two side by side) cannot be normed"),
        (SongUNet, {"attention_resolutions": (12,)}, "no level is at 12; with resolution = 8"),
        (SongUNet, {"resample_filter": (1, 2, 1)}, "resample_filter must be an even number of taps with a sum"),
        (SongUNet, {"resample_filter": (1, -1)}, "resample_filter must be an even number of taps with a sum"),
        (SongUNet, {"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        (SongUNet, {"augment_channels": 0}, "augment_channels must be at least 1, got 0"),
        (DhariwalUNet, {"time_mult": 0}, "time_mult must be at least 1, got 0"),
        (
            DhariwalUNet,
            {"head_channels": 64, "channel_mult": (1, 8), "attention_resolutions": (8,)},
            "level 0 is 8 channels wide and has no room for a head of head_channels = 64; leave its resolution out, or "
            "set head_channels to 8 or less",
        ),
        (
            DhariwalUNet,
            {"head_channels": 64, "attention_resolutions": ()},
            "the middle is 16 channels wide and has no room for a head of head_channels = 64; set mid_attention: false",
        ),
        (DhariwalUNet, {"head_channels": 5}, "3 heads do not divide 16 channels"),
    ],
)
def test_what_cannot_be_built(family, arguments, message):
    with pytest.raises(ArgumentValueError) as caught, torch.device("meta"):
        family(**{**family.TINY, **arguments})
    assert message in str(caught.value)


@both
@pytest.mark.parametrize(
    ("x", "given", "message"),
    [
        ((2, 1, 8, 8), {}, "expects x of shape (B, 3, H, W) with H, W >= 1, got (2, 1, 8, 8)"),
        ((2, 3, 8, 8), {"labels": torch.tensor([0, 3])}, "labels must be 0..2, or -1 for no class, got 0..3"),
        ((2, 3, 8, 8), {"labels": torch.zeros(2, 4)}, "vectors of shape (2, 3), got (2, 4)"),
        ((2, 3, 8, 8), {"labels": torch.zeros(1, 3)}, "vectors of shape (2, 3), got (1, 3)"),
        ((2, 3, 8, 8), {"augment": torch.zeros(2, 9)}, "takes no augment; build it with augment_channels=..."),
    ],
)
def test_what_cannot_be_denoised(family, x, given, message):
    with pytest.raises((ShapeError, ArgumentValueError)) as caught:
        tiny(family)(torch.zeros(x), torch.zeros(2), **given)
    assert message in str(caught.value)
    assert family.__name__ in str(caught.value) or "labels must be" in message


@both
def test_conditions_of_networks_without(family):
    x, t = torch.zeros(2, 3, 8, 8), torch.zeros(2)
    for labels in (torch.tensor([0, 1]), torch.zeros(2, 3)):
        with pytest.raises(ArgumentValueError, match=r"unconditional and takes no labels; build it with classes="):
            tiny(family, classes=None)(x, t, labels=labels)
    with pytest.raises(ShapeError, match=r"expects augment of shape \(2, 9\), got \(2, 8\)"):
        tiny(family, augment_channels=9)(x, t, augment=torch.zeros(2, 8))
