import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.conditioners.svc import SVC
from zoo.core.bound import ConditionError
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.features import align
from zoo.layers.pitch import coarse_pitch, in_hertz, in_octaves

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"
UNITS, FRAMES, WIDTH = 7, 15, 8


def conditioner(**options):
    torch.manual_seed(0)
    return SVC(channels=WIDTH, **options).eval()


def features(batch=2):
    generator = torch.Generator().manual_seed(1)
    f0 = 100 + 400 * torch.rand(batch, FRAMES, generator=generator)
    f0[:, 3:6] = 0
    return {"units": torch.randn(batch, UNITS, WIDTH, generator=generator), "f0": f0}


@pytest.mark.parametrize("key", list(load_file(GOLDEN / "mel2ph_align" / "io.safetensors")))
def test_units_are_aligned_as_in_the_old_code(key):
    frames, units = map(int, re.findall(r"\d+", key.removeprefix("mel2ph")))
    assert align(units, frames).tolist() == load_file(GOLDEN / "mel2ph_align" / "io.safetensors")[key].tolist()


@pytest.mark.parametrize(("rate", "f0_min"), [("24k", 50.0), ("44k", 40.0)])
def test_pitch_is_filled_and_binned_as_in_the_old_code(rate, f0_min):
    io = load_file(GOLDEN / "f0_norm_coarse" / "io.safetensors")
    hertz = io["f0_hz"][None]
    # one unit in the last place of a float32 near 10
    torch.testing.assert_close(in_octaves(hertz)[0], io[f"norm_interp_{rate}"], rtol=0, atol=1e-6)
    bins = coarse_pitch(hertz, f0_min=f0_min, f0_max=1100.0, bins=256)[0]
    assert bins.tolist() == io[f"coarse_torch_{rate}"].tolist()


def test_an_item_without_a_voice_has_pitch_zero():
    f0 = torch.tensor([[0.0, 0.0, 0.0], [0.0, 200.0, 0.0]])
    assert in_octaves(f0)[0].tolist() == [0, 0, 0]
    assert in_octaves(f0)[1].tolist() == pytest.approx([torch.tensor(200.0).log2().item()] * 3)


def test_hertz_and_octaves_are_told_apart():
    hertz = torch.tensor([[110.0, 220.0, 440.0], [0.0, 880.0, 0.0]])
    octaves = in_octaves(hertz)
    assert torch.equal(in_octaves(octaves), octaves)
    assert in_hertz(octaves)[0].tolist() == pytest.approx([110, 220, 440], rel=1e-6)
    assert torch.equal(in_hertz(hertz), hertz)


def test_hertz_and_octaves_give_one_condition():
    given = features()
    octaves = given | {"f0": in_octaves(given["f0"])}
    net = conditioner()
    assert torch.equal(net(**given)["cond"], net(**octaves)["cond"])


def test_alignment_is_made_when_none_is_given():
    given, net = features(), conditioner()
    table = align(UNITS, FRAMES).expand(2, -1)
    assert torch.equal(net(**given)["cond"], net(**given, mel2ph=table)["cond"])


def test_padding_is_zero():
    mel2ph = align(UNITS, FRAMES).expand(2, -1).clone()
    mel2ph[1, 9:] = 0
    cond = conditioner()(**features(), mel2ph=mel2ph)["cond"]
    assert cond.shape == (2, WIDTH, FRAMES)
    assert not cond[1, :, 9:].any()
    assert cond[0].all(0).all()


def test_each_item_of_a_batch_is_as_if_alone():
    given = features()
    given["units"][1, 5:] = 0
    net = conditioner(encoder_layers=2, encoder_kernel_size=3)
    together = net(**given)["cond"]
    for i in range(2):
        alone = net(**{name: value[i : i + 1] for name, value in given.items()})["cond"]
        # float32 sums in another order
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)


def test_the_encoder_does_not_see_units_that_are_padding():
    given = features(1)
    net = conditioner(encoder_layers=2, encoder_kernel_size=3)
    longer = torch.nn.functional.pad(given["units"], (0, 0, 0, 4))
    mel2ph = align(UNITS, FRAMES)[None]
    short, long = (net(units=units, f0=given["f0"], mel2ph=mel2ph)["cond"] for units in (given["units"], longer))
    torch.testing.assert_close(short, long, rtol=0, atol=1e-5)


