"""Averages of any width after training, made of the snapshots of a run."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch

from zoo import checkpoint
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.loading import load_model
from zoo.training.profiles import exponent, mix

FOLDER = "averages"
"""Of a run, where its snapshots are."""

_NOTE = "zoo.note.sigma_rel"


class SnapshotError(ZooError):
    """A folder that holds no snapshots of averages."""


def write_snapshot(folder: Path, step: int, number: int, model: Diffusion, sigma_rel: float) -> None:
    """Keep an average as a model file.

    Args:
        folder: of the run.
        step: updates done.
        number: of the profile among those of the run.
        model: the average.
        sigma_rel: its width.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    path = folder / FOLDER / f"step-{step:06d}-{number}.safetensors"
    checkpoint.save(model, path, step=step, weights="ema", sigma_rel=repr(sigma_rel))


def drop_snapshots(folder: Path, *, after: int) -> None:
    """Remove the snapshots of a run that are later than a step.

    Args:
        folder: of the run.
        after: the step.
    """
    for path in (folder / FOLDER).glob("step-*.safetensors"):
        number = path.name.split("-")[1]
        if number.isdigit() and int(number) > after:
            path.unlink()


@torch.no_grad()
def synthesize(run: str | PathLike[str], sigma_rel: float, *, step: int | None = None) -> Diffusion:
    """The average of a width that was not kept while training (Karras et al. 2024, section 3.2).

    Args:
        run: the folder of a run with ``training.ema_profiles``.
        sigma_rel: width of the profile as a share of the run; those between and near the kept ones come out best.
        step: at which the profile ends, one of those with a snapshot; None for the last.

    Returns:
        A model in eval mode; its buffers are those of the snapshot at ``step``.

    Raises:
        SnapshotError: there are no snapshots, or none at ``step``.
        ArgumentValueError: the width is out of range.
        CheckpointError: a snapshot cannot be read.
    """
    gamma, found = exponent(sigma_rel), _snapshots(run)
    end = _end(found, run, step)
    used = [one for one in found if one.step <= end]
    factors = mix([(float(one.step), one.gamma) for one in used], (float(end), gamma))
    model = load_model(used[-1].path)
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in model.parameters()]
    for factor, one in zip(factors.tolist(), used, strict=True):
        for total, parameter in zip(sums, load_model(one.path).parameters(), strict=True):
            total.add_(parameter, alpha=factor)
    for parameter, total in zip(model.parameters(), sums, strict=True):
        parameter.copy_(total)
    return model


def last_step(run: str | PathLike[str], step: int | None = None) -> int:
    """The step at which an average ends: ``step`` where there is a snapshot, or that of the last one.

    What was learned after a snapshot is in none before it, so that no sum of them ends in between.

    Raises:
        SnapshotError: there are no snapshots, or none at ``step``.
        CheckpointError: a snapshot cannot be read.
    """
    return _end(_snapshots(run), run, step)


def _end(snapshots: Sequence[_Snapshot], run: str | PathLike[str], step: int | None) -> int:
    steps = sorted({one.step for one in snapshots})
    if not steps:
        raise SnapshotError(
            f"{Path(run) / FOLDER} holds no snapshots of averages: train with training.ema_profiles=[0.05, 0.1]"
        )
    if step is not None and step not in steps:
        raise SnapshotError(
            f"{Path(run) / FOLDER} holds no snapshot at step {step}; there are some at {', '.join(map(str, steps))}"
        )
    return steps[-1] if step is None else step


class _Snapshot(NamedTuple):
    """What the name and the header of a snapshot tell."""

    step: int
    gamma: float
    path: Path


def _snapshots(run: str | PathLike[str]) -> list[_Snapshot]:
    """Those of a run, by step and profile."""
    found = []
    for path in sorted((Path(run) / FOLDER).glob("step-*.safetensors")):
        metadata = checkpoint.read_header(path).metadata
        if _NOTE not in metadata:
            raise SnapshotError(f"{path} is no snapshot of an average: take it out of {path.parent}")
        found.append(_Snapshot(int(metadata["zoo.step"]), exponent(float(metadata[_NOTE])), path))
    return found
