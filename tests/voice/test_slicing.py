"""Where recordings are cut: diff-svc's slicer, sample by sample, and the runs that conversion makes."""

import math
from itertools import pairwise

import pytest
import torch

from zoo.core.errors import ArgumentValueError
from zoo.voice import slicing
from zoo.voice.quiet import voiced
from zoo.voice.slicing import slices

RATE = 8000


def speech(*seconds):
    """A tone and silence in turns, so many seconds each."""
    parts = []
    for index, length in enumerate(seconds):
        time = torch.arange(int(length * RATE)) / RATE
        parts.append((0.4 if index % 2 == 0 else 1e-4) * torch.sin(2 * math.pi * 220 * time))
    return torch.cat(parts)


def slow_slices(wav, threshold_db=-40.0):
    """The definition, place by place: which of them are silent."""
    window = round(RATE * 0.3)
    loudest = (wav - wav.mean()).abs().unfold(0, window, 1).amax(1)
    return 20 * loudest.clamp(min=1e-12).log10() < threshold_db


def test_slices_are_the_whole():
    wav = speech(6, 1, 7, 0.6, 0.5, 2)
    found = slices(wav, RATE)
    assert found[0].start == 0
    assert found[-1].stop == len(wav)
    assert all(one.stop == two.start for one, two in pairwise(found))
    assert [one.silent for one in found] == [False, True] * 3


def test_a_cut_lies_in_silence():
    wav = speech(6, 1, 7)
    silent = next(one for one in slices(wav, RATE) if one.silent)
    quiet_places = slow_slices(wav)
    assert quiet_places[silent.start]
    assert 6 * RATE - 200 <= silent.start < silent.stop <= 7 * RATE + 200


def test_what_is_heard_between_cuts_is_long_enough():
    # the second pause comes too soon after the first
    found = slices(speech(6, 1, 2, 1, 6), RATE)
    assert [one.silent for one in found].count(True) == 1


@pytest.mark.parametrize(
    ("wav", "silent"), [(torch.zeros(0), []), (speech(2), [False]), (torch.zeros(6 * RATE), [True])]
)
def test_edge_cases(wav, silent):
    assert [one.silent for one in slices(wav, RATE)] == silent


def test_blocks_change_nothing(monkeypatch):
    wav = speech(6, 1, 7, 2, 5.5, 0.4)
    whole = slices(wav, RATE)
    monkeypatch.setattr(slicing, "_BLOCK", 1000)
    assert slices(wav, RATE) == whole


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentValueError, match="window_ms"):
        slices(speech(1), RATE, window_ms=9000)


def test_runs_are_what_is_heard():
    wav = speech(2, 1, 3)
    (first, one), (two, last) = voiced(wav, RATE, threshold_db=-40, max_seconds=10)
    assert first == 0
    assert last == len(wav)
    # a tenth of a second of silence is kept
    assert one == pytest.approx(2.1 * RATE, abs=160)
    assert two == pytest.approx(2.9 * RATE, abs=160)


def test_a_short_pause_parts_nothing():
    assert len(voiced(speech(2, 0.3, 3), RATE, threshold_db=-40, max_seconds=10)) == 1


def test_long_runs_are_cut_where_it_is_quiet():
    wav = speech(7, 0.2, 8)
    (_, cut), (there, _) = voiced(wav, RATE, threshold_db=-40, max_seconds=10)
    assert cut == there
    assert 7 * RATE <= cut <= 7.2 * RATE


@pytest.mark.parametrize("seconds", [3.0, 60.0])
def test_runs_are_never_too_long(seconds):
    wav = 0.3 * torch.rand(int(seconds * RATE), generator=torch.Generator().manual_seed(1))
    found = voiced(wav, RATE, threshold_db=-40, max_seconds=2)
    assert found[0][0] == 0
    assert found[-1][1] == len(wav)
    assert all(start < stop <= start + 2 * RATE for start, stop in found)


def test_silence_has_no_runs():
    assert voiced(torch.zeros(5 * RATE), RATE, threshold_db=-40, max_seconds=10) == []
    assert voiced(torch.zeros(0), RATE, threshold_db=-40, max_seconds=10) == []
    with pytest.raises(ArgumentValueError, match="at least 1"):
        voiced(speech(2), RATE, threshold_db=-40, max_seconds=0.5)
