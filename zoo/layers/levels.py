"""Levels of resolution: their widths, where attention sits, and how a family describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.core.errors import ArgumentValueError


class Section(NamedTuple):
    """A part of a network as its author would explain it: a row of the table of `zoo.describe`.

    Attributes:
        name: what the row is called, such as "level 2".
        modules: dotted names of the submodules; no two sections share one.
        resolution: (height, width) of the maps in there, (frames,) of a mel; None where there is no map.
        channels: width of the maps; None where several occur.
        mult: channels / base width, where the user chooses it.
        blocks: number of residual or transformer blocks.
        attention: number of attention layers.
        heads: heads of each of them; 0 without attention.
    """

    name: str
    modules: tuple[str, ...]
    resolution: tuple[int, ...] | None = None
    channels: int | None = None
    mult: float | None = None
    blocks: int = 0
    attention: int = 0
    heads: int = 0


def level_widths(
    base_channels: int, channel_mult: Sequence[int | float], groups: int, *, base_is_width: bool = True
) -> list[int]:
    """base_channels x channel_mult[i] for each level.

    Args:
        base_channels: at least 1.
        channel_mult: one entry per level.
        groups: divides every width.
        base_is_width: whether there is a map of base_channels, whatever channel_mult says.

    Raises:
        ArgumentValueError: when a width is not a multiple of ``groups``, as group norms need, or none is.
    """
    if base_channels < 1 or (base_is_width and base_channels % groups):
        nearest = " or ".join(map(str, _nearest_multiples(base_channels, groups)))
        raise ArgumentValueError(
            f"base_channels must be a multiple of norm_groups = {groups}, got {base_channels}; nearest: {nearest}"
        )
    if not channel_mult:
        raise ArgumentValueError("channel_mult is empty; it needs one entry per level, such as [1, 2, 2]")
    widths = []
    for i, mult in enumerate(channel_mult):
        width = base_channels * mult
        if width < 1 or width % groups:
            options = _nearest_multiples(width, groups)
            nearest = " or ".join(f"{option / base_channels:g} ({option} channels)" for option in options)
            raise ArgumentValueError(
                f"channel_mult[{i}] = {mult:g} makes {base_channels} x {mult:g} = {width:g} channels, not a "
                f"multiple of norm_groups = {groups}; nearest: {nearest}"
            )
        widths.append(int(width))
    return widths


def _nearest_multiples(number: float, step: int) -> list[int]:
    low = int(number // step) * step
    return [low, low + step] if low > 0 else [step]


def attention_levels(wanted: Sequence[int], resolution: int | Sequence[int], levels: int) -> list[bool]:
    """Whether each level attends: level i is at resolution / 2^i, rounded down, and attends if so wanted.

    Args:
        wanted: resolutions.
        resolution: side of level 0, or (height, width), of which the longer counts.
        levels: how many there are.

    Raises:
        ArgumentValueError: when a wanted resolution is that of no level, or a side is below 1.
    """
    given = (resolution,) if isinstance(resolution, int) else tuple(resolution)
    if len(given) not in (1, 2) or min(given) < 1:
        raise ArgumentValueError(f"resolution must be a side >= 1 or a (height, width) of them, got {resolution}")
    sides = [max(given) // 2**i for i in range(levels)]
    for side in wanted:
        if side not in sides:
            nearest = min(sides, key=lambda known: abs(known - side))
            raise ArgumentValueError(
                f"attention_resolutions: no level is at {side}; with resolution = {max(given)} and {levels} "
                f"in channel_mult they are at {', '.join(map(str, sides))}; nearest: {nearest}"
            )
    return [side in wanted for side in sides]
