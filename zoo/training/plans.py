"""What a run will take, measured on a few of its own steps and thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.training.feed import batches
from zoo.training.loop import Source, prepared
from zoo.training.peaks import peak_bytes

_MEASURED = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is about to do; bytes are those of one process.

    Attributes:
        data: what it learns from.
        examples: number of them.
        device: where it trains.
        parameters: values in all weights.
        trained: values that are not frozen.
        step: updates that are done, where the folder holds a run.
        steps: updates in all.
        per_step: examples of one update, in all processes.
        weights: bytes of parameters and buffers.
        average: bytes of their running averages.
        gradients: bytes, of what is trained.
        optimizer: bytes of its state.
        activations: bytes that one forward pass keeps for the backward pass.
        peak: the most bytes that were held while measuring: of the process, or on a GPU of what torch took there.
        seconds_per_step: measured, without samples and checkpoints.
        samples: grids that will be drawn.
        out: folder of the run.
        left: what does not fit of the weights that the run begins with, a line each.
        remarks: what does not stop the run and may not be meant, a line each.
    """

    data: str
    examples: int
    device: str
    parameters: int
    trained: int
    step: int
    steps: int
    per_step: int
    weights: int
    average: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    seconds_per_step: float
    samples: int
    out: Path
    left: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def memory(self) -> int:
        """The sum of what training holds at the end of a forward pass."""
        return self.weights + self.average + self.gradients + self.optimizer + self.activations

    @property
    def state(self) -> int:
        """Bytes on the disk of what a stopped run goes on from; twice as many while it is written anew."""
        return self.weights + self.average + self.optimizer

    @property
    def epochs(self) -> float:
        """How often every example is seen."""
        return self.steps * self.per_step / self.examples

    @property
    def seconds(self) -> float:
        """To the last update, without samples and checkpoints."""
        return (self.steps - self.step) * self.seconds_per_step

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        sums = {name: getattr(self, name) for name in ("memory", "state", "epochs", "seconds")}
        return {**asdict(self), **sums, "out": str(self.out), "left": list(self.left), "remarks": list(self.remarks)}


def plan(
    source: Source,
    *,
    out: str | PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
    device: torch.device | str | None = None,
    resume: bool = True,
) -> Plan:
    """Say what :func:`train` with the same arguments would take. A few steps are made in memory; nothing is written.

    Raises:
        ConfigError, DataError, ResumeError, StartError, TrainingError: as :func:`train`.
    """
    run = prepared(source, out=out, overrides=overrides, command_line=command_line, device=device)
    state = run.look(resume=resume)
    if state is None:
        run.initialize()
    settings = run.settings
    feed = batches(run.data, run.order(), settings.num_workers)
    if run.processes.count > 1:
        # joining them takes a pass that is no part of an update
        run.update(0, [next(feed)])
    with _kept(run.model.parameters()) as activations:
        run.update(0, [next(feed)])
    seconds = []
    for number in range(1, 1 + _MEASURED):
        began = time.perf_counter()
        # reading is part of a step
        run.update(number, [next(feed) for _ in range(settings.accumulate)])
        seconds.append(time.perf_counter() - began)
    weights = _size(chain(run.model.parameters(), run.model.buffers()))
    done = 0 if state is None else state["step"]
    ahead = settings.steps // settings.sample_every - done // settings.sample_every
    return Plan(
        data=run.data.describe(),
        examples=len(run.data),
        device=str(run.processes),
        parameters=run.parameters,
        trained=run.trained,
        step=done,
        steps=settings.steps,
        per_step=run.per_step,
        weights=weights,
        average=weights * (1 + len(run.profiles)),
        gradients=_size(parameter for parameter in run.model.parameters() if parameter.requires_grad),
        optimizer=_size(
            value for held in run.optimizer.state.values() for value in held.values() if isinstance(value, Tensor)
        ),
        activations=sum(activations.values()),
        peak=peak_bytes(run.device),
        # the quickest: whatever else the machine does only makes a step slower
        seconds_per_step=min(seconds),
        samples=ahead + (settings.steps % settings.sample_every > 0 and done < settings.steps),
        out=run.folder.path,
        left=run.left,
        remarks=run.remarks,
    )


@contextmanager
def _kept(parameters: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """Bytes of each storage that autograd keeps meanwhile, weights left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
