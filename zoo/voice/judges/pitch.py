"""Whether a melody stayed: two pitch curves, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ShapeError


@dataclass(frozen=True)
class PitchAgreement:
    """How well one pitch curve follows another.

    Args:
        correlation: Pearson's, of log2 f0 over the frames that are voiced in both; None where a curve stands still.
        cents: root of the mean squared difference over those frames; None without any.
        voicing: the share of frames that are voiced in both or in neither.
        frames: how many are voiced in both.
    """

    correlation: float | None
    cents: float | None
    voicing: float
    frames: int


def pitch_agreement(source: Tensor, converted: Tensor, *, key: float = 0.0) -> PitchAgreement:
    """Compare two pitch curves.

    Args:
        source: (T,) in Hz, 0 where unvoiced.
        converted: (T',) in Hz; what is missing at its end is unvoiced, what is too much is cut.
        key: semitones that the conversion was asked to move it up.

    Raises:
        ShapeError: the curves are not (T,), or the source is empty.
    """
    if source.ndim != 1 or converted.ndim != 1 or not len(source):
        raise ShapeError(f"f0: expected (T,) twice, got {tuple(source.shape)} and {tuple(converted.shape)}")
    asked = source.double() * 2 ** (key / 12)
    got = F.pad(converted.double(), (0, max(0, len(asked) - len(converted))))[: len(asked)]
    voicing = float(((asked > 0) == (got > 0)).double().mean())
    both = (asked > 0) & (got > 0)
    frames = int(both.sum())
    if not frames:
        return PitchAgreement(None, None, voicing, 0)
    curves = torch.stack([asked[both], got[both]]).log2()
    cents = 1200 * float((curves[1] - curves[0]).square().mean().sqrt())
    deviation = curves - curves.mean(1, keepdim=True)
    size = deviation.square().mean(1).sqrt()
    # a hundredth of a cent: below it, the deviation of a flat curve is rounding
    flat = bool((size < 1e-5).any())
    correlation = None if flat else float((deviation[0] * deviation[1]).mean() / size.prod())
    return PitchAgreement(correlation, cents, voicing, frames)


def together(agreements: Iterable[PitchAgreement]) -> PitchAgreement | None:
    """The agreement over several recordings: means that count each as often as it has frames voiced in both.

    Voicing is the plain mean; None without any recording.
    """
    found = list(agreements)
    if not found:
        return None
    square = _mean([(one.cents**2, one.frames) for one in found if one.cents is not None])
    return PitchAgreement(
        correlation=_mean([(one.correlation, one.frames) for one in found if one.correlation is not None]),
        cents=None if square is None else math.sqrt(square),
        voicing=sum(one.voicing for one in found) / len(found),
        frames=sum(one.frames for one in found),
    )


def _mean(weighted: list[tuple[float, int]]) -> float | None:
    weight = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / weight if weight else None
