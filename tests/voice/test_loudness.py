"""Loudness that follows a source, and gates that open around it."""

import math

import pytest
import torch

from zoo.voice.features import energy, in_log, volume
from zoo.voice.loudness import gated, matched

RATE, HOP = 16_000, 160


def tone(seconds=1.0, size=0.5):
    return size * torch.sin(2 * math.pi * 200 * torch.arange(int(seconds * RATE)) / RATE)


def test_volume_is_the_root_mean_square_of_a_frame():
    wav = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    found = volume(wav, 100)
    assert len(found) == 11
    torch.testing.assert_close(found[3], wav[250:350].square().mean().sqrt())


@pytest.mark.parametrize("samples", [0, 1, 3, 99, 100, 101])
def test_volume_of_little_sound(samples):
    found = volume(torch.ones(samples), 100)
    assert len(found) == samples // 100 + 1
    assert found.isfinite().all()


def test_energy_is_that_of_decimal_logarithms():
    mel = torch.randn(8, 5)
    torch.testing.assert_close(energy(mel, "log10"), mel.exp().square().sum(0).sqrt())
    torch.testing.assert_close(energy(in_log(mel, "log10", "ln"), "ln"), energy(mel, "log10"))


def test_sound_gets_the_loudness_of_another():
    loud, soft = tone(size=0.5), tone(size=0.2)
    assert matched(soft, loud, hop=HOP)[2000:-2000].abs().max() == pytest.approx(0.5, rel=0.02)
    half = matched(soft, loud, hop=HOP, mix=0.5)[2000:-2000].abs().max()
    assert half == pytest.approx(math.sqrt(0.5 * 0.2), rel=0.02)
    assert torch.equal(matched(soft, loud, hop=HOP, mix=0.0), soft)


def test_noise_of_a_room_is_not_made_a_voice():
    assert matched(1e-6 * tone(), tone(), hop=HOP).abs().max() < 1e-4


def test_the_gate_closes_where_the_source_is_silent():
    source = torch.cat([tone(), torch.zeros(RATE), tone()])
    found = gated(torch.ones(len(source)), source, hop=HOP)
    assert torch.equal(found[:RATE], torch.ones(RATE))
    assert not found[RATE + 8 * HOP : 2 * RATE - 8 * HOP].any()
    assert gated(torch.zeros(0), torch.zeros(0), hop=HOP).shape == (0,)
