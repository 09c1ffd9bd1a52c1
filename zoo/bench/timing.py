"""Clocks: repeated walks, the loop without its network, and processes that start."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")

COMMANDS = {
    "python": "pass",
    "import zoo": "import zoo",
    "zoo list": "import sys; from zoo.cli import main; sys.argv = ['zoo', 'list']; main()",
}
"""What a process does, as its Python code; the first is what Python itself takes."""


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
        _wait(device)
        wall, cpu = time.perf_counter(), time.process_time()
        work(given)
        _wait(device)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timing(statistics.median(walls), min(walls), statistics.median(cpus))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class StartupRow:
    """How long a process took.

    Args:
        command: what it did.
        seconds: the median, Python's own start included.
        seconds_min: the least.
        cpu: seconds of processor time, the median.
        loads_torch: whether torch was imported.
        reason: why it could not be measured; empty when it was.
    """

    command: str
    seconds: float | None
    seconds_min: float | None
    cpu: float | None
    loads_torch: bool | None
    reason: str = ""


def startup(command: str, *, repeats: int) -> StartupRow:
    """Run one of :data:`COMMANDS` in new processes, one after the other; the first is not counted."""
    at_exit = "import atexit, sys; atexit.register(lambda: sys.stderr.write('\\n' + str('torch' in sys.modules)))"
    walls, cpus = [], []
    for _ in range(repeats + 1):
        began, before = time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-c", f"{at_exit}\n{COMMANDS[command]}"], capture_output=True, text=True, check=False
        )
        walls.append(time.perf_counter() - began)
        after = os.times()
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
        said = [line for line in done.stderr.splitlines() if line.strip()]
        if done.returncode:
            return StartupRow(
                command, None, None, None, None, said[-2] if len(said) > 1 else f"exit code {done.returncode}"
            )
    walls, cpus = walls[1:], cpus[1:]
    return StartupRow(command, statistics.median(walls), min(walls), statistics.median(cpus), said[-1] == "True")
