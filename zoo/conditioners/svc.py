"""The condition of diff-svc and kor_diff_svc: units and pitch, frame by frame, nothing projected.

Parameters have the names of these projects' files below ``fs2.``, so that they load as they are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.bound import ConditionError
from zoo.core.conditioner import Conditioner
from zoo.core.errors import ArgumentValueError
from zoo.layers.fastspeech import FFTBlock
from zoo.layers.features import align, mixture, per_frame, stretched, take
from zoo.layers.frames import positive
from zoo.layers.pitch import coarse_pitch, in_octaves, is_hertz

_POSITIONS = 5000
_ENERGY_BINS, _ENERGY_TOP = 256, 4


class UnitEncoder(nn.Module):
    """The encoder of older diff-svc files (``no_fs2: false``): pre-norm blocks over the units of an item.

        x = 2 sqrt(H) units + positions;   blocks;   norm

    The positions count backwards from 4999, and the scale stands twice, as in the old code.
    """

    def __init__(self, channels: int, layers: int, heads: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            FFTBlock(channels=channels, heads=heads, kernel_size=kernel_size, dropout=dropout) for _ in range(layers)
        )
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, units: Tensor) -> Tensor:
        """units: (B, U, H), all zero where there is none -> (B, U, H)."""
        past = (units == 0).all(-1)[:, None]  # (B, 1, U)
        x = 2 * math.sqrt(units.shape[-1]) * units + _falling_positions(units)
        for layer in self.layers:
            x = layer(x, past)
        return self.layer_norm(x).masked_fill(past.transpose(1, 2), 0.0)  # type: ignore[no-any-return]


class SVC(Conditioner):
    """Units stretched to mel frames, plus a learned row for the pitch: diff-svc and kor_diff_svc.

        cond_n = (mel2ph_n > 0)
                 ([W] units[mel2ph_n] + pitch_embed[bin(f0_n)] [+ energy_embed[bin(energy_n)]] [+ speaker])

    Args:
        channels: H, of the condition.
        unit_channels: U, of units of another width, which new models project to H; None for units of H channels that
            are taken as they are, as the old models do.
        f0_min: Hz, the middle of the lowest bin of pitch.
        f0_max: Hz, the middle of the highest.
        f0_bins: one more than there are; 0 is for padding.
        pitch_rows: rows of the pitch table; at least f0_bins, the rest is never used.
        energy: whether loudness has a table too ("use_energy_embed").
        use_uv: whether the pitch of unvoiced frames is hidden.
        speakers: rows of the speaker table; 0 for a single voice without one.
        encoder_layers: of the encoder that older models send the units through; 0 for none.
        encoder_heads: heads of each; divides H.
        encoder_kernel_size: of their convolutions; odd.
        dropout: probability of dropping a value inside the encoder, in training.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        unit_channels: int | None = None,
        f0_min: float = 40.0,
        f0_max: float = 1100.0,
        f0_bins: int = 256,
        pitch_rows: int = 300,
        energy: bool = False,
        use_uv: bool = False,
        speakers: int = 0,
        encoder_layers: int = 0,
        encoder_heads: int = 2,
        encoder_kernel_size: int = 9,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        positive(
            channels=channels,
            unit_channels=channels if unit_channels is None else unit_channels,
            encoder_heads=encoder_heads,
            encoder_kernel_size=encoder_kernel_size,
        )
        if not 0 < f0_min < f0_max:
            raise ArgumentValueError(f"need 0 < f0_min < f0_max, got {f0_min:g} and {f0_max:g}")
        if not 3 <= f0_bins <= pitch_rows:
            raise ArgumentValueError(f"need 3 <= f0_bins <= pitch_rows, got {f0_bins} and {pitch_rows}")
        if min(speakers, encoder_layers) < 0:
            raise ArgumentValueError(f"speakers and encoder_layers cannot be below 0, got {speakers}, {encoder_layers}")
        self.unit_channels, self.use_uv = unit_channels or channels, use_uv
        self.unit_embed = None if unit_channels is None else nn.Linear(unit_channels, channels)
        self.f0_min, self.f0_max, self.f0_bins = f0_min, f0_max, f0_bins
        self.pitch_embed = _table(pitch_rows, channels)
        self.energy_embed = _table(_ENERGY_BINS, channels) if energy else None
        self.spk_embed_proj = _table(speakers, channels) if speakers else None
        self.encoder = (
            UnitEncoder(channels, encoder_layers, encoder_heads, encoder_kernel_size, dropout)
            if encoder_layers
            else None
        )

    def forward(  # type: ignore[override]  # the features are named
        self,
        *,
        units: Tensor,
        f0: Tensor,
        mel2ph: Tensor | None = None,
        energy: Tensor | None = None,
        volume: Tensor | None = None,
        spk: Any = None,
        uv: Tensor | None = None,
        key_shift: Tensor | float | None = None,
        aug_shift: Tensor | float | None = None,
        lengths: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The condition of a batch. All voice models take the same features; one that this model was not trained
        with changes nothing.

        Args:
            units: (B, N, U) content units, zero where an item has none.
            f0: (B, T) pitch of the mel frames: Hz, 0 where unvoiced, or gapless log2 Hz, as diff-svc stores it.
            mel2ph: (B, T) number of the unit of each frame, from 1; 0 for padding. None stretches evenly.
            energy: (B, T) sqrt(sum over bins of exp(2 mel)) of the log10 mel of the source.
            volume: not used by these models.
            spk: (B,) speaker numbers from 0, (B, S) weights of a mix, or {number: weight}.
            uv: (B, T) positive where unvoiced; needed where ``use_uv`` meets log2 pitch.
            key_shift: semitones added to the pitch, one or (B,). What then lies above f0_max falls to the lowest
                bin, as in the old code.
            aug_shift: not used by these models.
            lengths: (B,) passed on to the denoiser.

        Returns:
            ``cond``: (B, H, T), and ``lengths`` if given.

        Raises:
            ShapeError: when shapes do not fit each other.
            ConditionError: when a feature that the model needs is missing or out of range.
        """
        f0 = per_frame("f0", f0)
        batch, frames = f0.shape
        units = take("units", units, (batch, None, self.unit_channels)).to(self.pitch_embed.weight.dtype)
        if mel2ph is None:
            mel2ph = align(units.shape[1], frames).to(units.device).expand(batch, frames)
        mel2ph = take("mel2ph", mel2ph, (batch, frames)).long()
        if self.unit_embed is not None:
            units = self.unit_embed(units)
        if self.encoder is not None:
            units = self.encoder(units)
        cond = stretched(units, mel2ph)
        cond = cond + self.pitch_embed(self._pitch(f0, uv, key_shift))
        if self.energy_embed is not None:
            if energy is None:
                raise ConditionError("energy is missing: this model was trained with it")
            loudness = take("energy", per_frame("energy", energy), (batch, frames))
            cond = cond + self.energy_embed((loudness * _ENERGY_BINS // _ENERGY_TOP).clamp(0, _ENERGY_BINS - 1).long())
        if self.spk_embed_proj is not None:
            cond = cond + mixture(spk, self.spk_embed_proj.weight, batch, first=0)[:, None]
        out = {"cond": (cond * (mel2ph > 0)[:, :, None]).transpose(1, 2)}
        return out if lengths is None else out | {"lengths": lengths}

    def _pitch(self, f0: Tensor, uv: Tensor | None, key_shift: Tensor | float | None) -> Tensor:
        """The bin of each frame, (B, T)."""
        octaves = in_octaves(f0).float()
        if key_shift is not None:
            shift = torch.as_tensor(key_shift, dtype=octaves.dtype, device=octaves.device)
            octaves = octaves + shift.reshape(-1, 1) / 12
            octaves = octaves.masked_fill(octaves > math.log2(self.f0_max), 0.0)
        hertz = octaves.exp2()
        if self.use_uv:
            if uv is None:
                if not is_hertz(f0).all():
                    raise ConditionError("uv is missing: this model hides the pitch of unvoiced frames")
                uv = f0 == 0
            hertz = hertz.masked_fill(take("uv", per_frame("uv", uv), tuple(f0.shape)) > 0, 0.0)
        return coarse_pitch(hertz, f0_min=self.f0_min, f0_max=self.f0_max, bins=self.f0_bins)


def _table(rows: int, channels: int) -> nn.Embedding:
    """Rows of deviation channels^-1/2; the first stands for padding and is zero."""
    table = nn.Embedding(rows, channels, padding_idx=0)
    nn.init.normal_(table.weight, std=channels**-0.5)
    with torch.no_grad():
        table.weight[0] = 0
    return table


def _falling_positions(x: Tensor) -> Tensor:
    """Interleaved sines and cosines for (B, U, H): position 4999 first, more only where U is larger."""
    count, width = x.shape[1:]
    place = torch.arange(max(_POSITIONS, count) - 1, -1, -1, dtype=torch.float32, device=x.device)[:count, None]
    slow = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=x.device) * -(math.log(10_000.0) / width))
    angles = place * slow
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width].to(x.dtype)
