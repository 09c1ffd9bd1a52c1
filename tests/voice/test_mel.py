"""Mel analyses: what their papers say, whole or in pieces, for one sound or for several."""

import math

import pytest
import torch

from registry import mels
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.mel import HifiGanMel, Mel, OpenvpiMel

NAMES = mels.names()


@pytest.fixture(params=NAMES)
def mel(request) -> Mel:
    return mels.build(request.param)


def tone(hertz, mel, seconds=0.5):
    time = torch.arange(int(seconds * mel.sample_rate), dtype=torch.float64) / mel.sample_rate
    return 0.5 * torch.sin(2 * math.pi * hertz * time)


def test_triangles_have_the_area_of_one_hertz_and_cover_the_range(mel):
    width = mel.sample_rate / mel.n_fft
    wide = mel.basis[mel.bins // 2 :].double()
    # a triangle that is sampled at a few frequencies has not quite its area
    assert (wide.sum(1) * width).sub(1).abs().max() < 0.2
    heard = mel.basis.sum(0).nonzero()[:, 0] * width
    assert heard.min() >= mel.fmin
    assert heard.max() <= mel.fmax


def test_a_tone_is_loudest_where_its_frequency_is(mel):
    for hertz in (440.0, 3000.0):
        loudest = mel(tone(hertz, mel)).mean(-1).argmax()
        under = mel.basis[loudest].nonzero()[:, 0] * mel.sample_rate / mel.n_fft
        assert under.min() - mel.sample_rate / mel.n_fft <= hertz <= under.max() + mel.sample_rate / mel.n_fft


def test_silence_lies_on_the_floor(mel):
    found = mel(torch.zeros(mel.sample_rate // 4))
    low = math.log(mel.floor) / (math.log(10) if mel.log == "log10" else 1)
    # an epsilon under the root lifts silence a little above it
    assert found.min() >= low - 1e-5
    assert found.max() < low + 2


@pytest.mark.parametrize("samples", [1, 3, 700, 5000, 40_013])
def test_frames_are_counted_without_sound(mel, samples):
    found = mel(torch.rand(samples) - 0.5)
    assert found.shape == (mel.bins, mel.frames(samples))
    assert found.isfinite().all()


def test_no_sound_has_no_frames(mel):
    assert mel(torch.zeros(0)).shape == (mel.bins, mel.frames(0)) == (mel.bins, 0)


def test_pieces_make_the_whole(mel, monkeypatch):
    wav = torch.rand(2, 30_011) - 0.5
    whole = mel(wav)
    monkeypatch.setattr("zoo.voice.mel._BLOCK", 7)
    for size in (13, 777, 5000):
        some = wav[..., : 100 * size]
        assert torch.equal(torch.cat(list(mel.stream(some.split(size, -1))), -1), mel(some))
    # blocks of another length are added up in another order
    torch.testing.assert_close(mel(wav), whole, rtol=0, atol=1e-6)


def test_a_batch_is_its_items(mel):
    wav = torch.rand(3, 9000) - 0.5
    torch.testing.assert_close(mel(wav), torch.stack([mel(one) for one in wav]), rtol=0, atol=1e-6)


def test_a_shifted_key_moves_the_spectrum():
    mel = OpenvpiMel()
    wav = tone(1000.0, mel)
    plain, up = mel(wav).mean(-1).argmax(), mel(wav, key_shift=12).mean(-1).argmax()
    there = mel(tone(2000.0, mel)).mean(-1).argmax()
    assert plain < up
    assert abs(int(up - there)) <= 1


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_makes_fewer_frames(mel, speed):
    wav = torch.rand(30_000) - 0.5
    assert mel(wav, speed=speed).shape[-1] == mel.frames(30_000, speed=speed)
    assert mel(wav, speed=speed).shape[-1] == pytest.approx(mel(wav).shape[-1] / speed, abs=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fmax": 12_000.0}, "11025 Hz"),
        ({"win": 2048}, "win <= n_fft"),
        ({"hop": 0}, "from 1"),
        ({"fmin": 9000.0}, "fmin < fmax"),
    ],
)
def test_sizes_that_make_no_analysis_are_refused(change, said):
    with pytest.raises(ArgumentValueError, match=said):
        HifiGanMel(**change)


def test_what_is_no_sound_is_refused(mel):
    with pytest.raises(ShapeError, match=r"\(1, 2, 3\)"):
        mel(torch.zeros(1, 2, 3))
    with pytest.raises(ShapeError, match="int64"):
        mel(torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ArgumentValueError, match="no window"):
        mel(torch.zeros(9000), speed=100.0)
