"""Praat's autocorrelation method, as diff-svc and openvpi's DiffSinger ask for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.voice.base import F0, needed
from zoo.voice.f0.sounds import check_range, fit, listen

_PERIODS = 3
"""Periods of the lowest pitch in a window of Praat; nothing shorter can be analysed."""


@dataclass(frozen=True, kw_only=True)
class Parselmouth(F0):
    """The strongest autocorrelation of each window, and the cheapest path through the frames (Boersma 1993).

    Praat puts as many frames as fit in the middle of the sound, so that the first has no window around sample 0. The
    two projects deal with that differently, and only the second to the sample:

        diff-svc   silence behind the sound up to frames hop samples; of the frames that Praat then leaves out, half
                   (and the odd one) are unvoiced frames before its first, the rest behind its last
        openvpi    ceil(1.5 / f0_min) seconds of silence before the sound, as much behind its last whole hop: frame n
                   has its window around sample n hop

    Args:
        f0_min: Hz, the lowest pitch looked for; three of its periods are a window.
        f0_max: Hz, the highest.
        voicing_threshold: of the autocorrelation below which a frame is unvoiced, 0..1.
        pad: whose rule.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max, or a rule that nobody has.
    """

    f0_min: float = 40.0
    f0_max: float = 1100.0
    voicing_threshold: float = 0.6
    pad: Literal["diff-svc", "openvpi"] = "openvpi"

    def __post_init__(self) -> None:
        check_range(self.f0_min, self.f0_max)
        if self.pad not in ("diff-svc", "openvpi"):
            raise ArgumentValueError(f"pad is diff-svc or openvpi, got {self.pad!r}")

    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        wav = listen(wav, sample_rate, hop, frames)
        if self.pad == "openvpi":
            edge = math.ceil(_PERIODS / 2 / self.f0_min * sample_rate)
            wav = F.pad(wav, (edge, -len(wav) % hop + edge + 1))
            return fit(self.raw(wav, sample_rate, hop=hop), frames)
        f0 = self.raw(F.pad(wav, (0, max(0, frames * hop - len(wav)))), sample_rate, hop=hop)
        return fit(f0, frames, left=max(0, frames - len(f0) + 1) // 2)

    def raw(self, wav: Tensor, sample_rate: int, *, hop: int) -> Tensor:
        """The frames that Praat itself puts in a sound.

        Args:
            wav: (L,) float32.
            sample_rate: of it, in Hz.
            hop: samples from one frame to the next.

        Returns:
            (N,) float32 Hz, 0 where unvoiced; none for a sound in which no window fits.

        Raises:
            VoiceError: the package praat-parselmouth is not installed.
        """
        praat = needed("parselmouth", "f0 method parselmouth")
        if len(wav) <= _PERIODS / self.f0_min * sample_rate:
            return torch.zeros(0)
        pitch = praat.Sound(wav.double().numpy(), sample_rate).to_pitch_ac(
            time_step=hop / sample_rate,
            voicing_threshold=self.voicing_threshold,
            pitch_floor=self.f0_min,
            pitch_ceiling=self.f0_max,
        )
        return torch.from_numpy(pitch.selected_array["frequency"]).float()
