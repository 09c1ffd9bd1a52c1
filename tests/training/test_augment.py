"""Pictures changed in their geometry, and what the network is told of it."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

import zoo
from zoo.training import augment
from zoo.training.run import TrainingError

N = 2000


def drawn(probability, n=N):
    return augment.draw(n, probability, torch.Generator().manual_seed(0))


def places(height, width):
    """A picture of its own places: x to the right and y down, in pixels from the middle, (1, 2, H, W)."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.stack([x, y])[None]


def test_changes_are_drawn_with_their_chances():
    a = drawn(0.12)
    # four standard deviations of a share of 2000
    assert a[:, 0].mean().item() == pytest.approx(0.5, abs=0.045)
    assert a[:, 1].mean().item() == pytest.approx(0.06, abs=0.022)
    for column in (2, 3, 5, 6, 7):
        assert (a[:, column] != 0).double().mean().item() == pytest.approx(0.12, abs=0.03)
    assert torch.equal(a[:, 6] != 0, a[:, 7] != 0)
    assert (a[:, 4] != 0).double().mean().item() == pytest.approx(0.06, abs=0.022)
    assert a[:, 3:5].abs().max() <= math.pi
    always = drawn(1.0)
    # the standard error of a standard deviation of 2000 is 0.016
    assert_close(always[:, [2, 5, 6, 7]].std(0), torch.ones(4, dtype=torch.float64), rtol=0, atol=0.065)


def test_the_network_is_told_nine_numbers():
    a = torch.tensor([[1.0, 0.0, 0.5, math.pi / 2, math.pi / 3, 2.0, -1.0, 0.25]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 0.0, 0.5, -1.0, 1.0, 1.0, math.sqrt(3), -1.0, 0.25]], dtype=torch.float64)
    assert_close(augment.describe(a), expected, rtol=0, atol=1e-12)
    assert torch.equal(augment.describe(torch.zeros(1, 8)), torch.zeros(1, augment.CHANNELS))


def test_without_changes_pictures_are_mirrored_alone():
    x_0, a = torch.randn(50, 3, 6, 4), drawn(0.0, 50)
    changed = augment.change(x_0, a)
    assert torch.equal(changed[a[:, 0] == 1], x_0[a[:, 0] == 1].flip(3))
    assert torch.equal(changed[a[:, 0] == 0], x_0[a[:, 0] == 0])
    upside_down = torch.zeros(50, 8)
    upside_down[:, 1] = 1
    assert torch.equal(augment.change(x_0, upside_down), x_0.flip(2))


@pytest.mark.parametrize(
    "a",
    [
        [0, 0, 1.5, 0, 0, 0, 0, 0],
        [0, 0, 0, math.pi / 2, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1.0, 0, 0],
        [0, 0, 0, 0, 0.7, 1.0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0.5, -0.25],
        [1, 1, 0, 0, 0, 0, 0.5, -0.25],
        [0, 0, 0.8, -0.4, 1.1, -1.2, 0.3, 0.2],
        [1, 0, 0.8, 2.4, -2.0, 0.9, -0.6, 0.4],
    ],
)
def test_every_place_shows_what_was_at_the_place_it_came_from(a):
    """G = shift . stretch . turn . scale . mirror takes a place to another; a picture of places tells G^-1."""
    height, width = 64, 80
    whole = places(height, width)
    shown = augment.change(whole.clone(), torch.tensor([a], dtype=torch.float64))
    x, y = whole[0].double()
    p = torch.complex(x - width / 8 * a[6], y - height / 8 * a[7])
    # lengthened by 2^(0.2 a_5) along the direction -a_4, and shortened across
    along = p * torch.exp(torch.tensor(1j * a[4]))
    along = torch.complex(along.real / 2 ** (0.2 * a[5]), along.imag * 2 ** (0.2 * a[5]))
    p = along * torch.exp(torch.tensor(-1j * a[4]))
    p = p * torch.exp(torch.tensor(1j * a[3])) / 2 ** (0.2 * a[2])
    # what comes from the rim mixes with its reflection
    inside = (p.real.abs() < width / 2 - 3) & (p.imag.abs() < height / 2 - 3)
    mirrored = torch.tensor([-1.0 if a[0] else 1.0, -1.0 if a[1] else 1.0])
    expected = torch.stack([p.real, p.imag]).float() * mirrored[:, None, None]
    assert inside.double().mean() > 0.4
    # straight lines are read without error but for float32 rounding of 40 pixels
    assert_close(shown[0][:, inside], expected[:, inside], rtol=0, atol=1e-4)


def test_what_leaves_the_frame_is_reflected():
    turned = augment.change(torch.full((1, 1, 8, 8), 0.75), torch.tensor([[0, 0, -2.0, 0.5, 0, 0, 3.0, 1.0]]))
    assert_close(turned, torch.full((1, 1, 8, 8), 0.75))


EDM = {
    "shape": [1, 8, 8],
    "denoiser": {
        "name": "edm-song",
        "in_channels": 1,
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [],
        "resolution": 8,
        "augment_channels": 9,
        "classes": None,
    },
    "parameterization": "edm",
    "schedule": "edm",
    "sampling": {"guidance": None},
}


def test_a_network_learns_with_changed_pictures(run):
    weights = {}
    for name, steps, probability in (("fresh", 1, 0.0), ("plain", 3, 0.0), ("changed", 3, 0.3)):
        path = run(name, steps=steps, augment=probability, overrides=EDM)
        weights[name] = load_file(path)["denoiser.temb.augment.weight"]
    # without changes nothing tells what they should be
    assert torch.equal(weights["plain"], weights["fresh"])
    assert not torch.equal(weights["changed"], weights["plain"])


def test_changes_do_not_depend_on_how_an_update_is_dealt_out(run):
    steps = {
        "steps": 4,
        "augment": 0.5,
        "sample_raw": False,
        "overrides": EDM | {"denoiser": EDM["denoiser"] | {"dropout": 0.0}},
    }
    whole = run("whole", batch_size=16, **steps)
    halves = run("halves", batch_size=8, accumulate=2, num_workers=1, **steps)
    # float32 gradients added in another order, through 4 updates of Adam of up to 1e-3 each
    close = dict(zoo.load(halves).named_parameters())
    assert_close(close, dict(zoo.load(whole).named_parameters()), rtol=0, atol=5e-5)


def test_a_network_that_cannot_be_told_is_refused(run):
    with pytest.raises(TrainingError, match="this one takes no numbers of that"):
        run(steps=1, augment=0.1)
