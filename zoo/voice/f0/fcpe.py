"""FCPE: a small conformer on a mel, with weights that its package carries."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.voice.audio import resample
from zoo.voice.base import F0, needed
from zoo.voice.f0.curves import on_frames
from zoo.voice.f0.sounds import check_range, frame_times, listen, within

_RATE, _HOP, _WINDOW = 16000, 160, 1024


class Fcpe(F0):
    """The local mean around the likeliest of 360 pitches, every 10 ms (Luo et al. 2025, arXiv 2509.15140).

    Args:
        f0_min: Hz; what is found below it is unvoiced.
        f0_max: Hz; what is found above it is unvoiced.
        threshold: of the likelihood below which a frame is unvoiced, 0..1.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max.
    """

    def __init__(self, *, f0_min: float = 65.0, f0_max: float = 800.0, threshold: float = 0.006) -> None:
        check_range(f0_min, f0_max)
        self.f0_min, self.f0_max, self.threshold = f0_min, f0_max, threshold
        self._device = torch.device("cpu")
        self._net: Any = None

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        if self._net is not None:
            self._net.to(self._device)
        return self

    @torch.no_grad()
    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        wav = listen(wav, sample_rate, hop, frames)
        package = needed("torchfcpe", "f0 method fcpe")
        if not wav.any():
            return torch.zeros(frames)
        wav = resample(wav, sample_rate, _RATE)
        count = len(wav) // _HOP + 1
        wav = F.pad(wav, (0, max(0, _WINDOW - len(wav))))
        # the package tells standard output which device it uses, and of every sample beyond 1
        with contextlib.redirect_stdout(io.StringIO()):
            if self._net is None:
                self._net = package.spawn_bundled_infer_model(device=str(self._device))
            found = self._net(wav[None, :, None].to(self._device), _RATE, threshold=self.threshold)[0, :count, 0].cpu()
        return on_frames(within(found, self.f0_min, self.f0_max), _HOP / _RATE, frame_times(frames, hop, sample_rate))
