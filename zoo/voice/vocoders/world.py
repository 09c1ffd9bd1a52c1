"""Sound from a mel and a pitch without weights: pulses and noise through the envelope that the mel has."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.voice.base import Vocoder, needed
from zoo.voice.mel import Mel
from zoo.voice.vocoders.inversion import centre, magnitudes

_LOWEST = 40.0
"""Hz of a voice."""

_RAYLEIGH = 4 / math.pi
"""The mean power of noise by its mean magnitude squared, which is what a mel of magnitudes tells."""

_SILENCE = 1e-16
"""Power of an empty frequency; WORLD takes its logarithm."""

_CLEAR, _NOISY = 0.001, 0.999
"""Parts of noise; WORLD takes neither 0 nor 1."""


class World(Vocoder):
    """WORLD's synthesis: a pulse for every period, noise where there is no voice, both filtered by the envelope.

    The envelope is the power of the inverted mel, smoothed over one harmonic. A mel does not tell how breathy a voice
    is: in voiced frames the part of noise rises in a straight line between two frequencies, elsewhere all is noise.
    WORLD draws its noise from a sequence of its own, the same every time.

    Args:
        clear_below: Hz up to which a voice has no noise.
        noisy_above: Hz from which it is noise alone.
        mel: whose mels are inverted.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.

    References:
        Morise, Yokomori & Ozawa 2016, WORLD, IEICE Transactions E99-D; Morise 2015, CheapTrick, for the smoothing.
    """

    needs_f0: ClassVar[bool] = True

    def __init__(self, *, clear_below: float = 2000.0, noisy_above: float = 8000.0, mel: Mel) -> None:
        if not 0 <= clear_below < noisy_above:
            raise ArgumentValueError(f"need 0 <= clear_below < noisy_above, got {clear_below:g} and {noisy_above:g}")
        self.clear_below, self.noisy_above, self.mel = clear_below, noisy_above, mel
        self.log, self.sample_rate, self.hop = mel.log, mel.sample_rate, mel.hop

    def __call__(self, mel: Tensor, f0: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Sound from mels, on the CPU.

        Args:
            mel: (B, M, T) in the logarithm ``log``.
            f0: (B, T) in Hz, 0 where unvoiced.
            seed: changes nothing; WORLD has its own noise.

        Returns:
            (B, T hop) float32 in [-1, 1].

        Raises:
            ShapeError: the mel has another number of bins, or f0 is missing or does not fit it.
            VoiceError: pyworld is not installed.
        """
        wanted = (len(mel), mel.shape[-1])
        if f0 is None or f0.shape != wanted:
            got = "none" if f0 is None else tuple(f0.shape)
            raise ShapeError(f"world: expected f0 of shape {wanted}, (B, T) of the mel, got {got}")
        pyworld = needed("pyworld", "the vocoder 'world'")
        mel, f0 = mel.detach().cpu().float(), f0.detach().cpu().float()
        items = [self._one(pyworld, one[None], pitch) for one, pitch in zip(mel, f0, strict=True)]
        return torch.stack(items) if items else mel.new_zeros(wanted[0], wanted[1] * self.hop)

    def _one(self, pyworld: Any, mel: Tensor, f0: Tensor) -> Tensor:
        """mel: (1, M, T), f0: (T,) -> (T hop,)."""
        if not len(f0):
            return mel.new_zeros(0)
        power = _RAYLEIGH * magnitudes(mel, self.mel)[0].square() / _energy(self.mel)
        power = _smoothed(power, f0, self.sample_rate / self.mel.n_fft)  # (F, T)
        return self._sound(pyworld, power, f0).clamp(-1, 1)

    def _sound(self, pyworld: Any, power: Tensor, f0: Tensor) -> Tensor:
        """power: (F, T) at the frames of the mel, f0: (T,) at the starts of its hops -> (T hop,)."""
        frames = len(f0)
        ends = torch.cat([power[:, :1], power, power[:, -1:]], -1)
        # WORLD wants the envelope where a hop starts; the mel may have it half a hop later
        late = centre(self.mel) / self.hop
        power = torch.lerp(ends[:, 1 : frames + 2], ends[:, : frames + 1], late)
        power = F.interpolate(power.T[None], self._size() // 2 + 1, mode="linear", align_corners=True)[0]  # (T, F)
        pitch = torch.cat([f0, f0[-1:]]).double().numpy()
        envelope = np.ascontiguousarray(power.clamp(min=_SILENCE).double().numpy())
        noise = self._noise(envelope.shape[1], pitch > 0)
        wav = pyworld.synthesize(pitch, envelope, noise, self.sample_rate, 1000 * self.hop / self.sample_rate)
        return torch.from_numpy(wav[: frames * self.hop]).float()

    def _size(self) -> int:
        """Points of WORLD's transforms: a power of two that holds a period of the lowest voice."""
        return 1 << math.ceil(math.log2(max(self.mel.n_fft, self.sample_rate / (_LOWEST - 1))))

    def _noise(self, bins: int, voiced: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The part of noise in every frame and frequency, (T, F)."""
        hertz = np.linspace(0, self.sample_rate / 2, bins)
        rising = (hertz - self.clear_below) / (self.noisy_above - self.clear_below)
        return np.where(voiced[:, None], np.clip(rising, _CLEAR, _NOISY)[None], _NOISY)


def _energy(mel: Mel) -> float:
    """Of the window: white noise of power 1 has this power in a spectrum."""
    return float(torch.hann_window(mel.win).square().sum())


def _smoothed(power: Tensor, f0: Tensor, spacing: float) -> Tensor:
    """The mean of (F, T) over a harmonic, f0 wide, around each frequency; where unvoiced over ``_LOWEST``."""
    bins = len(power)
    half = f0.clamp(min=_LOWEST) / spacing / 2  # (T,)
    # the integral from 0 to any place between two frequencies, mirrored at both ends
    mirrored = torch.cat([power.flip(0), power, power.flip(0)]).double()
    total = F.pad(mirrored.cumsum(0), (0, 0, 1, 0))
    place = torch.arange(bins, dtype=torch.float64)[:, None] + bins + 0.5

    def until(edge: Tensor) -> Tensor:
        edge = edge.clamp(0, 3 * bins - 1e-6)
        whole = edge.floor().long()
        return total.gather(0, whole) + (edge - whole) * mirrored.gather(0, whole)

    return ((until(place + half) - until(place - half)) / (2 * half)).float()
