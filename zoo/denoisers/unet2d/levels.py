"""The kinds of levels of UNet2D, and what each puts into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from torch import nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.norms import GroupNorm
from zoo.layers.resampling import ConvDownsample, FilterDownsample, FilterUpsample, PoolDownsample, Upsample
from zoo.layers.residual import AttentionBlock, Norm, ResidualBlock

Level = Literal["conv", "conv-attention", "residual", "residual-attention", "fir", "fir-attention"]
MakeBlock = Callable[..., ResidualBlock]

TAPS = (1.0, 3.0, 3.0, 1.0)


def is_fir(kind: Level) -> bool:
    """Whether a filter halves or doubles the maps."""
    return kind.startswith("fir")


def attends(kind: Level) -> bool:
    """Whether there is attention."""
    return kind.endswith("-attention")


def attended(kind: Level, blocks: int) -> list[int]:
    """The blocks of a level on the way up that attention follows."""
    if not attends(kind):
        return []
    return [blocks - 1] if is_fir(kind) else list(range(blocks))


def halve(kind: Level, width: int, block: MakeBlock, symmetric: bool) -> nn.Module:
    """What halves the maps of a level."""
    if is_fir(kind):
        return block(width, width, resample=FilterDownsample(TAPS), project=True)
    if kind.startswith("residual"):
        return block(width, width, resample=PoolDownsample())
    return ConvDownsample(width, symmetric=symmetric)


def double(kind: Level, width: int, block: MakeBlock) -> nn.Module:
    """What doubles the maps of a level."""
    if is_fir(kind):
        return block(width, width, resample=FilterUpsample(TAPS), project=True)
    if kind.startswith("residual"):
        return block(width, width, resample=Upsample(width, with_conv=False))
    return Upsample(width)


def group_norm(channels: int, *, groups: int | None, eps: float) -> GroupNorm:
    """The norm of a map; None for groups of four channels, at most 32 of them.

    Raises:
        ArgumentValueError: the groups do not divide the channels.
    """
    groups = min(channels // 4, 32) if groups is None else groups
    if groups < 1 or channels % groups:
        raise ArgumentValueError(
            f"{groups} groups do not divide a map of {channels} channels (a level's, or two side by side): choose "
            "widths that are multiples of norm_groups, or of 32 beside a filter"
        )
    return GroupNorm(groups, channels, eps=eps)


def mixed(kind: Level, before: int, skip: int, eps: float) -> Norm | None:
    """The first norm of a block on the way up, where it has a number of groups that no rule of the others explains."""
    return partial(group_norm, groups=min(before + skip // 4, 32), eps=eps) if kind == "fir-attention" else None


def make_attention(
    width: int, *, head_channels: int | None, norm: Norm | None, skip_scale: float = 1.0
) -> AttentionBlock:
    """Attention with heads of a width; None for one head.

    Raises:
        ArgumentValueError: a head is wider than the map.
    """
    head_channels = width if head_channels is None else head_channels
    if head_channels > width:
        raise ArgumentValueError(
            f"head_channels = {head_channels} is wider than a level of {width} channels that attends; "
            "take at most that, or null for one head"
        )
    heads = width // head_channels
    return AttentionBlock(width, norm=norm, heads=heads, head_channels=head_channels, skip_scale=skip_scale)


def check_levels(widths: Sequence[int], down: Sequence[Level], up: Sequence[Level]) -> None:
    """Widths and kinds have to describe one ladder.

    Raises:
        ArgumentValueError: they do not; the message tells why.
    """
    if not widths or min(widths) < 1:
        raise ArgumentValueError(f"widths must be one positive number per level, got {list(widths)}")
    for name, kinds in (("down", down), ("up", up)):
        if len(kinds) != len(widths):
            raise ArgumentValueError(f"{name} must have one kind per level: {len(widths)} of them, got {len(kinds)}")
    for name, kinds, tail in (("down", down, "the image cannot be halved"), ("up", up, "the image cannot be doubled")):
        # the deepest level is not halved, so that on the way down any kind will do there
        reach = kinds[:-1] if name == "down" else kinds
        for i in range(1, len(reach)):
            if is_fir(reach[i]) and not is_fir(reach[i - 1]):
                raise ArgumentValueError(
                    f"{name}: level {i} is {reach[i]!r} and level {i - 1} is {reach[i - 1]!r}: {tail} past it; use fir "
                    f"on all levels from 0 to {i}"
                )
