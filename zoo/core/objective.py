"""Objectives: at which times a model is trained, and how much each counts."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from zoo.core.schedule import Marginal, Schedule


class Objective(ABC):
    """A distribution over times and a weight for each."""

    @abstractmethod
    def times(self, n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
        """n times of the schedule, (n,) float64 on the CPU."""

    def weight(self, m: Marginal) -> Tensor:
        """The weight of the squared error of the network's output at m: (n,)."""
        return torch.ones_like(m.alpha)


def uniform_times(n: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Equally likely times: whole ones of a table, any one between t_min and t_max of a continuous schedule."""
    u = torch.rand(n, dtype=torch.float64, generator=generator)
    if schedule.steps is not None:
        return (u * schedule.steps).floor().clamp(max=schedule.steps - 1)
    return schedule.t_min + u * (schedule.t_max - schedule.t_min)
