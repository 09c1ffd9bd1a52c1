"""Classifiers of noisy data, which guide a diffusion: what a file of one holds beside its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Classifier(nn.Module, ABC):
    """A network ``classifier(x_t, t) -> logits``, that knows nothing of schedules and samplers.

    Attributes:
        config: the resolved config that it was built from; empty for one that was made by hand.
        shape: of one sample, (C, H, W); None where any will do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config: Mapping[str, Any] = {}
        self.shape: tuple[int | None, ...] | None = None

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (B, ...) noisy data, t: (B,) the time label that the diffusion's network is given -> (B, classes)."""

    def part_tensors(self) -> dict[str, Tensor]:
        """Tables outside the network that a checkpoint carries, as a Diffusion has them: none."""
        return {}
