"""Griffin-Lim and WORLD on a vowel whose mel and pitch are known."""

import math
import sys

import pytest
import torch

from registry import ArgumentError, vocoders
from zoo.core.errors import ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.mel import HifiGanMel, NsfHifiGanMel, PwgMel
from zoo.voice.vocoders.inversion import centre, magnitudes

MELS = [
    HifiGanMel(),
    NsfHifiGanMel(),
    PwgMel(),
    HifiGanMel(sample_rate=16_000, n_fft=1000, hop=200, win=800, bins=64),
]
KINDS = ["griffin-lim", "world"]


def vowel(mel, hertz=140.0, seconds=0.7):
    """Harmonics of a pitch under three formants, silent at both ends, and the pitch of its frames."""
    t = torch.arange(int(seconds * mel.sample_rate), dtype=torch.float64) / mel.sample_rate
    wav = torch.zeros_like(t)
    for k in range(1, int(5000 / hertz)):
        loud = sum(1 / (1 + ((k * hertz - formant) / 150) ** 2) for formant in (700, 1200, 2600))
        wav += loud * (2 * math.pi * k * hertz * t + k * k).sin()
    inside = ((t > 0.1) & (t < seconds - 0.1)).double()
    wav = (0.3 * inside * wav / wav.abs().max()).float()
    frames = mel.frames(len(wav))
    middle = (torch.arange(frames) * mel.hop / mel.sample_rate - seconds / 2).abs() < seconds / 2 - 0.1
    return wav, mel(wav)[None], torch.where(middle, hertz, 0.0)[None]


