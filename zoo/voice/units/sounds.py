"""What unit encoders check and bring to their rate before they listen."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.audio import resample
from zoo.voice.base import VoiceError

RATE = 16_000
"""Of all published encoders, in Hz."""


def listen(wav: Tensor, sample_rate: int, *, who: str, least: int = 1) -> Tensor:
    """What an encoder was called with, checked, at 16 kHz.

    Args:
        wav: (L,) floating point.
        sample_rate: of it, in Hz.
        who: the encoder, as messages call it.
        least: samples at 16 kHz that it needs.

    Returns:
        (L',) float32 on the CPU.

    Raises:
        ShapeError: wav is no row of floating-point samples.
        ArgumentValueError: the rate is below 1.
        VoiceError: it is too short, or a sample is nan or infinite.
    """
    if wav.ndim != 1 or not wav.is_floating_point():
        raise ShapeError(f"{who}: wav: expected (L,) floating point, got {wav.dtype} of {tuple(wav.shape)}")
    if sample_rate < 1:
        raise ArgumentValueError(f"{who}: sample_rate is from 1, got {sample_rate}")
    wav = wav.detach().to("cpu", torch.float32)
    if not wav.isfinite().all():
        at = int((~wav.isfinite()).nonzero()[0, 0])
        raise VoiceError(f"{who}: the sound is broken: sample {at} is {float(wav[at])}; write the file anew without it")
    heard = resample(wav, sample_rate, RATE) if len(wav) else wav
    if len(heard) < least:
        raise VoiceError(
            f"{who}: the sound is too short to encode: {len(wav)} samples at {sample_rate} Hz are "
            f"{1000 * len(heard) / RATE:.4g} ms, the shortest is {1000 * least / RATE:.4g} ms"
        )
    return heard
