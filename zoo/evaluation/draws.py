"""Many samples, by one process or by several: a seed belongs to a sample, not to whoever draws it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import numpy as np
import torch
from torch import Tensor

from registry import RegistryError
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.evaluation.errors import EvaluationError
from zoo.progress import Events, Progress
from zoo.sampling import sample

CHUNK = 50
"""Samples that are asked for at a time, by whichever process: what is rounded together does not depend on how many."""

_ALIGNMENT = 64


@dataclass(frozen=True)
class _Job:
    """The samples ``start`` and after.

    Args:
        start: place of the first.
        seeds: one a sample.
        conditions: by name, a row a sample.
    """

    start: int
    seeds: list[int]
    conditions: Mapping[str, Any]


def draw(
    model: Diffusion,
    n: int,
    *,
    seed: int = 0,
    labels: Tensor | None = None,
    low_res: Tensor | None = None,
    processes: int = 1,
    devices: Sequence[torch.device | str] = ("cpu",),
    **settings: Any,
) -> Events[Tensor]:
    """Draw n samples; sample i is that of the seed ``seed + i``.

    They do not depend on the number of processes, to the last bit where each of them computes with as many threads.
    Threads are dealt to processes on the CPU. A script that asks for several needs the usual
    ``if __name__ == "__main__":``, because they start by importing it.

    Args:
        model: what is sampled; it must be picklable for more than one process.
        n: how many.
        seed: of the first.
        labels: (n,) classes, for a model that takes them.
        low_res: (n, C, h, w) pictures, for a model that enlarges them.
        processes: how many draw. One is this process.
        devices: where the models of the processes are, in turn.
        **settings: of :func:`zoo.sampling.sample`, such as sampler and steps.

    Returns:
        (n, ...) in data space, on the CPU.

    Raises:
        EvaluationError: there is no process to draw, or one of them failed.
    """
    if processes < 1:
        raise EvaluationError(f"processes: expected at least 1, got {processes}")
    given = {name: rows for name, rows in (("labels", labels), ("low_res", low_res)) if rows is not None}
    jobs = [
        _Job(
            start,
            list(range(seed + start, seed + min(start + CHUNK, n))),
            {name: rows[start : start + CHUNK] for name, rows in given.items()},
        )
        for start in range(0, n, CHUNK)
    ]
    processes = min(processes, max(1, len(jobs)))
    parts: dict[int, Tensor] = {}
    yield Progress("sampling", 0, n)
    drawing = (
        _here(model, jobs, devices[0], settings)
        if processes == 1
        else _apart(model, jobs, processes, devices, settings)
    )
    done = 0
    for start, rows in drawing:
        parts[start] = rows
        done += len(rows)
        yield Progress("sampling", done, n)
    return torch.cat([parts[job.start] for job in jobs])


_Parts = Generator[tuple[int, Tensor], None, None]


def _here(model: Diffusion, jobs: Sequence[_Job], device: torch.device | str, settings: Mapping[str, Any]) -> _Parts:
    _align(model.to(device))
    for job in jobs:
        yield job.start, _drawn(model, job, settings)


def _align(model: Diffusion) -> None:
    """Put the weights where a copy has them: kernels of the CPU round by the address at which their operands begin, and
    weights that are mapped from a file begin anywhere.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.untyped_storage().data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def _drawn(model: Diffusion, job: _Job, settings: Mapping[str, Any]) -> Tensor:
    return sample(model, len(job.seeds), seed=job.seeds, **settings, **job.conditions).cpu()


def _apart(
    model: Diffusion,
    jobs: Sequence[_Job],
    processes: int,
    devices: Sequence[torch.device | str],
    settings: Mapping[str, Any],
) -> _Parts:
    """What processes of their own draw, in the order in which it comes."""
    content = _pickled(model)
    # spawned: a forked process could use neither CUDA nor the threads that this one has started
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // processes)
    workers: dict[Connection, SpawnProcess] = {}
    try:
        for index in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            device = str(devices[index % len(devices)])
            worker = context.Process(
                target=_work,
                args=(theirs, content, jobs[index::processes], device, threads, dict(settings)),
                name=f"zoo-evaluate-{index}",
                daemon=True,
            )
            worker.start()
            # the worker's end alone stays open, so that its death ends the pipe
            theirs.close()
            workers[ours] = worker
        while workers:
            for pipe in wait(list(workers)):
                assert isinstance(pipe, Connection)
                try:
                    told = pipe.recv()
                except EOFError:
                    worker = workers[pipe]
                    worker.join()
                    raise EvaluationError(
                        f"a sampling process ended with code {worker.exitcode}; when memory ran out, take fewer "
                        "processes or a smaller batch"
                    ) from None
                if told is None:
                    workers.pop(pipe).join()
                elif isinstance(told, str):
                    raise EvaluationError(told)
                else:
                    yield told[0], torch.from_numpy(told[1])
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.join()


def _pickled(model: Diffusion) -> bytes:
    """The model on the CPU, from where each process takes it to its device."""
    home = model.device
    try:
        return pickle.dumps(model.to("cpu"))
    except Exception as error:  # what cannot be pickled says so in many ways
        first = str(error).partition("\n")[0]
        raise EvaluationError(f"this model cannot be handed to other processes ({first}); use one process") from None
    finally:
        model.to(home)


def _work(
    pipe: Connection, content: bytes, jobs: Sequence[_Job], device: str, threads: int, settings: Mapping[str, Any]
) -> None:
    """One process: draws its jobs and sends them, then None; or the message of what went wrong."""
    # Ctrl-C is for the process that started this one, and ends both; so does whatever else ends that one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        model: Diffusion = pickle.loads(content)
        for start, rows in _here(model, jobs, device, settings):
            pipe.send((start, np.ascontiguousarray(rows.numpy())))
        pipe.send(None)
    except (RegistryError, ZooError) as error:
        pipe.send(str(error))
    except Exception:
        pipe.send(f"a sampling process failed:\n{traceback.format_exc()}")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
