"""Conditioners: raw features (units, f0, text, ...) to the keyword tensors that a denoiser takes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn


class Conditioner(nn.Module):
    """A trainable map from raw features to conditions. A module, since it is saved with the denoiser."""

    @abstractmethod
    def forward(self, **features: Any) -> dict[str, Tensor]:
        """The conditions, batch first, by the names that the denoiser's forward takes."""
