"""Conversion: as long as the source, the same in any batch, silent where it was silent, and as high as it was asked."""

import math

import pytest
import torch
from speech import CONFIG, conversation, spoken

import zoo
from zoo.core.errors import ArgumentValueError
from zoo.voice import convert as room
from zoo.voice.audio import Sound
from zoo.voice.base import F0, Units, Vocoder, VoiceError
from zoo.voice.convert import Manner, chunks, convert, length_at
from zoo.voice.runs import runs
from zoo.voice.settings import voice_of


class Whistle(F0):
    """The same pitch everywhere."""

    def __call__(self, wav, sample_rate, *, hop, frames):
        return torch.full((frames,), 200.0)


class Loudness(Units):
    """What is said is how loud it is."""

    channels, rate = 40, 50.0

    def __call__(self, wav, sample_rate):
        count = max(1, len(wav) * 50 // sample_rate)
        return wav[: count * (len(wav) // count)].reshape(count, -1).abs().mean(1)[:, None].expand(-1, 40)


class Mean(Vocoder):
    """Every frame is as loud as its mel, at the pitch that it is told."""

    needs_f0 = True
    sample_rate, hop = 16_000, 160

    def __call__(self, mel, f0=None, *, seed=0):
        assert f0 is not None
        phase = (f0.repeat_interleave(160, 1).double().cumsum(1) / 16_000 * 2 * math.pi).sin()
        return (mel.mean(1).div(10).exp().repeat_interleave(160, 1) * phase).float() * 0.3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = zoo.build(CONFIG, sampling={"steps": 2}).eval()
    # a new network's last layer is zero
    torch.nn.init.normal_(built.denoiser.output_projection.weight, std=0.3)
    return built


PARTS = {"units": Loudness(), "f0": Whistle(), "vocoder": Mean()}


def sound(*seconds, rate=16_000):
    """Noise and silence in turns."""
    generator = torch.Generator().manual_seed(3)
    parts = [
        (0.2 if index % 2 == 0 else 0.0) * torch.randn(int(length * rate), generator=generator)
        for index, length in enumerate(seconds)
    ]
    return Sound(torch.cat(parts), rate)


@pytest.mark.parametrize("samples", [1, 3, 159, 160, 161, 16_001])
def test_the_result_is_as_long_as_the_source(model, samples):
    source = Sound(0.3 * torch.ones(samples), 16_000)
    found = convert(source, model, **PARTS)
    assert found.wav.shape == (samples,)
    assert found.wav.isfinite().all()


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_other_rates_keep_the_duration(model, rate):
    source = sound(0.7, rate=rate)
    found = convert(source, model, **PARTS)
    assert found.sample_rate == 16_000
    assert len(found.wav) == length_at(source, 16_000) == math.ceil(len(source.wav) * 16_000 / rate)


def test_silence_stays_silence(model):
    found = convert(Sound(torch.zeros(20_000), 16_000), model, **PARTS)
    assert torch.equal(found.wav, torch.zeros(20_000))
    source = sound(1, 2, 1)
    found = convert(source, model, **PARTS)
    assert not found.wav[20_000:45_000].any()
    assert found.wav[:15_000].abs().mean() > 0.01


def test_no_sound_makes_no_sound(model):
    assert len(convert(Sound(torch.zeros(0), 16_000), model, **PARTS).wav) == 0


def test_a_run_does_not_depend_on_those_beside_it(model):
    source = sound(0.5, 1, 0.9, 1, 0.3, 0.7, 0.4)
    together = convert(source, model, **PARTS, together=4)
    alone = convert(source, model, **PARTS, together=1)
    # masked rows of a batch are added up in another order
    torch.testing.assert_close(together.wav, alone.wav, rtol=0, atol=1e-4)
    other = convert(source, model, **PARTS, seed=1)
    assert (other.wav - alone.wav).abs().max() > 1e-3


def test_what_comes_later_does_not_change_what_came_before(model):
    source = sound(0.5, 1, 0.9, 1, 0.3)
    first = Sound(source.wav[: int(1.2 * 16_000)], 16_000)
    torch.testing.assert_close(
        convert(first, model, **PARTS).wav, convert(source, model, **PARTS).wav[: len(first.wav)], rtol=0, atol=1e-4
    )


def test_pieces_follow_one_another_without_gaps(model):
    source = sound(3, 1, 4, 0.2, 5)
    voice = voice_of(model, f0_=PARTS["f0"], units_=PARTS["units"], vocoder_=PARTS["vocoder"])
    manner = Manner(max_seconds=2.0, together=2)
    place = 0
    for start, wav in chunks(source, model, voice, manner):
        assert start == place
        place += len(wav)
    assert place == len(source.wav)


def test_runs_that_were_cut_fade_into_one_another(model, monkeypatch):
    monkeypatch.setattr(room, "made_of", lambda wavs, *_, **__: [torch.ones(len(wav)) for wav in wavs])
    source = sound(9)
    found = convert(source, model, **PARTS, max_seconds=2.0)
    # everywhere but at the very ends the weights add up to one
    torch.testing.assert_close(found.wav[200:-200], torch.ones(len(source.wav) - 400))
    assert len(runs(source.wav, 16_000, threshold_db=-50, max_seconds=2.0, overlap=0.2)) > 4


def test_no_more_than_a_batch_is_held(model, monkeypatch):
    sizes = []
    made_of = room.made_of

    def counting(wavs, *rest, **how):
        sizes.append(sum(map(len, wavs)))
        return made_of(wavs, *rest, **how)

    monkeypatch.setattr(room, "made_of", counting)
    convert(sound(30), model, **PARTS, max_seconds=2.0, together=2)
    assert len(sizes) > 7
    assert max(sizes) <= 2 * 2.3 * 16_000


def test_the_key_moves_the_pitch(model):
    source = sound(1.0)
    for key, hertz in ((0, 200), (12, 400), (-12, 100)):
        found = convert(source, model, **PARTS, key=key)
        spectrum = torch.fft.rfft(found.wav).abs()
        assert spectrum.argmax() == pytest.approx(hertz, rel=0.02)


def test_the_key_can_be_that_of_the_voice(model):
    with pytest.raises(VoiceError, match="how high"):
        convert(sound(1.0), model, **PARTS, key="auto")
    knows = zoo.build({**CONFIG, "notes": {"f0_median": "100.0"}}, sampling={"steps": 2})
    found = convert(sound(1.0), knows, **PARTS, key="auto")
    assert torch.fft.rfft(found.wav).abs().argmax() == pytest.approx(100, rel=0.02)


def test_without_strength_only_the_vocoder_changes_it(model, monkeypatch):
    monkeypatch.setattr(room, "sample", lambda *_, **__: pytest.fail("the model was asked"))
    assert convert(sound(1.0), model, **PARTS, strength=0.0).wav.abs().max() > 0


def test_less_strength_stays_closer_to_the_source(model):
    class Copy(Mean):
        def __call__(self, mel, f0=None, *, seed=0):
            return mel.mean(1).repeat_interleave(160, 1)

    source, parts = sound(1.0), {**PARTS, "vocoder": Copy()}
    zero, little, much = (convert(source, model, **parts, strength=strength).wav for strength in (0.0, 0.1, 1.0))
    assert (little - zero).abs().mean() < (much - zero).abs().mean()


def test_loudness_and_gate_are_applied(model):
    source = sound(1.0)
    matched = convert(source, model, **PARTS, match_loudness=1.0)
    assert matched.wav.square().mean().sqrt() == pytest.approx(0.2, rel=0.2)
    assert not convert(source, model, **PARTS, gate_db=0.0).wav.any()


def test_progress_is_told(model):
    told = []
    convert(sound(3), model, **PARTS, max_seconds=1.0, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_real_parts_convert_real_speech(model):
    wav, rate = spoken("Hello there.")
    found = convert(Sound(wav, rate), model)
    assert found.seconds == pytest.approx(len(wav) / rate, abs=1e-3)
    assert found.wav.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strength": 1.5}, "strength"),
        ({"match_loudness": -1.0}, "match_loudness"),
        ({"together": 0}, "together"),
        ({"overlap": 9.0}, "overlap"),
        ({"key": 100.0}, "semitones"),
    ],
)
def test_numbers_outside_their_range_are_refused(model, change, said):
    with pytest.raises(ArgumentValueError, match=said):
        convert(sound(0.5), model, **PARTS, **change)


def test_damaged_sound_is_refused(model):
    wav = sound(0.5).wav
    wav[7] = math.nan
    with pytest.raises(VoiceError, match="not finite"):
        convert(Sound(wav, 16_000), model, **PARTS)


def test_a_model_that_does_not_say_how_it_hears_is_refused():
    with pytest.raises(VoiceError, match="no model of voices"):
        voice_of(zoo.build("tiny-unet"))
    with pytest.raises(VoiceError, match="names no units"):
        voice_of(zoo.build("tiny-diffnet", voice={"mel": "pwg", "f0": "harvest"}))


def test_speech_is_heard_as_speech():
    assert conversation()[0].abs().max() > 0.3
