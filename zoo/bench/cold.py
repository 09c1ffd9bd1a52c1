"""Cold starts: what the first things take that a user does, each in new processes of its own."""

from __future__ import annotations

import importlib.util
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.bench.suite import Startup

_SAME = 1e-4
"""Norms of the same weights, summed in float32 in another order, differ by less."""

_CHILD = """\
import atexit, sys, time

def told():
    took = time.perf_counter() - began
    try:
        peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    except OSError:
        peak = 0
    sys.stderr.write(f"\\n{'torch' in sys.modules} {took} {peak} {norm}")

norm, began = 0.0, time.perf_counter()
atexit.register(told)
"""
"""Begins every process: what it tells at its end. Imports of its own are those that Python has made anyway."""

_NORM = "norm = math.sqrt(sum(float(torch.linalg.vector_norm(p)) ** 2 for p in weights.parameters()))"
"""A mapped file is read when it is used: every weight is used once, by each of those that load."""


@dataclass(frozen=True)
class Action:
    """What a process does.

    Args:
        code: as Python; all of it when there is nothing before it.
        before: imports that are told apart from it.
        reason: why it cannot be done here; empty when it can.
    """

    code: str
    before: str = ""
    reason: str = ""


@dataclass(frozen=True)
class StartupRow:
    """How long a process took.

    Args:
        command: what it did.
        seconds: the median, Python's own start included.
        seconds_min: the least.
        cpu: seconds of processor time, the median.
        loads_torch: whether torch was imported.
        reason: why it could not be measured, or why it does not count; empty when it does.
        step: seconds after the imports, the median; None where all of it is imports.
        peak: the most bytes of memory that it held, the median; mapped files count as far as they were read.
        norm: of the weights that it loaded.
    """

    command: str
    seconds: float | None
    seconds_min: float | None
    cpu: float | None
    loads_torch: bool | None
    reason: str = ""
    step: float | None = None
    peak: int | None = None
    norm: float | None = None


@dataclass(frozen=True)
class _Take:
    """One process."""

    seconds: float
    cpu: float
    loads_torch: bool
    step: float
    peak: int
    norm: float


def measured(startup: Startup, *, threads: int) -> Iterator[str | StartupRow]:
    """Do everything once that does not count, then ``repeats`` times in turn.

    Args:
        startup: what is done.
        threads: of torch.

    Yields:
        What is going on; at the end the rows.

    Raises:
        ConfigError, CheckpointError: a model cannot be built, or has no weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield "writing the weights that are loaded"
        todo = _actions(startup, Path(folder))
        takes: dict[str, list[_Take]] = {title: [] for title in todo}
        failed = {title: f"refused: {action.reason}" for title, action in todo.items() if action.reason}
        for count in range(startup.repeats + 1):
            yield f"processes, round {count} of {startup.repeats}"
            for title, action in todo.items():
                if title in failed:
                    continue
                take = _taken(action, threads)
                if isinstance(take, str):
                    failed[title] = f"failed: {take}"
                elif count:  # files and caches are warm from the first round on
                    takes[title].append(take)
    yield from _compared([_row(title, todo[title], takes[title], failed.get(title, "")) for title in todo])


def _actions(startup: Startup, folder: Path) -> dict[str, Action]:
    found = {
        "python": Action("pass"),
        "import zoo": Action("import zoo"),
        "zoo list": Action("from zoo.cli import main; sys.argv = ['zoo', 'list']; main()"),
        "import torch": Action("import torch"),
    }
    if startup.large:
        found |= _large(startup.large, folder)
    if startup.shipped:
        name, picture = startup.shipped, str(folder / "picture.png")
        found["load, shipped"] = Action(
            f"weights = zoo.build({name!r}, pretrained=True).denoiser; {_NORM}", "import math, torch, zoo.factory"
        )
        words = ["zoo", "sample", name, "-n", "1", "--out", picture, "--device", "cpu"]
        found["first picture"] = Action(f"from zoo.cli import main; sys.argv = {words!r}; main()")
    return {title: found[title] for title in startup.titles}


def _large(name: str, folder: Path) -> dict[str, Action]:
    """Fresh weights in a file of ours, one of torch, and a folder of diffusers; and who loads them."""
    import torch

    from zoo import checkpoint, exporting, factory
    from zoo.exporters.errors import ExportError

    ours, pickled, exported = folder / "model.safetensors", folder / "model.pt", folder / "diffusers"
    model = factory.build(name)
    checkpoint.save(model, ours, weights="raw")
    torch.save(model.denoiser.state_dict(), pickled)
    reason = ""
    try:
        exporting.export(model, exported)
    except ExportError as error:
        reason = str(error)
    if importlib.util.find_spec("diffusers") is None:
        reason = "diffusers is not installed: pip install 'diffusion-zoo[bench]'"
    mine, theirs = (
        "import math, torch, zoo.factory, zoo.loading",
        "import math, torch; from diffusers import UNet2DModel",
    )
    naive = f"weights = zoo.build({name!r}).denoiser; weights.load_state_dict(torch.load({str(pickled)!r}))"
    return {
        "build on meta": Action(f"zoo.build({name!r}, device='meta')", mine),
        "load": Action(f"weights = zoo.load({str(ours)!r}).denoiser; {_NORM}", mine),
        "load: torch.load": Action(f"{naive}; {_NORM}", mine),
        "load: diffusers": Action(
            f"weights = UNet2DModel.from_pretrained({str(exported / 'unet')!r}); {_NORM}", theirs, reason
        ),
    }


def _taken(action: Action, threads: int) -> _Take | str:
    """A process that does it; what it complained of, if it failed."""
    code = f"{_CHILD}{action.before}\nbegan = time.perf_counter()\n{action.code}\n"
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    seconds, after = time.perf_counter() - began, os.times()
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        return said[-2] if len(said) > 1 else f"exit code {done.returncode}"
    loaded, step, peak, norm = said[-1].split()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return _Take(seconds, cpu, loaded == "True", float(step), 1024 * int(peak), float(norm))


def _row(title: str, action: Action, takes: list[_Take], reason: str) -> StartupRow:
    if reason or not takes:
        return StartupRow(title, None, None, None, None, reason)
    return StartupRow(
        title,
        seconds=statistics.median(take.seconds for take in takes),
        seconds_min=min(take.seconds for take in takes),
        cpu=statistics.median(take.cpu for take in takes),
        loads_torch=takes[-1].loads_torch,
        step=statistics.median(take.step for take in takes) if action.before else None,
        peak=statistics.median_high(take.peak for take in takes) or None,
        norm=takes[-1].norm or None,
    )


def _compared(rows: list[StartupRow]) -> Iterator[StartupRow]:
    """Who loaded something else than we did has not done the same work."""
    norms: Mapping[str, float | None] = {row.command: row.norm for row in rows}
    for row in rows:
        ours = norms.get("load")
        if row.command.startswith("load:") and row.norm and ours and not math.isclose(row.norm, ours, rel_tol=_SAME):
            row = replace(row, reason=f"failed: holds other weights, of norm {row.norm:g} and not {ours:g}")
        yield row
