"""Features of a voice, checked and brought to the frames of a mel: what conditioners share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.core.bound import ConditionError
from zoo.core.errors import ShapeError


def take(name: str, feature: Tensor, shape: tuple[int | None, ...]) -> Tensor:
    """The feature, once it has this shape; None stands for any size.

    Raises:
        ShapeError: it has not.
    """
    fits = feature.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, feature.shape, strict=True)
    )
    if not fits:
        order = ", ".join("any" if size is None else str(size) for size in shape)
        raise ShapeError(f"{name}: expected shape ({order}), got {tuple(feature.shape)}")
    return feature


def per_frame(name: str, feature: Tensor) -> Tensor:
    """(B, T), from (B, T) or (B, T, 1).

    Raises:
        ShapeError: it is neither.
    """
    if feature.ndim == 3 and feature.shape[-1] == 1:
        return feature[..., 0]
    if feature.ndim != 2:
        raise ShapeError(f"{name}: expected shape (B, T), one number a frame, got {tuple(feature.shape)}")
    return feature


def align(units: int, frames: int) -> Tensor:
    """diff-svc's ``mel2ph``: which unit each frame belongs to, counted from 1.

    With r = frames / units, unit i ends with frame floor(i r + r + 1/2), that frame included, so that all lies about
    one frame late; frames that no unit reaches are 0.

    Args:
        units: how many there are.
        frames: how many they are stretched over.

    Returns:
        (frames,) int64.
    """
    table = torch.zeros(frames, dtype=torch.int64)
    start, ratio = 0, frames / max(units, 1)
    for unit in range(units):
        end = int(unit * ratio + ratio + 0.5)
        table[start : end + 1] = unit + 1
        start = end + 1
    return table


def stretched(units: Tensor, mel2ph: Tensor) -> Tensor:
    """The unit of each frame, zero where there is none.

    Args:
        units: (B, U, C).
        mel2ph: (B, T) int64 numbers of units from 1; 0 for none.

    Returns:
        (B, T, C).

    Raises:
        ConditionError: there is no such unit.
    """
    count = units.shape[1]
    low, high = int(mel2ph.min()), int(mel2ph.max())
    if low < 0 or high > count:
        raise ConditionError(f"mel2ph asks for unit {low if low < 0 else high} of {count}")
    rows = torch.nn.functional.pad(units, (0, 0, 1, 0))
    return rows.gather(1, mel2ph[:, :, None].expand(-1, -1, units.shape[2]))


def mixture(speaker: Any, table: Tensor, batch: int, *, first: int) -> Tensor:
    """The embeddings of speakers, or of voices in between: (B, C).

    Args:
        speaker: (B,) or (B, 1) whole numbers, (B, S) weights of all S speakers, or a mapping of numbers to weights.
        table: (S, C) one row a speaker.
        batch: B.
        first: the number of the first speaker.

    Raises:
        ConditionError: there is none, or no such speaker.
        ShapeError: of another shape.
    """
    count = len(table)
    if speaker is None:
        raise ConditionError(f"spk is missing: this model has {count} voices, {first}..{count - 1 + first}")
    if isinstance(speaker, Mapping):
        weights = torch.zeros(batch, count, dtype=table.dtype, device=table.device)
        for number, weight in speaker.items():
            weights[:, _row(int(number), count, first)] = torch.as_tensor(weight, dtype=table.dtype)
        return weights @ table
    speaker = torch.as_tensor(speaker, device=table.device)
    if speaker.is_floating_point():
        return take("spk", speaker, (batch, count)).to(table.dtype) @ table
    numbers = speaker.reshape(-1)
    if len(numbers) not in (1, batch):
        raise ShapeError(f"spk: expected one speaker or ({batch},), got {tuple(speaker.shape)}")
    for number in (int(numbers.min()), int(numbers.max())):
        _row(number, count, first)
    return table[numbers - first].expand(batch, -1)


def _row(number: int, count: int, first: int) -> int:
    if not first <= number < first + count:
        raise ConditionError(f"spk: there is no voice {number}; this model has {first}..{count - 1 + first}")
    return number - first
