"""Mel cepstra: the formula, what is taken away, and odd sound."""

import pytest
import torch
from speech import TEXTS, spoken

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.mel import HifiGanMel
from zoo.voice.units.mfcc import MFCC


def test_units_are_cepstra_and_their_changes():
    from torchaudio.functional import create_dct

    wav = spoken(TEXTS[0])[0][:16_000]
    found = MFCC(channels=26)(wav, 16_000)
    log = HifiGanMel(sample_rate=16_000, n_fft=640, hop=320, win=640, bins=64, fmin=40.0)(wav)
    cepstra = (log.T @ create_dct(14, 64, "ortho"))[:, 1:]  # (U, 13)
    cepstra -= cepstra.mean(0)
    assert found.shape == (50, 26)
    # the mean is taken before here and after there
    torch.testing.assert_close(found[:, :13], cepstra, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1:-1, 13:], (cepstra[2:] - cepstra[:-2]) / 2, atol=1e-4, rtol=0)


def test_a_louder_voice_says_the_same():
    wav, rate = spoken(TEXTS[1])
    heard, quiet = MFCC()(wav, rate), MFCC()(0.5 * wav, rate)
    # pauses lie at the floor of the mel, where half as loud is not half
    assert (heard - quiet).abs().mean() < 0.05 * heard.abs().mean()


@pytest.mark.parametrize("rate", [25.0, 50.0, 100.0])
def test_rate_and_channels_are_as_said(rate):
    method = MFCC(channels=8, rate=rate)
    for samples in (1, 3, 160, 16_000, 16_001):
        found = method(0.1 * torch.randn(samples), 16_000)
        assert found.shape[1] == method.channels == 8
        assert len(found) == max(1, int(samples * rate / 16_000))
        assert found.isfinite().all()


def test_what_makes_no_sense_is_refused():
    for how in ({"channels": 3}, {"channels": 200}, {"rate": 5.0}):
        with pytest.raises(ArgumentValueError, match=next(iter(how))):
            MFCC(**how)
    with pytest.raises(VoiceError, match="mfcc: the sound is too short"):
        MFCC()(torch.zeros(0), 16_000)
    with pytest.raises(VoiceError, match="mfcc: the sound is broken"):
        MFCC()(torch.full((9,), torch.nan), 16_000)
    with pytest.raises(ShapeError, match="mfcc: wav"):
        MFCC()(torch.zeros(9, dtype=torch.int16), 16_000)
