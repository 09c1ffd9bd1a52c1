"""Where a voice is heard in a recording, in runs that are not too long."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError

_HOP = 0.01
_AT_ONCE = 1 << 14
"""Hops whose level is computed at once, so that an hour of sound is not copied in float64."""
_KEPT = 0.1
"""Seconds of silence that are kept on either side."""
_GAP = 0.5
"""Seconds of silence that part two runs."""


def voiced(wav: Tensor, sample_rate: int, *, threshold_db: float, max_seconds: float) -> list[tuple[int, int]]:
    """The runs of a recording that are louder than silence, each with a tenth of a second around it.

    Args:
        wav: (L,) in [-1, 1].
        sample_rate: in Hz.
        threshold_db: a hundredth of a second whose root mean square is below is silence.
        max_seconds: longer runs are cut where they are quietest, in their second half at most.

    Returns:
        Pairs of the first sample and the one behind the last.

    Raises:
        ArgumentValueError: max_seconds is below a second.
    """
    if max_seconds < 1:
        raise ArgumentValueError(f"max_seconds is at least 1, got {max_seconds:g}")
    hop = max(1, round(_HOP * sample_rate))
    level = torch.cat([_level(block, hop) for block in torch.split(wav, _AT_ONCE * hop)])
    loud = (20 * level.clamp(min=1e-9).log10() >= threshold_db).nonzero()[:, 0]
    if not len(loud):
        return []
    gap, kept = round(_GAP / _HOP), round(_KEPT / _HOP)
    breaks = (loud.diff() > gap).nonzero()[:, 0]
    starts = loud[torch.cat([torch.zeros(1, dtype=torch.int64), breaks + 1])] - kept
    stops = loud[torch.cat([breaks, torch.tensor([len(loud) - 1])])] + 1 + kept
    runs = []
    most = round(max_seconds / _HOP)
    for start, stop in zip(starts.clamp(min=0).tolist(), stops.clamp(max=len(level)).tolist(), strict=True):
        while stop - start > most:
            half = start + most // 2
            cut = half + int(level[half : start + most].argmin())
            runs.append((start, cut))
            start = cut
        runs.append((start, stop))
    return [(start * hop, min(stop * hop, len(wav))) for start, stop in runs]


def _level(wav: Tensor, hop: int) -> Tensor:
    """The root mean square of each hop, (L / hop rounded up,)."""
    return F.pad(wav, (0, -len(wav) % hop)).reshape(-1, hop).double().square().mean(1).sqrt()
