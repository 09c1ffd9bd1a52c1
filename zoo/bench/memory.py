"""Memory: what sampling is said to hold beside what it held, measured in a process of its own for each batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from zoo import factory, sampling
from zoo.bench.suite import IDENTITY, Memory, ModelChoice
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.footprint import footprints, usual_conditions

_CHILD = "from zoo.bench.memory import child; child()"


@dataclass(frozen=True)
class MemoryRow:
    """What one batch took, in bytes.

    Args:
        model: its title in the suite.
        batch: samples that were walked together.
        precision: of the network's arithmetic.
        stated: by ``zoo show``, all in all.
        activations: the part of it that is the network's activations.
        measured: what the process took for the model and its walk, at the peak: resident memory, on a GPU what torch
            allocated there.
        reason: why something was not measured; empty when it was.
    """

    model: str
    batch: int
    precision: str
    stated: int | None = None
    activations: int | None = None
    measured: int | None = None
    reason: str = ""


def rows(choice: ModelChoice, memory: Memory, device: torch.device, threads: int) -> Iterator[MemoryRow]:
    """The rows of one model.

    Args:
        choice: the model, with fresh weights.
        memory: what is measured.
        device: where it is sampled.
        threads: of torch.
    """
    for precision, batch in product(memory.precisions, memory.batches):
        row = MemoryRow(choice.title, batch, precision)
        task = {**asdict(choice), "batch": batch, "precision": precision, "steps": memory.steps}
        task |= {"guided": memory.guided, "device": str(device), "threads": threads}
        try:
            model, shape = _opened(task, "meta")
            told = footprints(model, batch, shape=shape, guided=memory.guided, device=device.type)
            one = next((one for one in told if one.precision == precision), told[0])
            stated, activations = one.total, one.activations
        except ZooError as error:
            yield MemoryRow(choice.title, batch, precision, reason=f"refused: {error}")
            continue
        done = subprocess.run(
            [sys.executable, "-c", _CHILD], input=json.dumps(task), capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            row = MemoryRow(
                *(choice.title, batch, precision, stated, activations),
                reason=f"failed: {said[-1] if said else f'exit code {done.returncode}'}",
            )
        else:
            row = MemoryRow(choice.title, batch, precision, stated, activations, int(done.stdout.split()[-1]))
        yield row


def child() -> None:
    """Do what the task on stdin says, and print the bytes that it took."""
    task = json.load(sys.stdin)
    torch.set_num_threads(task["threads"])
    device = torch.device(task["device"])
    # everything that is imported on the way is no memory of the walk
    _opened(task, "meta")
    if device.type == "cuda":
        torch.zeros(1, device=device)
        torch.cuda.reset_peak_memory_stats(device)
    before = _resident()
    _walk(task, device)
    took = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak() - before
    sys.stdout.write(f"\n{took}\n")


def _walk(task: dict[str, Any], device: torch.device) -> None:
    model, shape = _opened(task, device)
    generator = torch.Generator().manual_seed(0)
    conditions: dict[str, Any] = {
        name: torch.randn(task["batch"], *one.shape[1:], generator=generator)
        if one.is_floating_point()
        else torch.zeros(task["batch"], *one.shape[1:], dtype=one.dtype)
        for name, one in usual_conditions(model, shape).items()
    }
    sampling.sample(
        model.eval(),
        task["batch"],
        shape=shape,
        guidance={None: None, True: 2.0, False: ()}[task["guided"]],
        precision=task["precision"],
        batch=task["batch"],
        **conditions,
    )


def _opened(task: dict[str, Any], device: torch.device | str) -> tuple[Diffusion, tuple[int, ...]]:
    """The model with fresh weights, and the shape of a sample."""
    if task["config"] == IDENTITY:
        raise ZooError("the memory of a loop without a network is not measured")
    overrides = {**task["overrides"], "sampling": {**task["overrides"].get("sampling", {}), "steps": task["steps"]}}
    model: Diffusion = factory.build(task["config"], device=device, **overrides)
    shape = model.shape if task["shape"] is None else tuple(task["shape"])
    if shape is None or None in shape:
        raise ZooError("the shape of a sample is open: give the model a shape in the suite")
    return model, tuple(int(side) for side in shape if side is not None)


def _resident() -> int:
    """Bytes of this process that lie in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    """The most bytes of this process that ever lay in memory."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
