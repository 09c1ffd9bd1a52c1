"""What EDM's two networks have in common and other UNets do not (Karras et al. 2022, app. F.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.inputs import check_labels
from zoo.layers.norms import GroupNorm


def group_norm(channels: int, *, eps: float) -> GroupNorm:
    """The norm of a map of so many channels: groups of four channels, but not more than 32 groups.

    Raises:
        ArgumentValueError: when the groups do not divide the channels.
    """
    groups = min(32, channels // 4)
    if not groups or channels % groups:
        raise ArgumentValueError(
            f"a map of {channels} channels (a level's, or two side by side) cannot be normed in groups of four, at "
            "most 32 of them: choose base_channels and channel_mult so that widths are multiples of 32"
        )
    return GroupNorm(groups, channels, eps=eps)


def check_counts(**counts: int) -> None:
    """Arguments that count something.

    Raises:
        ArgumentValueError: one of them is below 1.
    """
    for name, count in counts.items():
        if count < 1:
            raise ArgumentValueError(f"{name} must be at least 1, got {count}")


def check_dropout(dropout: float) -> None:
    """A probability of dropping a value.

    Raises:
        ArgumentValueError: it is not at least 0 and below 1.
    """
    if not 0 <= dropout < 1:
        raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")


def widths_of(base_channels: int, channel_mult: Sequence[int | float]) -> list[int]:
    """base_channels x channel_mult[i] for each level.

    Raises:
        ArgumentValueError: there is no level, or a width is no whole number of four channels.
    """
    if not channel_mult:
        raise ArgumentValueError("channel_mult is empty; it needs one entry per level, such as [1, 2, 2]")
    for i, mult in enumerate(channel_mult):
        width = base_channels * mult
        if width < 4 or width % 4:
            raise ArgumentValueError(
                f"channel_mult[{i}] = {mult:g} makes {base_channels} x {mult:g} = {width:g} channels, not a multiple "
                "of 4, as the group norms need"
            )
    return [int(base_channels * mult) for mult in channel_mult]


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of t at the frequencies 10000^(-i / (half - shift)), i = 0..half-1, half = dim / 2.

    `zoo.layers.embeddings` has the same to rounding. Here the frequencies are rounded as in EDM's code: labels reach
    999, and turn the last digit of a frequency into one that shows in outputs of hundreds.

    Args:
        dim: width of the embedding, even.
        last_slowest: shift 1 and the sines first (DDPM); else shift 0 and the cosines first (ADM).
    """

    def __init__(self, dim: int, *, last_slowest: bool) -> None:
        super().__init__()
        self.pairs, self.last_slowest = dim // 2, last_slowest

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """t: (B,) -> (B, dim)."""
        steps = torch.arange(self.pairs, dtype=dtype, device=t.device) / (self.pairs - self.last_slowest or 1)
        angles = t.to(dtype)[:, None] * torch.pow(1e-4, steps)
        waves = (angles.sin(), angles.cos()) if self.last_slowest else (angles.cos(), angles.sin())
        return torch.cat(waves, dim=1)


class FourierEmbedding(nn.Module):
    """Sines and cosines of t at random frequencies, drawn once (Tancik et al. 2020; NCSN++).

    The frequencies are never rounded: `.half()` and `.to(torch.bfloat16)` leave them as they are, since an angle of
    hundreds of radians has no digits to lose.

    Args:
        dim: width of the embedding, even.
        scale: standard deviation of the frequencies.
    """

    frequencies: Tensor

    def __init__(self, dim: int, *, scale: float = 16.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(dim // 2))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """t: (B,) -> (B, dim), the sines first."""
        angles = t.to(dtype)[:, None] * (2 * math.pi * self.frequencies).to(dtype)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = self.frequencies
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.frequencies.dtype != exact.dtype:
            self.frequencies = exact.to(self.frequencies.device)
        return self


class Embedding(nn.Module):
    """Noise label, class and augmentation -> the vector that every residual block is given, (B, width).

        silu(dense_1(silu(dense_0(waves(t) + label(y) + augment(a)))))

    with the class added before, as here, or after dense_1.

    Args:
        waves: embeds the noise label.
        waves_width: width of that embedding.
        width: of the result.
        classes: number of classes, K; None for a network without.
        augment_channels: numbers that describe an augmentation; None for a network without.
        label_first: whether the class joins the noise, as y sqrt(K) and with a bias; else it comes last, without.
    """

    def __init__(
        self,
        waves: nn.Module,
        waves_width: int,
        width: int,
        *,
        classes: int | None,
        augment_channels: int | None,
        label_first: bool,
    ) -> None:
        super().__init__()
        self.classes, self.augment_channels, self.label_first = classes, augment_channels, label_first
        self.waves = waves
        self.dense = nn.ModuleList([nn.Linear(waves_width, width), nn.Linear(width, width)])
        label_width = waves_width if label_first else width
        self.label = nn.Linear(classes, label_width, bias=label_first) if classes is not None else None
        self.augment = nn.Linear(augment_channels, waves_width, bias=False) if augment_channels is not None else None

    def forward(self, t: Tensor, labels: Tensor | None, augment: Tensor | None, dtype: torch.dtype) -> Tensor:
        """t: (B,), labels: (B,) or (B, K), augment: (B, A) -> (B, width), through the silu."""
        exact = torch.promote_types(dtype, torch.float32)
        h: Tensor = self.waves(t, exact).to(dtype)
        label = None
        if self.label is not None and self.classes is not None:
            vectors = class_vectors(labels, self.classes, len(t), t.device).to(dtype)
            label = self.label(vectors * math.sqrt(self.classes) if self.label_first else vectors)
        if label is not None and self.label_first:
            h = h + label
        if self.augment is not None and augment is not None:
            h = h + self.augment(augment.to(dtype))
        h = self.dense[1](F.silu(self.dense[0](h)))
        if label is not None and not self.label_first:
            h = h + label
        return F.silu(h)


def class_vectors(labels: Tensor | None, classes: int, batch: int, device: torch.device) -> Tensor:
    """Classes as (B, K) vectors: one-hot for (B,) whole numbers, zeros for -1 or None, (B, K) as they are."""
    if labels is None:
        return torch.zeros(batch, classes, device=device)
    if labels.ndim == 2:
        return labels.clamp(min=0) if not labels.is_floating_point() else labels
    return F.one_hot(labels.long().clamp(min=0), classes) * (labels >= 0)[:, None]


def check_conditions(
    family: str, labels: Tensor | None, augment: Tensor | None, batch: int, embedding: Embedding
) -> None:
    """labels: (batch,) of -1..K - 1 or (batch, K), augment: (batch, A); None for none.

    Raises:
        ShapeError: another shape.
        ArgumentValueError: a condition that the network was built without, or (on the CPU, where looking costs
            nothing) a label that is not a class.
    """
    if labels is not None and labels.ndim == 2 and embedding.classes is not None:
        if labels.shape != (batch, embedding.classes):
            raise ShapeError(
                f"{family} expects labels of shape ({batch},), or vectors of shape ({batch}, {embedding.classes}), got "
                f"{tuple(labels.shape)}"
            )
    else:
        check_labels(family, labels, batch, embedding.classes)
    if augment is None:
        return
    if embedding.augment_channels is None:
        raise ArgumentValueError(
            f"this {family} was built without augmentation and takes no augment; build it with augment_channels=..."
        )
    if augment.shape != (batch, embedding.augment_channels):
        raise ShapeError(
            f"{family} expects augment of shape ({batch}, {embedding.augment_channels}), got {tuple(augment.shape)}"
        )