def test_a_key_shift_moves_the_pitch_and_drops_what_is_too_high():
    given, net = features(), conditioner(f0_max=450.0)
    up = net(**given, key_shift=2.0)["cond"]
    moved = in_octaves(given["f0"]) + 2 / 12
    too_high = moved > torch.tensor(450.0).log2()
    assert too_high.any()
    assert not too_high.all()
    assert torch.equal(up, net(**given | {"f0": moved.masked_fill(too_high, 0.0)})["cond"])
    each = net(**given, key_shift=torch.tensor([2.0, 0.0]))["cond"]
    assert torch.equal(each[0], up[0])
    assert not torch.equal(each[1], up[1])


def test_unvoiced_frames_are_hidden_where_the_model_hides_them():
    given = features()
    plain, hides = conditioner(), conditioner(use_uv=True)
    unvoiced = given["f0"] == 0
    differs = (plain(**given)["cond"] != hides(**given)["cond"]).any(1)
    assert torch.equal(differs, unvoiced)
    octaves = given | {"f0": in_octaves(given["f0"])}
    assert torch.equal(hides(**octaves, uv=unvoiced.float())["cond"], hides(**given)["cond"])
    with pytest.raises(ConditionError, match="uv is missing"):
        hides(**octaves)


def test_features_that_the_model_was_not_trained_with_change_nothing():
    given, net = features(), conditioner()
    more = {"energy": torch.ones(2, FRAMES), "volume": torch.ones(2, FRAMES), "spk": 3, "aug_shift": 2.0}
    assert torch.equal(net(**given)["cond"], net(**given, **more)["cond"])


def test_loudness_has_256_steps_up_to_4():
    given, net = features(), conditioner(energy=True)

    def at(loudness):
        return net(**given, energy=torch.full((2, FRAMES), loudness))["cond"]

    assert torch.equal(at(0.5), at(0.5 + 3 / 256))
    assert not torch.equal(at(0.5), at(0.5 + 5 / 256))
    assert torch.equal(at(4.0), at(1000.0))
    with pytest.raises(ConditionError, match="energy is missing"):
        net(**given)


def test_speakers_mix():
    given, net = features(), conditioner(speakers=3)
    one, two = (net(**given, spk=torch.tensor([number] * 2))["cond"] for number in (1, 2))
    mixed = net(**given, spk={1: 0.25, 2: 0.75})["cond"]
    torch.testing.assert_close(mixed, 0.25 * one + 0.75 * two, rtol=0, atol=1e-6)
    weights = torch.tensor([[0.0, 0.25, 0.75]] * 2)
    assert torch.equal(net(**given, spk=weights)["cond"], mixed)
    with pytest.raises(ConditionError, match=r"no voice 3; this model has 0\.\.2"):
        net(**given, spk=3)
    with pytest.raises(ConditionError, match=r"spk is missing: this model has 3 voices"):
        net(**given)


def test_lengths_are_passed_on():
    lengths = torch.tensor([15, 9])
    assert torch.equal(conditioner()(**features(), lengths=lengths)["lengths"], lengths)


def test_units_of_another_width_are_projected():
    net, given = conditioner(unit_channels=5), features()
    given["units"] = torch.randn(2, 7, 5)
    projected = given | {"units": net.unit_embed(given["units"])}
    plain = conditioner()
    plain.pitch_embed = net.pitch_embed
    assert torch.equal(net(**given)["cond"], plain(**projected)["cond"])
    with pytest.raises(ShapeError, match=r"units: expected shape \(2, any, 5\)"):
        net(**features())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"units": torch.zeros(2, 7, 5)}, ShapeError, r"units: expected shape \(2, any, 8\), got \(2, 7, 5\)"),
        ({"f0": torch.zeros(15)}, ShapeError, r"f0: expected shape \(B, T\), one number a frame, got \(15,\)"),
        ({"mel2ph": torch.ones(2, 3)}, ShapeError, r"mel2ph: expected shape \(2, 15\), got \(2, 3\)"),
        ({"mel2ph": torch.full((2, 15), 8)}, ConditionError, "mel2ph asks for unit 8 of 7"),
    ],
)
def test_misfits_are_named(change, error, message):
    with pytest.raises(error, match=message):
        conditioner()(**features() | change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"f0_min": 0.0}, "need 0 < f0_min < f0_max, got 0 and 1100"),
        ({"f0_bins": 400}, "need 3 <= f0_bins <= pitch_rows, got 400 and 300"),
        ({"speakers": -1}, "cannot be below 0"),
        ({"encoder_layers": 1, "encoder_kernel_size": 4}, "odd"),
    ],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(ArgumentValueError, match=message):
        conditioner(**options)
