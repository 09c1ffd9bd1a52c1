"""Mel spectrograms: where the (B, 1, M, T) of a voice model comes from.

A frame is the window of ``win`` samples around its place, every ``hop`` samples; its spectrum of ``n_fft`` points is
added up under M triangles that are equally wide on Slaney's mel scale and of equal area, and the logarithm taken:

    mel[m, n] = log(max(floor, sum_k basis[m, k] |STFT[k, n]|))

The four analyses differ in what stands before the first sample and behind the last, in what keeps the root of a zero
from being steep, in the floor and in the logarithm.
"""

from __future__ import annotations

import functools
import math
from abc import ABC
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import LogBase

_LOG10_OF_E = 0.434294
"""What diff-svc turns natural logarithms into decimal ones with."""

_BLOCK = 4096
"""Frames that are transformed at once: an hour of sound fits in memory, and the result does not change."""


@dataclass(frozen=True, kw_only=True)
class Mel(ABC):
    """A mel analysis.

    Args:
        sample_rate: of the sound, in Hz.
        n_fft: points of the transform.
        hop: samples from frame to frame.
        win: samples of the Hann window, at most n_fft.
        bins: M, the number of triangles.
        fmin: Hz, where the first begins.
        fmax: Hz, where the last ends.

    Raises:
        ArgumentValueError: for sizes that make no analysis; the message names them.
    """

    sample_rate: int
    n_fft: int
    hop: int
    win: int
    bins: int
    fmin: float
    fmax: float

    epsilon: ClassVar[float] = 0.0
    """Added under the root of |STFT|^2."""
    floor: ClassVar[float] = 1e-5
    log: ClassVar[LogBase] = "ln"

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.n_fft, self.hop, self.win, self.bins) < 1:
            raise ArgumentValueError("sample_rate, n_fft, hop, win and bins are numbers from 1")
        if not self.hop <= self.win <= self.n_fft:
            raise ArgumentValueError(f"need hop <= win <= n_fft, got {self.hop}, {self.win} and {self.n_fft}")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ArgumentValueError(
                f"need 0 <= fmin < fmax <= {self.sample_rate / 2:g} Hz, half the sample rate, "
                f"got {self.fmin:g} and {self.fmax:g}"
            )

    @property
    def basis(self) -> Tensor:
        """The triangles: (bins, n_fft // 2 + 1) float32."""
        return _basis(self.sample_rate, self.n_fft, self.bins, self.fmin, self.fmax)

    def frames(self, samples: int, *, key_shift: float = 0.0, speed: float = 1.0) -> int:
        """How many frames so many samples have."""
        n_fft, win, hop = self._scaled(key_shift, speed)
        return max(0, (samples + sum(self._edges(n_fft, win, hop)) - n_fft) // hop + 1) if samples else 0

    def __call__(self, wav: Tensor, *, key_shift: float = 0.0, speed: float = 1.0) -> Tensor:
        """The mel of sound.

        Args:
            wav: (L,) or (B, L), in [-1, 1], on any device.
            key_shift: semitones by which the timbre is moved up, by a window that is longer by 2^(key_shift / 12), of
                which the first n_fft // 2 + 1 frequencies are taken as if they were those of the plain window.
            speed: of the hop: 2 halves the number of frames.

        Returns:
            (M, T) or (B, M, T) in the logarithm ``log``.

        Raises:
            ShapeError: wav is neither (L,) nor (B, L), or is no floating point.
            ArgumentValueError: the shift or the speed leaves no window.
        """
        if wav.ndim not in (1, 2) or not wav.is_floating_point():
            raise ShapeError(f"wav: expected (L,) or (B, L) floating point, got {wav.dtype} of {tuple(wav.shape)}")
        blocks = list(self.stream([wav], key_shift=key_shift, speed=speed))
        return torch.cat(blocks, -1) if blocks else wav.new_empty((*wav.shape[:-1], self.bins, 0))

    def stream(self, chunks: Iterable[Tensor], *, key_shift: float = 0.0, speed: float = 1.0) -> Iterator[Tensor]:
        """The same, block by block, from sound that comes in pieces.

        Args:
            chunks: (..., L_i), which follow one another.
            key_shift: as in a call.
            speed: as in a call.

        Yields:
            (..., M, T_i); together the mel of the whole.
        """
        n_fft, win, hop = self._scaled(key_shift, speed)
        edges = self._edges(n_fft, win, hop)
        chunks = (chunk for chunk in chunks if chunk.shape[-1])
        for wav in _runs(self._padded(chunks, *edges), n_fft, hop):
            spectrum = torch.stft(
                # a quiet frequency beside a loud one drowns in the rounding of float32
                wav.reshape(-1, wav.shape[-1]).double(),
                n_fft,
                hop_length=hop,
                win_length=win,
                window=_hann(win, wav.device),
                center=False,
                return_complex=True,
            )
            size = (spectrum.real.square() + spectrum.imag.square() + self.epsilon).sqrt()
            if (n_fft, win) != (self.n_fft, self.win):
                wanted = self.n_fft // 2 + 1
                size = F.pad(size, (0, 0, 0, max(0, wanted - size.shape[1])))[:, :wanted] * (self.win / win)
            mel = self._logarithm((self.basis.to(size) @ size).clamp(min=self.floor))
            yield mel.to(wav.dtype).reshape(*wav.shape[:-1], self.bins, -1)

    def _scaled(self, key_shift: float, speed: float) -> tuple[int, int, int]:
        """n_fft, win and hop of a shifted or faster analysis."""
        if not abs(key_shift) <= 60 or not 0 < speed < math.inf:
            raise ArgumentValueError(f"a key shift of at most 60 and a finite speed, got {key_shift:g} and {speed:g}")
        factor = 2 ** (key_shift / 12)
        n_fft, win, hop = round(self.n_fft * factor), round(self.win * factor), round(self.hop * speed)
        if not 1 <= hop <= win:
            raise ArgumentValueError(f"a key shift of {key_shift:g} and a speed of {speed:g} leave no window")
        return n_fft, win, hop

    def _edges(self, n_fft: int, win: int, hop: int) -> tuple[int, int]:
        """Samples that are put before the first one and behind the last."""
        return (n_fft - hop) // 2, (n_fft - hop) // 2

    def _padded(self, chunks: Iterable[Tensor], left: int, right: int) -> Iterator[Tensor]:
        return _reflected(chunks, left, right)

    def _logarithm(self, mel: Tensor) -> Tensor:
        return mel.log()


@dataclass(frozen=True, kw_only=True)
class HifiGanMel(Mel):
    """The mel of HiFi-GAN: natural logarithm, edges reflected, 1e-9 under the root.

    Args:
        sample_rate: of the sound, in Hz.
        n_fft: points of the transform.
        hop: samples from frame to frame.
        win: samples of the Hann window, at most n_fft.
        bins: M, the number of triangles.
        fmin: Hz, where the first begins.
        fmax: Hz, where the last ends.

    Raises:
        ArgumentValueError: for sizes that make no analysis; the message names them.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop: int = 256
    win: int = 1024
    bins: int = 80
    fmin: float = 0.0
    fmax: float = 8000.0
    epsilon: ClassVar[float] = 1e-9


@dataclass(frozen=True, kw_only=True)
class NsfHifiGanMel(Mel):
    """The mel of diff-svc at 44.1 kHz: as HiFi-GAN's, in decimal logarithms.

    Args:
        sample_rate: of the sound, in Hz.
        n_fft: points of the transform.
        hop: samples from frame to frame.
        win: samples of the Hann window, at most n_fft.
        bins: M, the number of triangles.
        fmin: Hz, where the first begins.
        fmax: Hz, where the last ends.

    Raises:
        ArgumentValueError: for sizes that make no analysis; the message names them.
    """

    sample_rate: int = 44100
    n_fft: int = 2048
    hop: int = 512
    win: int = 2048
    bins: int = 128
    fmin: float = 40.0
    fmax: float = 16000.0
    epsilon: ClassVar[float] = 1e-9
    log: ClassVar[LogBase] = "log10"

    def _logarithm(self, mel: Tensor) -> Tensor:
        return mel.log() * _LOG10_OF_E


@dataclass(frozen=True, kw_only=True)
class OpenvpiMel(Mel):
    """The mel of openvpi's DiffSinger and of DDSP-SVC: nothing under the root, edges by the window.

    Args:
        sample_rate: of the sound, in Hz.
        n_fft: points of the transform.
        hop: samples from frame to frame.
        win: samples of the Hann window, at most n_fft.
        bins: M, the number of triangles.
        fmin: Hz, where the first begins.
        fmax: Hz, where the last ends.

    Raises:
        ArgumentValueError: for sizes that make no analysis; the message names them.
    """

    sample_rate: int = 44100
    n_fft: int = 2048
    hop: int = 512
    win: int = 2048
    bins: int = 128
    fmin: float = 40.0
    fmax: float = 16000.0

    def _edges(self, n_fft: int, win: int, hop: int) -> tuple[int, int]:
        return (win - hop) // 2, (win - hop + 1) // 2


@dataclass(frozen=True, kw_only=True)
class PwgMel(Mel):
    """The mel of diff-svc at 24 kHz and of the first DiffSinger: decimal logarithm, frames centred, silence around.

    Args:
        sample_rate: of the sound, in Hz.
        n_fft: points of the transform.
        hop: samples from frame to frame.
        win: samples of the Hann window, at most n_fft.
        bins: M, the number of triangles.
        fmin: Hz, where the first begins.
        fmax: Hz, where the last ends.

    Raises:
        ArgumentValueError: for sizes that make no analysis; the message names them.
    """

    sample_rate: int = 24000
    n_fft: int = 512
    hop: int = 128
    win: int = 512
    bins: int = 80
    fmin: float = 30.0
    fmax: float = 12000.0
    floor: ClassVar[float] = 1e-6
    log: ClassVar[LogBase] = "log10"

    def _edges(self, n_fft: int, win: int, hop: int) -> tuple[int, int]:
        return n_fft // 2, n_fft // 2

    def _padded(self, chunks: Iterable[Tensor], left: int, right: int) -> Iterator[Tensor]:
        last = None
        for last in chunks:
            yield F.pad(last, (left, 0))
            left = 0
        if last is not None:
            yield last.new_zeros((*last.shape[:-1], right))

    def _logarithm(self, mel: Tensor) -> Tensor:
        return mel.log10()


def _reflected(chunks: Iterable[Tensor], left: int, right: int) -> Iterator[Tensor]:
    """The pieces with the sound mirrored around its first and its last sample; with silence where it is too short."""
    held: Tensor | None = None
    begun = False
    for chunk in chunks:
        held = chunk if held is None else torch.cat([held, chunk], -1)
        size = held.shape[-1]
        if not begun and size > max(left, right):
            yield held[..., 1 : left + 1].flip(-1)
            begun = True
        if begun and size > right + 1:
            yield held[..., : size - right - 1]
            held = held[..., size - right - 1 :]
    if held is None:
        return
    if begun:
        yield held
        yield held[..., -right - 1 : -1].flip(-1)
    else:
        yield F.pad(held, (left, right))


def _runs(pieces: Iterable[Tensor], n_fft: int, hop: int) -> Iterator[Tensor]:
    """Runs of samples that hold whole frames, at most a block of them, each run beginning where the next frame does."""
    held: Tensor | None = None
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], -1)
        while held.shape[-1] >= (_BLOCK - 1) * hop + n_fft:
            yield held[..., : (_BLOCK - 1) * hop + n_fft]
            held = held[..., _BLOCK * hop :]
    if held is not None and held.shape[-1] >= n_fft:
        yield held


@functools.lru_cache(maxsize=8)
def _basis(sample_rate: int, n_fft: int, bins: int, fmin: float, fmax: float) -> Tensor:
    """Triangles of area 1 over the frequencies of a transform (Slaney 1998, Auditory Toolbox).

    In float64: in float32, edges that lie beside a frequency of the transform move log mels of quiet bins by 1e-3.
    """
    ends = torch.tensor([fmin, fmax], dtype=torch.float64)
    low, high = _to_mels(ends).tolist()
    edges = _to_hertz(torch.linspace(low, high, bins + 2, dtype=torch.float64))[:, None]
    frequency = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate / n_fft)
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))).float()


_LINEAR = 200 / 3
"""Hz of a mel below 1 kHz, on Slaney's scale; above, 27 mels are a factor of 6.4."""
_KNEE, _STEP = 1000 / _LINEAR, math.log(6.4) / 27


def _to_mels(hertz: Tensor) -> Tensor:
    return torch.where(hertz < 1000, hertz / _LINEAR, _KNEE + (hertz.clamp(min=1) / 1000).log() / _STEP)


def _to_hertz(mels: Tensor) -> Tensor:
    return torch.where(mels < _KNEE, mels * _LINEAR, 1000 * ((mels - _KNEE) * _STEP).exp())


@functools.lru_cache(maxsize=32)
def _hann(win: int, device: torch.device) -> Tensor:
    return torch.hann_window(win, device=device, dtype=torch.float64)
