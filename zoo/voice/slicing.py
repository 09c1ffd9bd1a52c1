"""diff-svc's slicer: where it cuts a recording, sample by sample.

A place is silent when no sample of the window that begins there reaches the threshold. Of each silent run the ends
move inward, by half a second at most, to where it is quietest, and runs that follow one another too soon are no cuts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError

_BLOCK = 1 << 24


@dataclass(frozen=True)
class Slice:
    """A part of a recording.

    Args:
        start: its first sample.
        stop: the sample behind its last.
        silent: whether there is nothing to hear.
    """

    start: int
    stop: int
    silent: bool


def slices(
    wav: Tensor,
    sample_rate: int,
    *,
    threshold_db: float = -40.0,
    min_ms: float = 5000.0,
    window_ms: float = 300.0,
    fine_ms: float = 20.0,
    kept_ms: float = 500.0,
) -> list[Slice]:
    """Cut a recording as diff-svc does; together the slices are the whole.

    Args:
        wav: (L,) in [-1, 1].
        sample_rate: in Hz.
        threshold_db: a sample above it is no silence.
        min_ms: what is heard between two silences lasts at least so long; shorter recordings are not cut.
        window_ms: silence lasts at least so long.
        fine_ms: of the window whose root mean square says where it is quietest.
        kept_ms: by which the ends of a silence move inward, at most.

    Raises:
        ArgumentValueError: for windows that do not fit into one another.
    """
    if not (min_ms >= window_ms >= fine_ms > 0 and kept_ms >= fine_ms):
        raise ArgumentValueError("need min_ms >= window_ms >= fine_ms > 0 and kept_ms >= fine_ms")
    least, window, fine, kept = (round(sample_rate * ms / 1000) for ms in (min_ms, window_ms, fine_ms, kept_ms))
    size = len(wav)
    if size <= least:
        return [Slice(0, size, silent=False)] if size else []
    mean = wav.mean()

    def quietest(start: int, stop: int) -> int:
        """Where the root mean square is least, and there where the sample is."""
        there = start + int(_deviation(wav[start:stop], fine).argmin())
        return there + int((wav[there : there + fine] - mean).abs().argmin())

    silences: list[tuple[int, int]] = []
    places = size - window + 1
    for left, right in _silent_runs(wav, mean, 10 ** (threshold_db / 20), window):
        inward = min(kept, (right + window - left) // 2)
        begin = quietest(left, left + inward) if left else 0
        if right == places:  # up to the end
            silences.append((begin if left else quietest(0, inward), size))
            break
        if silences and begin - silences[-1][1] < least and right < places - 1:
            continue
        end = right + window
        silences.append((begin, end if right == places - 1 else quietest(end - inward, end)))
    return list(_alternating(silences, size))


def _silent_runs(wav: Tensor, mean: Tensor, threshold: float, window: int) -> Iterator[tuple[int, int]]:
    """Runs of places whose windows stay below the threshold, as (first, behind the last)."""
    last = -1
    for start in range(0, len(wav), _BLOCK):
        loud = ((wav[start : start + _BLOCK] - mean).abs() >= threshold).nonzero()[:, 0] + start
        if not len(loud):
            continue
        before = torch.cat([torch.tensor([last]), loud[:-1]])
        for index in (loud - before > window).nonzero()[:, 0].tolist():
            yield int(before[index]) + 1, int(loud[index]) - window + 1
        last = int(loud[-1])
    if len(wav) - last > window:
        yield last + 1, len(wav) - window + 1


def _deviation(wav: Tensor, window: int) -> Tensor:
    """The root mean square around the mean, of each window that fits."""
    inside = wav.double()
    sums = F.pad(torch.stack([inside, inside.square()]).cumsum(-1), (1, 0))
    mean, square = (sums[:, window:] - sums[:, :-window]) / window
    deviation: Tensor = (square - mean.square()).clamp(min=0).sqrt()
    return deviation


def _alternating(silences: list[tuple[int, int]], size: int) -> Iterator[Slice]:
    place = 0
    for start, stop in silences:
        if start > place:
            yield Slice(place, start, silent=False)
        if stop > start:
            yield Slice(start, stop, silent=True)
        place = stop
    if place < size:
        yield Slice(place, size, silent=False)
