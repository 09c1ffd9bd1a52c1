"""Mel cepstra: units that need no weights, and know the voice better than a trained encoder does."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.voice.base import Units
from zoo.voice.mel import HifiGanMel
from zoo.voice.units.sounds import RATE, listen

_N_FFT, _BINS = 640, 64


class MFCC(Units):
    """The first cepstra of a log mel and how they change; their mean over the recording, the voice's, is taken away.

        c_k = sqrt(2 / M) sum_m log_mel[m] cos(pi k (m + 1/2) / M),   k = 1, 2, ...
        d_k[n] = (c_k[n + 1] - c_k[n - 1]) / 2

    Args:
        channels: of a unit; even, half of them are cepstra and half their changes.
        rate: units a second.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    def __init__(self, *, channels: int = 40, rate: float = 50.0) -> None:
        if channels % 2 or not 2 <= channels <= 2 * (_BINS - 1):
            raise ArgumentValueError(f"channels is an even number from 2 to {2 * (_BINS - 1)}, got {channels}")
        if not RATE / _N_FFT <= rate <= RATE:
            raise ArgumentValueError(f"rate is from {RATE / _N_FFT:g} to {RATE} a second, got {rate:g}")
        self.channels, self.rate = channels, rate

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        wav = listen(wav, sample_rate, who="mfcc")
        hop = round(RATE / self.rate)
        mel = HifiGanMel(sample_rate=RATE, n_fft=_N_FFT, hop=hop, win=_N_FFT, bins=_BINS, fmin=40.0)
        log = mel(F.pad(wav, (0, max(0, hop - len(wav)))))  # (M, U)
        cepstra = _cosines(self.channels // 2) @ (log - log.mean(1, keepdim=True))
        around = F.pad(cepstra[None], (1, 1), mode="replicate")[0]
        return torch.cat([cepstra, (around[:, 2:] - around[:, :-2]) / 2]).T.contiguous()


def _cosines(count: int) -> Tensor:
    """(count, M), from k = 1: the sum of a frame is its loudness, which is not what was said."""
    middle = (torch.arange(_BINS) + 0.5) * math.pi / _BINS
    return math.sqrt(2 / _BINS) * torch.cos(torch.arange(1, count + 1)[:, None] * middle)
