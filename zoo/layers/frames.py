"""Frames of a mel spectrogram: what networks that denoise (B, M, T) under a condition (B, H, T) share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.embeddings import sinusoidal_embedding


class Frames(NamedTuple):
    """A checked batch.

    Attributes:
        x: (B, F M, T) noisy mel, the features of a frame below one another, zero where ``past``.
        t: (B,) time labels.
        cond: (B, H, T) of the dtype of x, zero where ``past``.
        past: (B, 1, T), true behind the end of an item; None when all items fill the batch.
    """

    x: Tensor
    t: Tensor
    cond: Tensor
    past: Tensor | None


@dataclass(frozen=True)
class FrameShape:
    """What a network of frames takes and gives, and the complaints when it gets something else.

    Args:
        net: the name of the network in messages.
        mel_bins: M, bins of a frame.
        n_feats: F, how many such features a frame has (variance models predict several curves at once).
        cond_channels: H, channels of the condition.

    Raises:
        ArgumentValueError: when one of them is below 1.
    """

    net: str
    mel_bins: int
    n_feats: int
    cond_channels: int

    def __post_init__(self) -> None:
        positive(mel_bins=self.mel_bins, n_feats=self.n_feats, cond_channels=self.cond_channels)

    @property
    def channels(self) -> int:
        """F M, the numbers of a frame."""
        return self.n_feats * self.mel_bins

    def read(self, x: Tensor, t: Tensor, cond: Tensor | None, lengths: Tensor | None) -> Frames:
        """Check a batch and bring it into one form.

        Args:
            x: (B, M, T), or (B, F, M, T) when F > 1.
            t: (B,) or one for all.
            cond: (B, H, T), cast to the dtype of x; None stands for zeros, the null condition.
            lengths: (B,) frames of each item, 1..T; None when all have T.

        Raises:
            ShapeError: when a shape does not fit.
            ArgumentValueError: when a length (on the CPU, where looking costs nothing) is not 1..T.
        """
        kept = (self.mel_bins,) if self.n_feats == 1 else (self.n_feats, self.mel_bins)
        if x.ndim != len(kept) + 2 or x.shape[1:-1] != kept or x.shape[-1] < 1:
            order = ", ".join(map(str, ("B", *kept, "T")))
            raise ShapeError(f"{self.net} expects x of shape ({order}) with T >= 1, got {tuple(x.shape)}")
        batch, frames = len(x), x.shape[-1]
        if t.shape not in ((), (batch,)):
            raise ShapeError(
                f"{self.net} expects t of shape ({batch},), one time per item, or (), got {tuple(t.shape)}"
            )
        wanted = (batch, self.cond_channels, frames)
        if cond is None:
            cond = x.new_zeros(wanted)
        if cond.shape != wanted:
            raise ShapeError(
                f"{self.net} expects cond of shape {wanted}, (B, H, T) with the T of x, got {tuple(cond.shape)}"
            )
        past = None if lengths is None else self._past(lengths, batch, frames)
        # Nothing that stands in the padding, not even nan, gets into the network
        return Frames(hide(x.flatten(1, -2), past), t.expand(batch), hide(cond.to(x.dtype), past), past)

    def condition(self, cond: Tensor, lengths: Tensor | None) -> Tensor:
        """cond: (B, H, T) with zeros behind the end of each item, as ``read`` gives it."""
        return cond if lengths is None else hide(cond, self._past(lengths, len(cond), cond.shape[-1]))

    def write(self, out: Tensor, past: Tensor | None) -> Tensor:
        """(B, F M, T) in the order of ``read``'s x, zero behind the end of an item."""
        out = hide(out, past)
        return out if self.n_feats == 1 else out.reshape(len(out), self.n_feats, self.mel_bins, out.shape[-1])

    def _past(self, lengths: Tensor, batch: int, frames: int) -> Tensor:
        if lengths.shape != (batch,):
            raise ShapeError(
                f"{self.net} expects lengths of shape ({batch},), one per item, got {tuple(lengths.shape)}"
            )
        if lengths.is_cpu and batch and not 1 <= int(lengths.min()) <= int(lengths.max()) <= frames:
            raise ArgumentValueError(
                f"lengths must be 1..{frames}, the frames of x, got {int(lengths.min())}..{int(lengths.max())}"
            )
        return torch.arange(frames, device=lengths.device) >= lengths[:, None, None]


def hide(x: Tensor, past: Tensor | None) -> Tensor:
    """x: (B, C, T) with zeros where ``past``: (B, 1, T) is true, whatever stood there, even nan."""
    return x if past is None else x.masked_fill(past, 0.0)


def embed_step(t: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """The sinusoidal embedding of time labels or positions, (B,) -> (B, channels): sines, then cosines.

    Computed in float32 whatever ``dtype`` is, in float64 when that is.
    """
    exact = torch.promote_types(dtype, torch.float32)
    return sinusoidal_embedding(t, channels, shift=1.0, order="sin-cos", dtype=exact).to(dtype)


def odd(**sizes: int) -> None:
    """Refuse kernels of even size by their name: centred ones would lose a frame.

    Raises:
        ArgumentValueError: for the first of them.
    """
    for name, size in sizes.items():
        if size < 1 or size % 2 == 0:
            raise ArgumentValueError(f"{name} must be odd, so that no frame is lost, got {size}")


def positive(**counts: int) -> None:
    """Refuse counts below 1 by their name.

    Raises:
        ArgumentValueError: for the first of them.
    """
    for name, count in counts.items():
        if count < 1:
            raise ArgumentValueError(f"{name} must be at least 1, got {count}")
