"""Scalings: between data as users have it and the space in which the model diffuses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.core.errors import ZooError


class ScalingError(ZooError, ValueError):
    """Numbers that do not make a scaling."""


class Scaling(ABC):
    """A fixed, invertible, elementwise map."""

    @abstractmethod
    def encode(self, data: Tensor) -> Tensor:
        """Data (B, C, ...) to model space."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Model space (B, C, ...) to data."""

    def tensors(self) -> dict[str, Tensor]:
        """Statistics that belong to the weights and are stored beside them."""
        return {}


class Identity(Scaling):
    """Data is diffused as it is: images in [-1, 1]."""

    def __init__(self) -> None:
        pass

    def encode(self, data: Tensor) -> Tensor:
        return data

    def decode(self, x: Tensor) -> Tensor:
        return x


class MinMax(Scaling):
    """[low, high] to [-1, 1], for all channels alike or per channel (mel bins).

    Args:
        low: what becomes -1; a number, or one a channel.
        high: what becomes 1; a number, or one a channel.
    """

    def __init__(self, *, low: float | Sequence[float], high: float | Sequence[float]) -> None:
        self.low, self.high = _statistic("low", low), _statistic("high", high)
        if not (self.high > self.low).all():
            raise ScalingError("high must be above low in every channel")

    def encode(self, data: Tensor) -> Tensor:
        low, high = _columns(self.low, data), _columns(self.high, data)
        return (data - low) / (high - low) * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        low, high = _columns(self.low, x), _columns(self.high, x)
        return (x + 1) / 2 * (high - low) + low

    def tensors(self) -> dict[str, Tensor]:
        return {"low": self.low, "high": self.high}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the statistics from a checkpoint."""
        self.low, self.high = tensors["low"].double(), tensors["high"].double()


class MeanStd(Scaling):
    """(data - mean) / std, for all channels alike or per channel (latents).

    Args:
        mean: subtracted; a number, or one a channel.
        std: divided by; a number, or one a channel.
    """

    def __init__(self, *, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0) -> None:
        self.mean, self.std = _statistic("mean", mean), _statistic("std", std)
        if not (self.std > 0).all():
            raise ScalingError("std must be positive in every channel")

    def encode(self, data: Tensor) -> Tensor:
        return (data - _columns(self.mean, data)) / _columns(self.std, data)

    def decode(self, x: Tensor) -> Tensor:
        return x * _columns(self.std, x) + _columns(self.mean, x)

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "std": self.std}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the statistics from a checkpoint."""
        self.mean, self.std = tensors["mean"].double(), tensors["std"].double()


def _statistic(name: str, value: float | Sequence[float]) -> Tensor:
    statistic = torch.as_tensor(value, dtype=torch.float64)
    if statistic.ndim > 1 or not statistic.isfinite().all():
        raise ScalingError(f"{name} must be a finite number or a list of them")
    return statistic


def _columns(statistic: Tensor, x: Tensor) -> Tensor:
    """The statistic shaped (C, 1, ...) against x: (B, C, ...)."""
    if statistic.ndim and len(statistic) not in (1, x.shape[1]):
        raise ScalingError(f"the scaling has {len(statistic)} channels, x of shape {tuple(x.shape)} has {x.shape[1]}")
    return statistic.to(x.device, x.dtype).reshape((-1,) + (1,) * (x.ndim - 2)) if statistic.ndim else statistic.to(x)