def pitch_of(wav, mel):
    """From the autocorrelation of the middle, 80 to 400 Hz."""
    part = wav[len(wav) // 2 - mel.sample_rate // 10 :][: mel.sample_rate // 5]
    spectrum = torch.fft.rfft(part, 2 * len(part))
    likeness = torch.fft.irfft(spectrum.abs().square())
    low, high = mel.sample_rate // 400, mel.sample_rate // 80
    return mel.sample_rate / (low + int(likeness[low:high].argmax()))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("analysis", MELS, ids=lambda mel: f"{type(mel).__name__}-{mel.sample_rate}")
def test_a_vowel_comes_back(name, analysis):
    _, mel, f0 = vowel(analysis)
    ours = vocoders.build(name, mel=analysis)(mel, f0)
    assert ours.shape == (1, mel.shape[-1] * analysis.hop)
    assert ours.dtype == torch.float32
    assert ours.abs().max() <= 1
    assert pitch_of(ours[0], analysis) == pytest.approx(140, rel=0.02)

    again = analysis(ours)[..., : mel.shape[-1]]
    nepers = 1.0 if analysis.log == "ln" else math.log(10)
    loud = mel * nepers > mel.max() * nepers - 3
    error = ((again - mel) * nepers)[loud]
    # 2.6 dB and 3.5 dB: WORLD's own analysis and synthesis of speech is 3.5 dB from it
    assert error.abs().mean() < {"griffin-lim": 0.3, "world": 0.4}[name]
    assert error.mean().abs() < 0.25


@pytest.mark.parametrize("name", KINDS)
def test_silence_stays_silent(name):
    mel = NsfHifiGanMel()
    out = vocoders.build(name, mel=mel)(torch.full((1, 128, 20), -5.0), torch.zeros(1, 20))
    assert out.abs().max() < 0.01


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("analysis", MELS, ids=lambda mel: f"{type(mel).__name__}-{mel.sample_rate}")
def test_it_is_as_late_as_the_sound_was(name, analysis):
    """A burst of noise comes back in its place, whatever the analysis centres on; a frame taken for one that begins
    where it does not is half a hop."""
    wav = torch.zeros(40 * analysis.hop)
    wav[16 * analysis.hop : 24 * analysis.hop] = (
        0.1 * torch.randn(8 * analysis.hop) * torch.hann_window(8 * analysis.hop)
    )
    mel = analysis(wav)[None]
    out = vocoders.build(name, mel=analysis)(mel, torch.zeros(1, mel.shape[-1]))[0]
    places = [float((one.square() * torch.arange(len(one))).sum() / one.square().sum()) for one in (wav, out)]
    # WORLD itself is late by up to a quarter
    assert abs(places[1] - places[0]) < 0.35 * analysis.hop


@pytest.mark.parametrize("name", KINDS)
def test_an_item_does_not_depend_on_those_beside_it(name):
    analysis = PwgMel()
    _, mel, f0 = vowel(analysis, seconds=0.4)
    vocoder = vocoders.build(name, mel=analysis)
    two = vocoder(torch.cat([mel - 1, mel]), torch.cat([f0 * 1.3, f0]), seed=4)
    # iterations make much of the order of float32 sums
    torch.testing.assert_close(two[1:], vocoder(mel, f0, seed=4), rtol=0, atol=1e-2)


def test_phases_that_start_from_the_pitch_fit_better():
    analysis = PwgMel()
    _, mel, f0 = vowel(analysis)
    vocoder = vocoders.build({"name": "griffin-lim", "iterations": 4}, mel=analysis)
    with_it, without = (
        (analysis(wav)[..., : mel.shape[-1]] - mel).abs().mean() for wav in (vocoder(mel, f0), vocoder(mel))
    )
    assert with_it < 0.9 * without


def test_the_seed_moves_the_phases():
    analysis = PwgMel()
    _, mel, _ = vowel(analysis, seconds=0.3)
    vocoder = vocoders.build({"name": "griffin-lim", "iterations": 2}, mel=analysis)
    assert torch.equal(vocoder(mel, seed=1), vocoder(mel, seed=1))
    assert not torch.equal(vocoder(mel, seed=1), vocoder(mel, seed=2))


@pytest.mark.parametrize("analysis", MELS[:3], ids=lambda mel: type(mel).__name__)
def test_the_mel_of_the_magnitudes_is_the_mel(analysis):
    _, mel, _ = vowel(analysis)
    size = magnitudes(mel, analysis)
    assert size.min() >= 0
    wanted = mel.exp() if analysis.log == "ln" else 10**mel
    error = ((analysis.basis @ size).clamp(min=analysis.floor) / wanted).log().abs()
    # thirty steps leave a percent on the mean, and more in the valleys beside loud bins
    assert error.mean() < 0.01


def test_where_the_first_frame_is():
    assert [centre(mel) for mel in MELS] == [128, 256, 0, 100]


@pytest.mark.parametrize("name", KINDS)
def test_what_does_not_fit_is_refused(name):
    vocoder = vocoders.build(name, mel=PwgMel())
    with pytest.raises(ShapeError, match=r"\(B, 80, T\), got \(1, 128, 9\)"):
        vocoder(torch.zeros(1, 128, 9), torch.zeros(1, 9))
    with pytest.raises(ShapeError, match="f0"):
        vocoder(torch.zeros(1, 80, 9), torch.zeros(1, 8))
    assert vocoder(torch.zeros(2, 80, 0), torch.zeros(2, 0)).shape == (2, 0)


def test_world_needs_the_pitch_and_its_package(monkeypatch):
    vocoder = vocoders.build("world", mel=PwgMel())
    with pytest.raises(ShapeError, match=r"f0 .* got none"):
        vocoder(torch.zeros(1, 80, 9))
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(VoiceError, match=r"needs the package pyworld: pip install 'diffusion-zoo\[voice\]'"):
        vocoder(torch.zeros(1, 80, 9), torch.zeros(1, 9))


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "griffin-lim", "momentum": 1.0},
        {"name": "griffin-lim", "iterations": -1},
        {"name": "world", "clear_below": 9000.0},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(spec):
    with pytest.raises(ArgumentError, match="need "):
        vocoders.build(spec, mel=PwgMel())
