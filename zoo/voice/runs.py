"""The runs of a recording that are converted one by one, and how they come together again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from zoo.voice.quiet import voiced

_FADE = 0.01
"""Seconds over which a run that stands alone comes and goes."""


@dataclass(frozen=True)
class Run:
    """A part of a recording that is converted.

    Args:
        start: its first sample.
        stop: the sample behind its last.
        fade_in: samples over which it comes.
        fade_out: samples over which it goes.
    """

    start: int
    stop: int
    fade_in: int
    fade_out: int


def runs(wav: Tensor, rate: int, *, threshold_db: float, max_seconds: float, overlap: float) -> list[Run]:
    """What of a recording is converted: each part that is heard, those that were cut with an overlap.

    Args:
        wav: (L,) in [-1, 1].
        rate: of it, in Hz.
        threshold_db: what is quieter is silence.
        max_seconds: longer runs are cut at a quiet place.
        overlap: seconds that two runs share where they were cut.
    """
    found = voiced(wav, rate, threshold_db=threshold_db, max_seconds=max_seconds)
    if not found:
        return []
    half, fade = round(overlap * rate / 2), round(_FADE * rate)
    # a part may be shorter than the overlap: what two runs share lies within their two parts
    shared = [
        (max(cut - half, start), min(cut + half, stop)) if cut == there else None
        for (start, cut), (there, stop) in pairwise(found)
    ]
    planned = []
    for (start, stop), before, behind in zip(found, [None, *shared], [*shared, None], strict=True):
        begin, end = before[0] if before else start, behind[1] if behind else stop
        alone = min(fade, (end - begin) // 2)
        planned.append(Run(begin, end, before[1] - begin if before else alone, end - behind[0] if behind else alone))
    return planned


def faded(wav: Tensor, run: Run) -> Tensor:
    """A run that comes and goes on straight lines, which add up to one where two overlap."""
    gain = torch.ones(len(wav))
    for count, side in ((run.fade_in, 1), (run.fade_out, -1)):
        count = min(count, len(wav))
        ramp = (torch.arange(count) + 0.5) / max(count, 1)
        if side > 0:
            gain[:count] *= ramp
        elif count:
            gain[-count:] *= ramp.flip(0)
    return wav * gain
