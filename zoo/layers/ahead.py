"""Linear maps of what a walk knows beforehand: the time, the class, the condition of a mel.

Every block has a map of its own of the same vector. A network can work all of them out ahead, for all times of a walk
together, and hand its blocks the results: each takes the one of its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Ahead = tuple[Tensor, ...]
"""The results of all maps of a kind, in the order of their numbers."""


class Numbered(Protocol):
    """A map that has a number among those of its network."""

    number: int

    @property
    def width(self) -> int:
        """Of its result."""
        ...

    def __call__(self, vector: Tensor | Ahead, /) -> Tensor: ...


class TimeProjection(nn.Linear):
    """A block's linear map of its network's time vector, (B, W) -> (B, C), or what was worked out ahead."""

    number = 0

    @property
    def width(self) -> int:
        """C."""
        return self.out_features

    def forward(self, vector: Tensor | Ahead) -> Tensor:
        """vector: (B, W), or all results ahead, (1, C) or (B, C) each."""
        return vector[self.number] if isinstance(vector, tuple) else super().forward(vector)


class Modulation(nn.Sequential):
    """silu, then a linear map, of the condition of a transformer: (B, W) -> (B, C), or what was worked out ahead."""

    number = 0

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(nn.SiLU(), nn.Linear(channels, out_channels))
        self.width = out_channels

    def forward(self, vector: Tensor | Ahead) -> Tensor:
        """vector: (B, W), or all results ahead, (1, C) or (B, C) each."""
        if isinstance(vector, tuple):
            return vector[self.number]
        return super().forward(vector)  # type: ignore[no-any-return, no-untyped-call]


class FrameProjection(nn.Conv1d):
    """A layer's 1x1 convolution, (B, H, T) -> (B, C, T), or what was worked out ahead."""

    number = 0

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, kernel_size=1)

    @property
    def width(self) -> int:
        """C."""
        return self.out_channels

    def forward(self, frames: Tensor | Ahead) -> Tensor:
        """frames: (B, H, T), or all results ahead, (B, C, T) each."""
        return frames[self.number] if isinstance(frames, tuple) else super().forward(frames)


class CondProjection(FrameProjection):
    """That of the condition of a mel."""

    def ahead(self, cond: Tensor) -> Tensor:
        """(B, H, T) -> (B, C, T), the channels of a frame side by side in memory, as a walk's kernels have them."""
        return F.linear(cond.mT, self.weight.flatten(1), self.bias).mT


def number(network: nn.Module, kind: type[nn.Module]) -> list[int]:
    """Number the maps of a kind in a network, in the order of its modules; the width of each result."""
    maps = _maps(network, kind)
    for index, one in enumerate(maps):
        one.number = index
    return [one.width for one in maps]


def all_ahead(network: nn.Module, kind: type[nn.Module], vector: Tensor) -> Tensor:
    """The results of all maps of a kind side by side: (R, W) -> (R, sum of their widths)."""
    return torch.cat([one(vector) for one in _maps(network, kind)], dim=1)


def cond_ahead(network: nn.Module, cond: Tensor) -> dict[str, Tensor]:
    """The results of all projections of a condition, by their numbers: (B, H, T) -> `cond.i`, (B, C, T) each."""
    maps = [module for module in network.modules() if isinstance(module, CondProjection)]
    return {f"cond.{one.number}": one.ahead(cond) for one in maps}


def told(prepared: Mapping[str, Tensor], cond: Tensor, count: int) -> Tensor | Ahead:
    """What `cond_ahead` made for so many layers; the condition itself where it was not asked."""
    return tuple(prepared[f"cond.{i}"] for i in range(count)) if "cond.0" in prepared else cond


def apart(row: Tensor, widths: Sequence[int]) -> Ahead:
    """The results that lie side by side in a row: (B, sum of widths) -> (B, width) each."""
    return row.split(list(widths), dim=1)  # type: ignore[no-any-return, no-untyped-call]


def _maps(network: nn.Module, kind: type[nn.Module]) -> list[Numbered]:
    return [cast(Numbered, module) for module in network.modules() if isinstance(module, kind)]
