"""Running averages of the weights, which are what one samples from."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.training.profiles import exponent


class Average(ABC):
    """A running average of a model's weights, itself a model.

    Args:
        model: to be averaged; the average starts as its copy.
    """

    def __init__(self, model: Diffusion) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @abstractmethod
    def decay_at(self, updates: int) -> float:
        """How much of the average stays at the update that comes after so many."""

    @torch.no_grad()
    def update(self, model: Diffusion, updates: int) -> None:
        """Move the average toward the model.

        Args:
            model: the one being trained.
            updates: how many there were before.
        """
        # what is frozen is its own average
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        trained = [(average, value) for average, value in pairs if value.requires_grad]
        averages: list[Tensor] = [average for average, _ in trained]
        values: list[Tensor] = [value for _, value in trained]
        if averages:
            torch._foreach_lerp_(averages, values, 1 - self.decay_at(updates))
        for average, value in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(value)


class EMA(Average):
    """An exponential moving average.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that the random first weights are soon forgotten.

    Args:
        model: to be averaged.
        decay: how much of the average stays at each update, in the long run.
    """

    def __init__(self, model: Diffusion, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    def decay_at(self, updates: int) -> float:
        return min(self.decay, (1 + updates) / (10 + updates))


class PowerEMA(Average):
    """The average over the profile t^gamma, which grows with the run (Karras et al. 2024, section 3.1).

    The decay of update t is (1 - 1/t)^(gamma + 1). The weights of update i then have the share
    (i/T)^(gamma + 1) - ((i - 1)/T)^(gamma + 1) of the average at T, which is the profile's integral over the update;
    nothing is left of what was before the first.

    Args:
        model: to be averaged.
        sigma_rel: width of the profile as a share of the run, above 0 and below 0.289, that of equal shares.
    """

    def __init__(self, model: Diffusion, sigma_rel: float) -> None:
        super().__init__(model)
        self.sigma_rel, self.gamma = sigma_rel, exponent(sigma_rel)

    def decay_at(self, updates: int) -> float:
        return float((1 - 1 / (updates + 1)) ** (self.gamma + 1))
