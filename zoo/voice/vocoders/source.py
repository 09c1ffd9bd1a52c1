"""The sources of neural source-filter vocoders: sines that follow a pitch, block by block with one phase.

The phase at the start of every frame is added up exactly over the whole pitch, so that a frame's samples can be
made from that frame alone, and an hour in they are as exact as at the start. Published code adds up samples (diff-svc)
or frames (OpenVPI, DDSP-SVC) in float32; both are this sum but for their rounding.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from zoo.core.errors import ShapeError

HARMONICS = 9
"""The pitch, and eight above."""

_LOUDNESS = 0.1
_VOICED_NOISE, _UNVOICED_NOISE = 0.003, _LOUDNESS / 3

_TURN = 2**40
"""Of which phases are a whole number of parts: a day of frames fits into 64 bits."""


class Pitch(NamedTuple):
    """A pitch that sines can follow.

    Attributes:
        turns: (B, T) by how much the phase grows in a sample, in turns, at the first sample of a frame.
        growth: (B, T) by how much that itself grows, until the next frame.
        phase: (B, T) in turns, at the end of the frame before, 0..1.
        hop: samples of a frame.
    """

    turns: Tensor
    growth: Tensor
    phase: Tensor
    hop: int

    def part(self, start: int, stop: int) -> Self:
        """Some frames."""
        turns, growth, phase = (one[:, start:stop] for one in (self.turns, self.growth, self.phase))
        return self._replace(turns=turns, growth=growth, phase=phase)

    def samples(self) -> Tensor:
        """The phase at every sample, (B, T, hop), in turns."""
        n = torch.arange(1, self.hop + 1, device=self.turns.device, dtype=self.turns.dtype)
        bend = n * (n - 1) / (2 * self.hop)
        return self.phase[..., None] + self.turns[..., None] * n + self.growth[..., None] * bend


def track(f0: Tensor, sample_rate: float, hop: int, *, glide: bool) -> Pitch:
    """Add up the phase of a pitch.

    Args:
        f0: (B, T) in Hz, 0 where unvoiced.
        sample_rate: of the source, in Hz.
        hop: samples of a frame.
        glide: whether the pitch moves in a straight line from frame to frame, or stands still inside each.
    """
    turns = f0.detach().cpu().double() / sample_rate  # (B, T)
    growth = torch.zeros_like(turns)
    if glide:
        growth[:, :-1] = turns.diff(dim=-1)
    ends = (turns * hop + growth * ((hop - 1) / 2)) % 1
    phase = torch.zeros_like(turns)
    # whole numbers add up without rounding, however many they are
    phase[:, 1:] = (ends * _TURN).round().long().cumsum(-1)[:, :-1] % _TURN / _TURN
    # what is left of a phase within a frame is a few turns at most: float32 holds them
    turns, growth, phase = (one.to(f0.device, torch.float32) for one in (turns, growth, phase))
    return Pitch(turns, growth, phase, hop)


def sine(pitch: Pitch) -> Tensor:
    """One sine, through voiced and unvoiced frames alike: (B, 1, T hop)."""
    return (2 * math.pi * pitch.samples()).sin().flatten(1)[:, None]


class HarmonicSource(nn.Module):
    """Nine harmonics of a pitch and noise, mixed: tanh(sum_h w_h (0.1 voiced sin(h phase + phase_h) + a noise_h) + b).

    The noise is soft (a = 0.003) below a voice, and stands for it (a = 0.1 / 3) where there is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.l_linear = nn.Linear(HARMONICS, 1)

    def forward(self, pitch: Pitch, rand_ini: Tensor | None, noise: Tensor | None) -> Tensor:
        """Some frames.

        Args:
            pitch: of them.
            rand_ini: (B, 9), (1, 9) or (B, 1, 9) phases to begin with, in turns; None is zeros.
            noise: (B, T hop, 9) standard normal; None is none.

        Returns:
            (B, 1, T hop).

        Raises:
            ShapeError: when phases or noise do not fit.
        """
        batch, frames = pitch.turns.shape
        order = torch.arange(1, HARMONICS + 1, device=pitch.turns.device, dtype=pitch.turns.dtype)
        turns = (pitch.samples() % 1)[..., None] * order  # (B, T, hop, 9)
        if rand_ini is not None:
            if rand_ini.shape[-1:] != (HARMONICS,) or rand_ini.numel() not in (HARMONICS, batch * HARMONICS):
                raise ShapeError(f"expected rand_ini of shape {(batch, HARMONICS)}, got {tuple(rand_ini.shape)}")
            turns = turns + rand_ini.to(turns).reshape(-1, 1, 1, HARMONICS)
        voiced = (pitch.turns > 0)[..., None, None]
        waves = _LOUDNESS * (2 * math.pi * turns).sin() * voiced
        if noise is not None:
            wanted = (batch, frames * pitch.hop, HARMONICS)
            if noise.shape != wanted:
                raise ShapeError(f"expected source_noise of shape {wanted}, got {tuple(noise.shape)}")
            loudness = torch.where(voiced, _VOICED_NOISE, _UNVOICED_NOISE)
            waves = waves + loudness * noise.reshape(waves.shape)
        return torch.tanh(self.l_linear(waves)).reshape(batch, 1, -1)
