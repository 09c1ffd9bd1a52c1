"""Loudness: a voice that is as loud as the one it was made from, and silent where that was silent."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.voice.features import volume

_FLOOR = 1e-4
"""Root mean square below which nothing is made louder: it is the noise of a room."""
_MOST = 4.0
"""By which a sample is made louder, at most."""
_AROUND = 4
"""Frames on either side of a loud one that the gate leaves open."""


def matched(wav: Tensor, like: Tensor, *, hop: int, mix: float = 1.0) -> Tensor:
    """Sound with the loudness of another, frame by frame.

    Args:
        wav: (L,) whose loudness is changed.
        like: (L,) whose loudness it gets.
        hop: samples of a frame.
        mix: 0 leaves it, 1 takes the other's; between them by powers.

    Returns:
        (L,).
    """
    if not len(wav) or not mix:
        return wav
    ours, theirs = (_smooth(volume(one, hop)).clamp(min=_FLOOR) for one in (wav, like))
    gain = (theirs / ours).pow(mix).clamp(max=_MOST)
    return wav * _on_samples(gain, hop, len(wav))


def gated(wav: Tensor, source: Tensor, *, hop: int, threshold_db: float = -60.0) -> Tensor:
    """Sound that is silent where its source is, but for four frames around.

    Args:
        wav: (L,).
        source: (L,) that it was made from.
        hop: samples of a frame.
        threshold_db: of the root mean square of a frame.

    Returns:
        (L,).
    """
    if not len(wav):
        return wav
    loud = (volume(source, hop) > 10 ** (threshold_db / 20)).to(wav.dtype)
    wide = F.max_pool1d(loud[None, None], 2 * _AROUND + 1, stride=1, padding=_AROUND)[0, 0]
    return wav * _on_samples(wide, hop, len(wav))


def _smooth(level: Tensor, frames: int = 5) -> Tensor:
    """The mean of the frames around, so that gains do not follow the periods of a low voice."""
    return F.avg_pool1d(level[None, None], frames, stride=1, padding=frames // 2, count_include_pad=False)[0, 0]


def _on_samples(frames: Tensor, hop: int, samples: int) -> Tensor:
    """Values of the frames around 0, hop, 2 hop, ..., on straight lines between them."""
    place = torch.arange(samples, device=frames.device, dtype=torch.float64) / hop
    before = place.floor().long().clamp(max=len(frames) - 1)
    after = (before + 1).clamp(max=len(frames) - 1)
    return torch.lerp(frames[before], frames[after], (place - before).to(frames.dtype))
