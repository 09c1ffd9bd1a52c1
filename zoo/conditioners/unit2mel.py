"""The condition of DDSP-SVC, Diffusion-SVC and the shallow diffusion of so-vits-svc 4.1 ("Unit2Mel").

Parameters have the names of these projects' files, so that they load as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.bound import ConditionError
from zoo.core.conditioner import Conditioner
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.features import mixture, per_frame, stretched, take
from zoo.layers.frames import positive
from zoo.layers.pitch import in_octaves


class Unit2Mel(Conditioner):
    """Linear in units, pitch and loudness: DDSP-SVC and its relatives.

        cond_n = W_u units_n + w_f ln(1 + f0_n / 700) + w_v volume_n + biases [+ speaker] [+ w_a aug_shift / 5]

    Args:
        unit_channels: of the content units.
        channels: H, of the condition.
        speakers: voices; 1 for a single one, which has no table.
        aug_shift: whether the model was told how far its training data was transposed ("use_pitch_aug").
        unit_step: units a mel frame, (hop / sample rate) / 0.02 s, for units that come at their own rate. None takes
            units at the rate of the frames only.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    def __init__(
        self,
        *,
        unit_channels: int = 768,
        channels: int = 256,
        speakers: int = 1,
        aug_shift: bool = False,
        unit_step: float | None = None,
    ) -> None:
        super().__init__()
        positive(unit_channels=unit_channels, channels=channels, speakers=speakers)
        if unit_step is not None and not unit_step > 0:
            raise ArgumentValueError(f"unit_step must be positive, got {unit_step:g}")
        self.unit_channels, self.unit_step = unit_channels, unit_step
        self.unit_embed = nn.Linear(unit_channels, channels)
        self.f0_embed = nn.Linear(1, channels)
        self.volume_embed = nn.Linear(1, channels)
        self.aug_shift_embed = nn.Linear(1, channels, bias=False) if aug_shift else None
        self.spk_embed = nn.Embedding(speakers, channels) if speakers > 1 else None

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
            units: (B, T, U) content units of the frames, or (B, any, U) at their own rate.
            f0: (B, T) pitch in Hz, 0 where unvoiced, or gapless, as these models were trained; log2 Hz is taken too.
            mel2ph: (B, T) number of the unit of each frame, from 1, 0 for none; None goes by ``unit_step``.
            energy: not used by these models.
            volume: (B, T) root mean square of the sound around a frame.
            spk: (B,) speaker numbers from 1 (so-vits-svc counts from 0), (B, S) weights of a mix, or
                {number: weight}.
            uv: not used by these models.
            key_shift: semitones added to the pitch, one or (B,).
            aug_shift: semitones by which the singer's timbre shall be that of a transposed recording, one or (B,).
            lengths: (B,) passed on to the denoiser.

        Returns:
            ``cond``: (B, H, T), and ``lengths`` if given.

        Raises:
            ShapeError: when shapes do not fit each other.
            ConditionError: when a feature that the model needs is missing or out of range.
        """
        dtype = self.unit_embed.weight.dtype
        f0 = in_octaves(per_frame("f0", f0)).exp2()
        batch, frames = f0.shape
        if volume is None:
            raise ConditionError("volume is missing: these models are trained with it")
        volume = take("volume", per_frame("volume", volume), (batch, frames))
        if key_shift is not None:
            f0 = f0 * (_column(key_shift, f0) / 12).exp2()
        units = self._stretched(take("units", units, (batch, None, self.unit_channels)), mel2ph, frames)
        cond = self.unit_embed(units.to(dtype))
        cond = cond + self.f0_embed((1 + f0 / 700).log()[:, :, None].to(dtype))
        cond = cond + self.volume_embed(volume[:, :, None].to(dtype))
        if self.spk_embed is not None:
            cond = cond + mixture(spk, self.spk_embed.weight, batch, first=1)[:, None]
        if self.aug_shift_embed is not None and aug_shift is not None:
            cond = cond + self.aug_shift_embed(_column(aug_shift, cond) / 5)[:, None]
        out = {"cond": cond.transpose(1, 2)}
        return out if lengths is None else out | {"lengths": lengths}

    def _stretched(self, units: Tensor, mel2ph: Tensor | None, frames: int) -> Tensor:
        """One unit a frame: (B, T, U)."""
        batch, count, _ = units.shape
        if mel2ph is not None:
            return stretched(units, take("mel2ph", mel2ph, (batch, frames)).long())
        if count == frames:
            return units
        if self.unit_step is None:
            raise ShapeError(
                f"units: {count} of them for {frames} frames of f0, and how many belong to a frame is not known: "
                "stretch them to the frames, or give mel2ph"
            )
        index = (self.unit_step * torch.arange(frames, device=units.device)).round().long().clamp(max=count - 1)
        return units[:, index]


def _column(value: Tensor | float, like: Tensor) -> Tensor:
    """One number an item, or one for all, as (B, 1) or (1, 1)."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1)
