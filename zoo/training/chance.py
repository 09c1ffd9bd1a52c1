"""What is random in an update, by an example's place in it: whoever computes the example draws the same for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.core.noise import seeds
from zoo.core.objective import Objective
from zoo.core.schedule import Schedule
from zoo.training import augment
from zoo.training.feed import derived_seed


class Chance:
    """The draws of one update.

    How an update's examples are dealt to passes and processes has no say in them: a place has its own noise, and the
    few numbers that a place needs besides are drawn for all places at once. A coin is one for all of them.

    Args:
        seed: of the run.
        step: number of the update.
        places: examples of the update, in all passes of all processes.
    """

    def __init__(self, seed: int, step: int, places: int) -> None:
        self._seed, self._step, self._places = seed, step, places
        self._noise_seeds = seeds(derived_seed(seed, "noise", step), places)

    def times(self, objective: Objective, schedule: Schedule) -> Tensor:
        """Times of all places: (places,) float64 on the CPU."""
        return objective.times(self._places, schedule, self._generator("times"))

    def uniform(self, what: str) -> Tensor:
        """A number in [0, 1) for each place, (places,); those of another ``what`` have nothing to do with them."""
        return torch.rand(self._places, generator=self._generator(what))

    def changes(self, probability: float) -> Tensor:
        """Changes of the pictures of all places: (places, 8), as :func:`zoo.training.augment.draw`."""
        return augment.draw(self._places, probability, self._generator("augment"))

    def coin(self, what: str) -> bool:
        """Heads or tails, one for all places."""
        return bool(torch.rand((), generator=self._generator(what)) < 0.5)

    def noise(self, places: range, shape: Sequence[int]) -> Tensor:
        """Standard normal noise, (len(places), *shape) float32 on the CPU: the same for every device."""
        generator = torch.Generator()
        rows = torch.empty(len(places), *shape)
        for row, place in zip(rows, places, strict=True):
            torch.randn(row.shape, generator=generator.manual_seed(self._noise_seeds[place]), out=row)
        return rows

    def _generator(self, what: str) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(self._seed, what, self._step))
