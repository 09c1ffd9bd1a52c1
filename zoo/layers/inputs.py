"""What every image network is given: maps, times and classes of matching shapes."""

from __future__ import annotations

from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError


def check_images(family: str, x: Tensor, t: Tensor, channels: int) -> None:
    """x: (B, channels, H, W), and t: (B,) or ().

    Raises:
        ShapeError: another shape; the message names the family.
    """
    if x.ndim != 4 or x.shape[1] != channels or 0 in x.shape[2:]:
        raise ShapeError(f"{family} expects x of shape (B, {channels}, H, W) with H, W >= 1, got {tuple(x.shape)}")
    if t.shape not in ((), (len(x),)):
        raise ShapeError(f"{family} expects t of shape ({len(x)},), one time per image, or (), got {tuple(t.shape)}")


def check_labels(family: str, labels: Tensor | None, batch: int, classes: int | None) -> None:
    """labels: (batch,) of 0..classes - 1, or -1 for no class; None for no class at all.

    Raises:
        ShapeError: another shape.
        ArgumentValueError: labels for a network without classes, or (on the CPU, where looking costs nothing)
            a label that is not a class.
    """
    if labels is None:
        return
    if classes is None:
        raise ArgumentValueError(f"this {family} is unconditional and takes no labels; build it with classes=...")
    if labels.shape != (batch,):
        raise ShapeError(f"{family} expects labels of shape ({batch},), one per image, got {tuple(labels.shape)}")
    if labels.is_cpu and batch and not -1 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ArgumentValueError(
            f"labels must be 0..{classes - 1}, or -1 for no class, got {int(labels.min())}..{int(labels.max())}"
        )
