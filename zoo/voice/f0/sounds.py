"""What the pitch methods check before they listen, and how they come from their own frames to those asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import VoiceError


def check_range(f0_min: float, f0_max: float) -> None:
    """Refuse a range of pitch that is none.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max.
    """
    if not 0 < f0_min < f0_max:
        raise ArgumentValueError(f"need 0 < f0_min < f0_max, in Hz, got {f0_min:g} and {f0_max:g}")


def listen(wav: Tensor, sample_rate: int, hop: int, frames: int) -> Tensor:
    """What a method was called with, checked.

    Args:
        wav: (L,) floating point.
        sample_rate: of it, in Hz.
        hop: samples from one frame to the next.
        frames: how many are wanted.

    Returns:
        (L,) float32 on the CPU.

    Raises:
        ShapeError: wav is no row of floating-point samples.
        ArgumentValueError: a number is below 1, or frames below 0.
        VoiceError: a sample is nan or infinite, in which the methods' searches for peaks never end or crash.
    """
    if wav.ndim != 1 or not wav.is_floating_point():
        raise ShapeError(f"wav: expected (L,) floating point, got {wav.dtype} of {tuple(wav.shape)}")
    if min(sample_rate, hop) < 1 or frames < 0:
        raise ArgumentValueError(
            f"need sample_rate and hop from 1 and frames from 0, got {sample_rate}, {hop} and {frames}"
        )
    wav = wav.detach().to("cpu", torch.float32)
    if not wav.isfinite().all():
        at = int((~wav.isfinite()).nonzero()[0, 0])
        raise VoiceError(f"the sound is broken: sample {at} is {float(wav[at])}; write the file anew without it")
    return wav


def fit(f0: Tensor, frames: int, *, left: int = 0) -> Tensor:
    """(N,) behind ``left`` unvoiced frames, cut or filled up with unvoiced ones: (frames,) float32."""
    out = torch.zeros(frames)
    kept = f0[: max(0, frames - left)]
    out[left : left + len(kept)] = kept
    return out


def within(f0: Tensor, f0_min: float, f0_max: float) -> Tensor:
    """The curve with 0 where it leaves the range."""
    return f0.where((f0 >= f0_min) & (f0 <= f0_max), 0.0)


def frame_times(frames: int, hop: int, sample_rate: int) -> Tensor:
    """Seconds of the samples 0, hop, 2 hop, ...: (frames,) float64."""
    return torch.arange(frames, dtype=torch.float64) * hop / sample_rate
