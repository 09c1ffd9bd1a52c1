import pytest
import torch

from zoo.conditioners.aux_decoder import AuxDecoder
from zoo.conditioners.unit2mel import Unit2Mel
from zoo.core.bound import ConditionError
from zoo.core.errors import ArgumentValueError, ShapeError

FRAMES, WIDTH = 12, 5


def conditioner(**options):
    torch.manual_seed(0)
    return Unit2Mel(unit_channels=WIDTH, channels=6, **options).eval()


def features(units=FRAMES, batch=2):
    generator = torch.Generator().manual_seed(1)
    return {
        "units": torch.randn(batch, units, WIDTH, generator=generator),
        "f0": 100 + 400 * torch.rand(batch, FRAMES, generator=generator),
        "volume": torch.rand(batch, FRAMES, generator=generator),
    }


def test_is_linear_in_its_features():
    net, given = conditioner(), features()
    f0 = torch.log(1 + given["f0"] / 700)[..., None]
    expected = net.unit_embed(given["units"]) + net.f0_embed(f0) + net.volume_embed(given["volume"][..., None])
    torch.testing.assert_close(net(**given)["cond"], expected.transpose(1, 2), rtol=0, atol=1e-6)


def test_a_frame_takes_the_unit_of_its_time():
    given = features(units=6)
    # half a unit a frame, halves round to even, the last unit is held
    index = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 5]
    stretched = given | {"units": given["units"][:, index]}
    net = conditioner(unit_step=0.5)
    assert torch.equal(net(**given)["cond"], net(**stretched)["cond"])
    with pytest.raises(ShapeError, match="6 of them for 12 frames of f0"):
        conditioner()(**given)


def test_an_alignment_counts_more_than_the_step():
    given = features(units=3)
    mel2ph = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 0]] * 2)
    rows = torch.cat([torch.zeros(2, 1, WIDTH), given["units"]], 1)
    expected = conditioner()(**given | {"units": rows[:, mel2ph[0]]})["cond"]
    assert torch.equal(conditioner()(**given, mel2ph=mel2ph)["cond"], expected)
    with pytest.raises(ConditionError, match="mel2ph asks for unit 4 of 3"):
        conditioner()(**given, mel2ph=mel2ph + 1)


def test_a_key_shift_multiplies_the_pitch():
    net, given = conditioner(), features()
    octave_up = net(**given | {"f0": 2 * given["f0"]})["cond"]
    torch.testing.assert_close(net(**given, key_shift=12)["cond"], octave_up, rtol=0, atol=1e-6)


def test_voices_are_counted_from_one():
    net, given = conditioner(speakers=2), features()
    first = net(**given, spk=torch.tensor([[1], [1]]))["cond"]
    assert torch.equal(first, net(**given, spk={1: 1.0})["cond"])
    with pytest.raises(ConditionError, match=r"no voice 0; this model has 1\.\.2"):
        net(**given, spk=0)
    with pytest.raises(ConditionError, match="spk is missing"):
        net(**given)


def test_the_shift_of_timbre_is_optional():
    net, given = conditioner(aug_shift=True), features()
    moved = net(**given, aug_shift=torch.tensor([5.0, 0.0]))["cond"] - net(**given)["cond"]
    torch.testing.assert_close(moved[0], net.aug_shift_embed.weight.expand(-1, FRAMES), rtol=0, atol=1e-6)
    assert not moved[1].any()


def test_volume_is_needed():
    given = features()
    del given["volume"]
    with pytest.raises(ConditionError, match="volume is missing"):
        conditioner()(**given)


def test_the_aux_decoder_makes_mels_within_its_edges():
    net = AuxDecoder(mel_bins=2, cond_channels=3, channels=4, layers=1, low=[-4.0, -2.0], high=[0.0, 1.0]).eval()
    torch.nn.init.zeros_(net.decoder.outconv.weight)
    torch.nn.init.ones_(net.decoder.outconv.bias)
    cond = torch.randn(1, 3, 5)
    assert net.mel(cond)[0, :, 0].tolist() == [0.0, 1.0]
    assert net(cond=cond)["cond"] is cond
    with pytest.raises(ShapeError, match=r"cond: expected shape \(B, 3, T\), got \(1, 4, 5\)"):
        net.mel(torch.zeros(1, 4, 5))


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"low": [0.0, 1.0, 2.0]}, {"layers": 0}])
def test_settings_of_the_aux_decoder_that_make_no_sense_are_named(options):
    with pytest.raises(ArgumentValueError, match=next(iter(options))):
        AuxDecoder(mel_bins=2, cond_channels=3, **options)
