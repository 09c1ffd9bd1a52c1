"""The running average of the weights, which is what one samples from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion


class EMA:
    """An exponential moving average of a model's weights, itself a model.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that the random first weights are soon forgotten.

    Args:
        model: to be averaged; the average starts as its copy.
        decay: how much of the average stays at each update, in the long run.
    """

    def __init__(self, model: Diffusion, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def decay_at(self, updates: int) -> float:
        """The decay of the update that comes after so many."""
        return min(self.decay, (1 + updates) / (10 + updates))

    @torch.no_grad()
    def update(self, model: Diffusion, updates: int) -> None:
        """Move the average toward the model.

        Args:
            model: the one being trained.
            updates: how many there were before.
        """
        averages: list[Tensor] = list(self.model.parameters())
        values: list[Tensor] = list(model.parameters())
        if averages:
            torch._foreach_lerp_(averages, values, 1 - self.decay_at(updates))
        for average, value in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(value)
