"""Sound from a mel without weights: magnitudes by inversion, phases by iteration."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.core.noise import mixed
from zoo.voice.base import Vocoder
from zoo.voice.mel import Mel
from zoo.voice.vocoders.inversion import centre, magnitudes
from zoo.voice.vocoders.source import track

_LOUD = 0.3
"""Of the noise beside the pulses that phases start from."""


class GriffinLim(Vocoder):
    """Phases that fit the magnitudes of a mel: each step goes to the nearest spectrum that a sound can have.

        c_n = |S| e^{i arg t_{n-1}} made a sound and taken apart again;   t_n = c_n + momentum (c_n - c_{n-1})

    Where the pitch is given, the phases start from those of its pulses, otherwise anywhere.

    Args:
        iterations: of the phases.
        momentum: of the fast algorithm, 0 for the plain one; below 1.
        mel: whose mels are inverted.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.

    References:
        Griffin & Lim 1984; Perraudin, Balazs & Sondergaard 2013, A fast Griffin-Lim algorithm, algorithm 2.
    """

    needs_f0: ClassVar[bool] = False

    def __init__(self, *, iterations: int = 64, momentum: float = 0.99, mel: Mel) -> None:
        if iterations < 0 or not 0 <= momentum < 1:
            raise ArgumentValueError(f"need iterations >= 0 and 0 <= momentum < 1, got {iterations} and {momentum:g}")
        self.iterations, self.momentum, self.mel = iterations, momentum, mel
        self.log, self.sample_rate, self.hop = mel.log, mel.sample_rate, mel.hop

    @torch.no_grad()
    def __call__(self, mel: Tensor, f0: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Sound from mels, on their device.

        Args:
            mel: (B, M, T) in the logarithm ``log``.
            f0: (B, T) in Hz, 0 where unvoiced; without it, voices are hoarser.
            seed: of the phases that it starts from; every item has the same.

        Returns:
            (B, T hop) float32 in [-1, 1].

        Raises:
            ShapeError: the mel has another number of bins, or f0 does not fit it.
        """
        if f0 is not None and f0.shape != (len(mel), mel.shape[-1]):
            raise ShapeError(f"griffin-lim: expected f0 of shape (B, T) of the mel, got {tuple(f0.shape)}")
        size = magnitudes(mel, self.mel)
        frames = mel.shape[-1]
        if not frames:
            return size.new_zeros(len(size), 0)
        # a frame more at each end, so that no window that is asked for lies half outside
        size = torch.cat([size[..., :1], size, size[..., -1:]], -1)
        wav = self._wave(size, self._start(size, f0, seed))
        begin = self.hop - centre(self.mel)
        return wav[:, begin : begin + frames * self.hop].clamp(-1, 1)

    def _wave(self, size: Tensor, start: Tensor) -> Tensor:
        """size: (B, F, T), start: (B, L) whose phases are taken -> (B, L)."""
        guess, before = self._spectrum(start), torch.zeros((), device=size.device)
        for _ in range(self.iterations):
            fitting = self._spectrum(self._sound(size * _phase(guess)))
            guess, before = fitting + self.momentum * (fitting - before), fitting
        return self._sound(size * _phase(guess))

    def _start(self, size: Tensor, f0: Tensor | None, seed: int) -> Tensor:
        samples = (size.shape[-1] - 1) * self.hop
        generator = torch.Generator().manual_seed(mixed(seed))
        noise = torch.randn(samples, generator=generator).to(size).expand(len(size), -1)
        if f0 is None:
            return noise
        f0 = torch.cat([f0[:, :1], f0], -1).to(size)
        phase = track(f0, self.sample_rate, self.hop, glide=True).samples().flatten(1)
        pulses = (phase % 1).diff(dim=-1, prepend=phase[:, :1]) < 0
        return torch.where(
            (f0 > 0).repeat_interleave(self.hop, -1), pulses + _LOUD * noise / math.sqrt(self.hop), noise
        )

    def _spectrum(self, wav: Tensor) -> Tensor:
        return torch.stft(wav, **self._frames(wav), pad_mode="constant", return_complex=True)

    def _sound(self, spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, **self._frames(spectrum.real), length=(spectrum.shape[-1] - 1) * self.hop)

    def _frames(self, like: Tensor) -> dict[str, Any]:
        window = torch.hann_window(self.mel.win, device=like.device, dtype=like.dtype)
        return {"n_fft": self.mel.n_fft, "hop_length": self.hop, "win_length": self.mel.win, "window": window}


def _phase(spectrum: Tensor) -> Tensor:
    return spectrum / spectrum.abs().clamp(min=torch.finfo(spectrum.real.dtype).tiny)
