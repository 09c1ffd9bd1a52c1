"""Clocks: repeated walks, and the loop without its network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds that something took, over its repeats.

    Args:
        wall: the median of the wall clock.
        wall_min: its least.
        cpu: the median of the processor time of this process, all threads together.
    """

    wall: float
    wall_min: float
    cpu: float


def timed(prepare: Callable[[], T], work: Callable[[T], object], *, repeats: int, device: torch.device) -> Timing:
    """Time some work, after one round that is not timed.

    Args:
        prepare: makes what the work needs, anew for each round; not timed.
        work: what is timed.
        repeats: rounds that count.
        device: waited for at both ends, when it works on its own.
    """
    work(prepare())
    walls, cpus = [], []
    for _ in range(repeats):
        given = prepare()
        wait(device)
        wall, cpu = time.perf_counter(), time.process_time()
        work(given)
        wait(device)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timing(statistics.median(walls), min(walls), statistics.median(cpus))


def wait(device: torch.device) -> None:
    """Until a device that works on its own has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
