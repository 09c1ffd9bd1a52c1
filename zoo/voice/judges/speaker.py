"""Whose voice it is: the GE2E speaker encoder of Resemblyzer, and cosines between what it hears.

Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification", arXiv 1710.10467.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ShapeError
from zoo.voice.base import VoiceError
from zoo.voice.judges.packages import folder
from zoo.voice.mel import HifiGanMel

SAMPLE_RATE = 16000

_WINDOW, _HOP, _BINS = 400, 160, 40
_FRAMES = 160
"""Of a partial utterance."""
_STEP = 77
"""Frames from one partial utterance to the next: 1.3 of them a second."""
_COVERED = 0.75
"""How much of the last partial utterance must be sound."""
_LOUDNESS = 10 ** (-30 / 20)
"""Root mean square of what the encoder hears: -30 dB of full scale."""


class SpeakerEncoder(nn.Module):
    """Three LSTM layers over mel power, the last state of which is the voice.

    Random weights; :func:`pretrained` has those that were trained to tell speakers apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BINS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Voices (B, 256) of length 1, no number below 0, from mels: (B, T, 40)."""
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)

    @torch.no_grad()
    def embed(self, wav: Tensor) -> Tensor:
        """The voice of a recording, the mean over its partial utterances of 1.6 s.

        Every recording is brought to one loudness. Resemblyzer only raises quiet ones, but mels without a logarithm
        make loudness a trait of the voice: at 0.3 of its loudness, a recording has a cosine of 0.84 to itself.

        Args:
            wav: (L,) float32 in [-1, 1] at 16 kHz; silence inside it counts, so it should hold little.

        Returns:
            (256,) of length 1.

        Raises:
            ShapeError: wav is no (L,) floating point.
            VoiceError: it is empty, silent or not finite.
        """
        if wav.ndim != 1 or not wav.is_floating_point():
            raise ShapeError(f"wav: expected (L,) floating point, got {wav.dtype} of {tuple(wav.shape)}")
        loudness = wav.square().mean().sqrt() if len(wav) else 0.0
        if not 0 < loudness < math.inf:
            raise VoiceError("speaker similarity: a recording that is silent, or not finite, has no voice")
        wav = wav * (_LOUDNESS / float(loudness))
        starts = _starts(len(wav))
        wav = F.pad(wav, (0, max(0, (starts[-1] + _FRAMES) * _HOP - len(wav))))
        mel = front_end(wav)
        partial = self(torch.stack([mel[start : start + _FRAMES] for start in starts]))
        return F.normalize(partial.mean(0), dim=0)


def pretrained() -> SpeakerEncoder:
    """The encoder with the weights that the package resemblyzer carries.

    Raises:
        VoiceError: the package is not installed, or its weights are others.
    """
    file = folder("resemblyzer", "speaker similarity") / "pretrained.pt"
    encoder = SpeakerEncoder().eval()
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
        encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    except (OSError, KeyError, RuntimeError) as error:
        raise VoiceError(f"{file}: not the weights of the speaker encoder: {error}") from error
    return encoder


def front_end(wav: Tensor) -> Tensor:
    """Mel power of (L,) samples at 16 kHz, no logarithm: (1 + L // 160, 40)."""
    spectrum = torch.stft(
        wav, _WINDOW, _HOP, window=torch.hann_window(_WINDOW), pad_mode="constant", return_complex=True
    )
    return (_triangles() @ spectrum.abs().square()).T


def centroid(voices: Tensor) -> Tensor:
    """The voice in the middle of several: voices (N, D) of length 1 to (D,) of length 1."""
    return F.normalize(voices.mean(0), dim=0)


def centroids_without_each(voices: Tensor) -> Tensor:
    """For each voice the centroid of the others, so that a recording is not compared with itself.

    Args:
        voices: (N, D) of length 1, N >= 2.

    Returns:
        (N, D) of length 1.

    Raises:
        ShapeError: fewer than two voices.
    """
    if voices.ndim != 2 or len(voices) < 2:
        raise ShapeError(f"voices: expected (N, D) with N >= 2, got {tuple(voices.shape)}")
    return F.normalize(voices.sum(0) - voices, dim=1)


def _starts(samples: int) -> list[int]:
    """The first frames of the partial utterances; a short recording has one, which is padded with silence."""
    frames = math.ceil((samples + 1) / _HOP)
    starts = list(range(0, max(1, frames - _FRAMES + _STEP + 1), _STEP))
    covered = (samples / _HOP - starts[-1]) / _FRAMES
    return starts[:-1] if covered < _COVERED and len(starts) > 1 else starts


def _triangles() -> Tensor:
    mel = HifiGanMel(
        sample_rate=SAMPLE_RATE, n_fft=_WINDOW, hop=_HOP, win=_WINDOW, bins=_BINS, fmin=0.0, fmax=SAMPLE_RATE / 2
    )
    return mel.basis
