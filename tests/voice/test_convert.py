"""Conversion: as long as the source, the same in any batch, silent where it was silent, and as high as it was asked."""

import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from speech import CONFIG, conversation, spoken
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import zoo
from zoo.core.errors import ArgumentValueError
from zoo.voice import convert as room
from zoo.voice import quiet
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


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("overlap", [0.2, 0.9, 1.7])
def test_parts_shorter_than_the_overlap_fade_within_themselves(model, monkeypatch, overlap, together):
    monkeypatch.setattr(room, "made_of", lambda wavs, *_, **__: [torch.ones(len(wav)) for wav in wavs])
    most, pause = max(4 * overlap + 0.1, 2.0), 0.65
    # what is left behind the only cut is 60 ms and more, and the next part begins soon after
    for left in (0.04, 0.3, 0.8):
        source = sound(most + left, pause, 1.0)
        dip = int((most - 0.02) * 100) * 160
        source.wav[dip : dip + 160] *= 0.1
        found = convert(source, model, **PARTS, max_seconds=most, overlap=overlap, together=together)
        heard = int((most + left) * 16_000)
        torch.testing.assert_close(found.wav[200 : heard - 200], torch.ones(heard - 400))
        assert found.wav.max() <= 1 + 1e-6
        assert not found.wav[heard + 2000 : heard + int(pause * 16_000) - 2000].any()


class Largest(TorchDispatchMode):
    """The most bytes that any tensor stands on while it is on."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.bytes = max(self.bytes, *sizes, 0)
        return out


@pytest.mark.parametrize("rate", [16_000, 8000])
def test_nothing_larger_than_the_sound_is_made(model, monkeypatch, rate):
    monkeypatch.setattr(room, "made_of", lambda wavs, *_, **__: [wav.clone() for wav in wavs])
    monkeypatch.setattr(quiet, "_AT_ONCE", 100)
    source = sound(20, 20, 20, rate=rate)
    voice = voice_of(model, f0_=PARTS["f0"], units_=PARTS["units"], vocoder_=PARTS["vocoder"])
    with Largest() as largest:
        for _ in chunks(source, model, voice, Manner(max_seconds=2.0)):
            pass
    # float32 at the rate of the model; the resampler pads a little
    assert largest.bytes <= 4 * length_at(source, 16_000) * 1.01


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
        ({"key": math.nan}, "semitones"),
        ({"gate_db": math.nan}, "finite"),
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


def test_models_of_ddsp_svc_get_their_units_where_they_were_trained_to(tmp_path):
    case = Path(__file__).parents[1] / "golden" / "voice" / "ddspsvc_unit2mel"
    shutil.copy(case / "model_100000.pt", tmp_path)
    flat = yaml.safe_load((case / "config.yaml").read_text())
    data = {"sampling_rate": 44_100, "block_size": 512, "encoder": "contentvec768l12"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": flat, "data": data}))
    ddsp = zoo.load(tmp_path)
    voice = voice_of(ddsp, f0_=Whistle(), units_=Loudness(), vocoder_=Mean())
    assert voice.rule == "ddsp-svc"
    frames, units = 60, load_file(case / "io.safetensors")["units"]
    places = room.mel2ph(units.shape[1], frames, rule=voice.rule, per_frame=50 * 512 / 44_100)
    common = {"units": units, "f0": torch.full((1, frames), 200.0), "volume": torch.ones(1, frames), "spk": [1]}
    theirs = ddsp.conditioner(**common)["cond"]
    assert torch.equal(ddsp.conditioner(**common, mel2ph=places[None])["cond"], theirs)


def test_speech_is_heard_as_speech():
    assert conversation()[0].abs().max() > 0.3


def test_a_voice_that_is_not_there_is_refused(model):
    with pytest.raises(VoiceError, match="single voice"):
        convert(sound(0.5), model, **PARTS, speaker=7)


def test_what_is_not_finite_is_not_sung(model):
    class Broken(Mean):
        def __call__(self, mel, f0=None, *, seed=0):
            return torch.full((1, 160 * mel.shape[-1]), math.nan)

    with pytest.raises(VoiceError, match="not finite"):
        convert(sound(0.5), model, **{**PARTS, "vocoder": Broken()})
