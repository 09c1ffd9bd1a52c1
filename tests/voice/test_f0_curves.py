"""Pitch curves: gaps, numbers, keys, statistics, against recorded values and hand-made ones."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zoo import plots
from zoo.core.errors import ArgumentValueError
from zoo.voice.base import VoiceError
from zoo.voice.f0 import curves
from zoo.voice.f0.curves import PitchStatistics

GOLDEN = Path(__file__).parents[1] / "golden/voice"
LOWEST = {"24k": 50.0, "44k": 40.0}


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "f0_norm_coarse/io.safetensors")


@pytest.mark.parametrize("case", LOWEST)
def test_curves_are_normalised_as_in_diff_svc(recorded, case):
    octaves, unvoiced = curves.normalised(recorded["f0_hz"])
    # one step of float32 at 10 octaves
    torch.testing.assert_close(octaves, recorded[f"norm_interp_{case}"], atol=1e-6, rtol=0)
    assert torch.equal(unvoiced, recorded[f"uv_{case}"])
    torch.testing.assert_close(curves.denormalised(octaves), recorded[f"denorm_{case}"], atol=0, rtol=1e-6)


@pytest.mark.parametrize("case", LOWEST)
@pytest.mark.parametrize(("rounding", "name"), [("half-up", "torch"), ("half-even", "numpy")])
def test_bins_are_those_of_diff_svc(recorded, case, rounding, name):
    found = curves.coarse(recorded["f0_hz"], f0_min=LOWEST[case], rounding=rounding)
    assert torch.equal(found, recorded[f"coarse_{name}_{case}"])


def test_halves_are_rounded_two_ways():
    # pitches within a few digits of the edges between bins 2 and 3, 4 and 5, ...: some lie on them in float32
    low, high = (1127 * math.log(1 + edge / 700) for edge in (40.0, 1100.0))
    edges = torch.arange(2, 255, 2, dtype=torch.float64) + 0.5
    hertz = 700 * (((edges - 1) * (high - low) / 254 + low) / 1127).expm1()
    near = (hertz[:, None] * (1 + torch.arange(-30, 31) * 2.0**-24)).float()
    up, even = (curves.coarse(near, rounding=rounding) for rounding in ("half-up", "half-even"))
    apart = up != even
    assert apart.sum() > 20
    # elsewhere the two logarithms differ in their last digit
    down = (even == up - 1) & (even % 2 == 0)
    assert down.sum() > 0.8 * apart.sum()


def test_unvoiced_frames_hide_where_use_uv_says_so():
    octaves, unvoiced = curves.normalised(torch.tensor([0.0, 100.0, 0.0, 200.0]))
    assert curves.denormalised(octaves, unvoiced).round().tolist() == [0, 100, 0, 200]
    assert curves.denormalised(octaves).round().tolist() == [100, 100, 141, 200]


def test_gaps_are_closed_by_lines_in_hertz():
    curve = torch.tensor([[0.0, 0, 100, 0, 0, 130, 0], [0] * 7])
    assert curves.gapless_hz(curve).tolist() == [[100, 100, 100, 110, 120, 130, 130], [0] * 7]
    assert curves.gapless_hz(curve[0]).tolist() == [100, 100, 100, 110, 120, 130, 130]
    assert curves.gapless_hz(curve, floor=105.0)[0].tolist() == [105, 105, 105, 110, 120, 130, 130]
    assert curves.gapless_hz(torch.zeros(0)).shape == (0,)


def test_frames_between_points_lie_on_the_line_and_gaps_stay():
    found = curves.on_frames(
        torch.tensor([0.0, 100, 200, 0]), 0.01, torch.tensor([0, 4, 6, 10, 15, 24, 26, 34, 36]) / 1e3
    )
    assert found.tolist() == pytest.approx([0, 0, 100, 100, 150, 200, 0, 0, 0])


def test_a_single_point_reaches_half_a_period():
    found = curves.on_frames(torch.tensor([100.0]), 0.01, torch.tensor([0.0, 0.004, 0.006]))
    assert found.tolist() == [100, 100, 0]
    assert curves.on_frames(torch.zeros(0), 0.01, torch.zeros(3)).tolist() == [0, 0, 0]


def test_single_jumps_are_smoothed_and_gaps_stay():
    curve = torch.tensor([0.0, 100, 101, 202, 101, 100, 0, 50, 0])
    smooth = curves.smoothed(curve, 3)
    assert smooth.tolist() == [0, 100, 101, 101, 101, 100, 0, 50, 0]
    assert torch.equal(curves.smoothed(curve[None], 1)[0], curve)
    assert curves.smoothed(torch.zeros(0), 3).shape == (0,)
    with pytest.raises(ArgumentValueError, match="odd"):
        curves.smoothed(curve, 4)


def test_keys_are_shifted_and_found_again():
    source = torch.tensor([0.0, 100, 110, 120, 0])
    target = curves.shifted(source, 7.2)
    assert target[0] == 0
    key = curves.automatic_key(PitchStatistics.of(source), PitchStatistics.of([target, target]))
    assert key == 7
    assert curves.automatic_key(PitchStatistics.of(target), PitchStatistics.of(source)) == -7


def test_statistics_are_of_voiced_frames_in_octaves():
    found = PitchStatistics.of([torch.tensor([0.0, 64, 128]), torch.tensor([[256.0, 512]])])
    assert (found.mean, found.median, found.frames) == (7.5, 7.5, 4)
    assert found.deviation == pytest.approx(1.25**0.5)
    with pytest.raises(VoiceError, match="no frame is voiced"):
        PitchStatistics.of(torch.zeros(5))


@pytest.mark.parametrize("under", [False, True])
def test_curves_are_drawn(tmp_path, under):
    seconds = [0.01 * n for n in range(50)]
    hertz = [0.0 if 20 < n < 30 else 110 * 2 ** (n / 50) for n in range(50)]
    mel = (np.random.default_rng(0).random((20, 50)), 0.01, [40 * 1.2**bin for bin in range(20)]) if under else None
    colours = []
    for curve in (hertz, [0.0] * 50):
        plots.pitch_curves(tmp_path / "f0.png", {"found": (seconds, curve)}, mel=mel)
        with Image.open(tmp_path / "f0.png") as picture:
            colours.append(np.asarray(picture.convert("RGB"), dtype=int))
    # the blue of a first curve, which nothing else has
    blue = [(abs(one - [31, 119, 180]).sum(-1) < 12).sum() for one in colours]
    assert blue[0] > 200
    assert blue[1] == 0
