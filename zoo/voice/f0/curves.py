"""What is done to a pitch curve once it is found: gaps, numbers, keys and statistics.

A curve is (T,) or (B, T) in Hz, 0 where the voice is silent or whispers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.pitch import coarse_pitch, in_octaves
from zoo.voice.base import VoiceError


def unvoiced(f0: Tensor) -> Tensor:
    """Which frames have no pitch: bool, of the shape of f0."""
    return f0 <= 0


def gapless_hz(f0: Tensor, *, floor: float = 0.0) -> Tensor:
    """The curve with straight lines in Hz over its gaps, as DDSP-SVC and diff-svc's crepe draw them.

    Before the first voiced frame and behind the last the curve holds its value.

    Args:
        f0: (T,) or (B, T) in Hz.
        floor: Hz below which nothing lies in the end, also where a whole curve is unvoiced.

    Returns:
        Hz, of the shape of f0.
    """
    if not f0.numel():
        return f0
    places = torch.arange(f0.shape[-1])
    lines = [at_times(row[row > 0], places[row.cpu() > 0], places) for row in f0.reshape(-1, f0.shape[-1])]
    return torch.stack(lines).reshape(f0.shape).to(f0).clamp(min=floor)


def at_times(values: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """Straight lines between points, and level beyond the first and the last.

    Args:
        values: (N,) heights.
        times: (N,) rising.
        wanted: (T,) where the lines are read.

    Returns:
        (T,) float64 on the CPU; 0 where there is no point at all.
    """
    if not len(values):
        return torch.zeros(len(wanted), dtype=torch.float64)
    x, xs, ys = (column.detach().double().cpu().numpy() for column in (wanted, times, values))
    return torch.from_numpy(np.interp(x, xs, ys))


def on_frames(f0: Tensor, period: float, times: Tensor) -> Tensor:
    """A curve that was found every few milliseconds, where the frames are.

    Between two voiced points the value lies on the line between them in Hz; beside an unvoiced one, the nearer of
    the two decides. What lies behind the last point by more than half a period is unvoiced.

    Args:
        f0: (N,) Hz at 0, period, 2 period, ...
        period: seconds.
        times: (T,) seconds of the frames.

    Returns:
        (T,) Hz, in the dtype of f0.
    """
    if not len(f0):
        return f0.new_zeros(len(times))
    place = times.double().to(f0.device) / period
    nearest = (place + 0.5).floor().long()
    left = place.floor().long().clamp(max=len(f0) - 1)
    right = (left + 1).clamp(max=len(f0) - 1)
    line = torch.lerp(f0[left].double(), f0[right].double(), (place - left).clamp(max=1.0)).to(f0.dtype)
    found = line.where((f0[left] > 0) & (f0[right] > 0), f0[nearest.clamp(max=len(f0) - 1)])
    return found.masked_fill(nearest >= len(f0), 0.0)


class Normalised(NamedTuple):
    """A curve as diff-svc stores it.

    Attributes:
        octaves: log2 Hz without gaps, straight lines over them; 0 where a whole curve is unvoiced.
        unvoiced: 1 where there is a gap, 0 elsewhere; float32.
    """

    octaves: Tensor
    unvoiced: Tensor


def normalised(f0: Tensor) -> Normalised:
    """A curve in Hz as diff-svc stores it (``pitch_norm: log``).

    Args:
        f0: (T,) or (B, T) in Hz.
    """
    octaves = in_octaves(f0[None] if f0.ndim == 1 else f0) if f0.numel() else f0
    return Normalised(octaves.reshape(f0.shape), unvoiced(f0).float())


def denormalised(octaves: Tensor, unvoiced: Tensor | None = None) -> Tensor:
    """Hz of gapless log2 Hz.

    Args:
        octaves: (T,) or (B, T).
        unvoiced: positive where the frame becomes 0 Hz, as with ``use_uv``; None leaves no gap.

    Returns:
        Hz, of the shape of octaves.
    """
    hertz = octaves.exp2()
    return hertz if unvoiced is None else hertz.masked_fill(unvoiced > 0, 0.0)


def coarse(
    f0: Tensor,
    *,
    f0_min: float = 40.0,
    f0_max: float = 1100.0,
    bins: int = 256,
    rounding: Literal["half-up", "half-even"] = "half-up",
) -> Tensor:
    """The numbers of diff-svc's pitch bins.

    Its networks round halves up. Its preparation rounded them to the even number, in numpy, and stored bins that no
    network reads; who compares with such files wants the same.

    Args:
        f0: (T,) or (B, T) in Hz.
        f0_min: Hz, the middle of bin 1, where 0 Hz goes too.
        f0_max: Hz, the middle of bin ``bins - 1``.
        bins: one more than there are; 0 is for padding.
        rounding: which of the two.

    Returns:
        int64 of 1..bins - 1, of the shape of f0.
    """
    if rounding == "half-up":
        return coarse_pitch(f0, f0_min=f0_min, f0_max=f0_max, bins=bins)
    hertz = f0.detach().cpu().numpy()
    low, high = (1127 * np.log(1 + edge / 700) for edge in (f0_min, f0_max))
    mel = 1127 * np.log(1 + hertz / 700)
    scaled = np.where(mel > 0, (mel - low) * (bins - 2) / (high - low) + 1, mel)
    return torch.from_numpy(np.rint(scaled.clip(1, bins - 1)).astype(np.int64)).to(f0.device)


def smoothed(f0: Tensor, width: int) -> Tensor:
    """The median of the voiced frames around each voiced frame: single jumps of an octave go, gaps stay.

    Args:
        f0: (T,) or (B, T) in Hz.
        width: frames of the window, odd; 1 changes nothing. Of an even number of voiced frames the lower middle counts.

    Returns:
        Hz, of the shape of f0.

    Raises:
        ArgumentValueError: width is even or below 1.
    """
    if width < 1 or width % 2 == 0:
        raise ArgumentValueError(f"width must be odd, so that a window has a middle, got {width}")
    if not f0.shape[-1]:
        return f0
    heard = f0.masked_fill(unvoiced(f0), torch.nan)
    windows = F.pad(heard, (width // 2, width // 2), value=torch.nan).unfold(-1, width, 1)
    return windows.nanmedian(-1).values.where(~unvoiced(f0), 0.0)


def shifted(f0: Tensor, key: float) -> Tensor:
    """The curve so many semitones higher; gaps stay."""
    return f0 * 2 ** (key / 12)


@dataclass(frozen=True)
class PitchStatistics:
    """Where a voice lies.

    Attributes:
        mean: of log2 Hz over the voiced frames.
        median: of the same.
        deviation: standard deviation of the same, in octaves.
        frames: how many are voiced.
    """

    mean: float
    median: float
    deviation: float
    frames: int

    @classmethod
    def of(cls, curves: Tensor | Iterable[Tensor]) -> PitchStatistics:
        """The statistics of a voice.

        Args:
            curves: a curve of any shape in Hz, or several.

        Raises:
            VoiceError: no frame is voiced.
            ShapeError: a curve is no tensor of floating-point numbers.
        """
        several = [curves] if isinstance(curves, Tensor) else list(curves)
        if any(not curve.is_floating_point() for curve in several):
            raise ShapeError("a pitch curve is floating point, in Hz")
        voiced = [curve[curve > 0].detach().double().cpu().log2() for curve in several]
        octaves = torch.cat(voiced) if voiced else torch.zeros(0)
        if not len(octaves):
            raise VoiceError("no frame is voiced: this voice has no pitch to compare; choose the key yourself")
        return cls(
            mean=float(octaves.mean()),
            median=float(np.median(octaves.numpy())),
            deviation=float(octaves.std(correction=0)),
            frames=len(octaves),
        )


def automatic_key(source: PitchStatistics, target: PitchStatistics) -> int:
    """Whole semitones by which a source is shifted to lie where the target does: the difference of medians."""
    return round((target.median - source.median) * 12)
