"""Which unit a mel frame belongs to, by the old rule and by the clock."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.voice.units.align import mel2ph

RECORDED = load_file(Path(__file__).parents[1] / "golden/voice/mel2ph_align/io.safetensors")


@pytest.mark.parametrize("case", RECORDED)
def test_the_old_rule_is_diff_svcs(case):
    frames, units = map(int, re.fullmatch(r"mel2ph_T(\d+)_U(\d+)", case).groups())
    assert torch.equal(mel2ph(units, frames, rule="diff-svc"), RECORDED[case].long())


@pytest.mark.parametrize(("rate", "hop"), [(44_100, 512), (24_000, 128), (16_000, 200), (22_050, 256)])
def test_frames_get_the_unit_whose_centre_is_nearest(rate, hop):
    frames = 400
    count = frames * hop * 50 // rate + 1
    places = mel2ph(count, frames, per_frame=50 * hop / rate)
    middles = (torch.arange(frames, dtype=torch.float64) + 0.5) * hop / rate
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) / 50
    away = (middles[:, None] - centres).abs()
    # half way between two, either is nearest
    assert (away.gather(1, places[:, None] - 1)[:, 0] <= away.min(1).values + 1e-9).all()


def test_frames_behind_the_last_unit_get_the_last():
    assert mel2ph(3, 6, per_frame=1.0).tolist() == [1, 2, 3, 3, 3, 3]
    assert mel2ph(2, 8).tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert mel2ph(0, 2).tolist() == [0, 0]
    assert mel2ph(0, 2, rule="diff-svc").tolist() == [0, 0]
    assert mel2ph(4, 0).tolist() == []
