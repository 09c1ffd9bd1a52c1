"""Averages of any width after training, made of the snapshots of a run."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

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


@torch.no_grad()
def synthesize(run: str | PathLike[str], sigma_rel: float, *, step: int | None = None) -> Diffusion:
    """The average of a width that was not kept while training (Karras et al. 2024, section 3.2).

    Args:
        run: the folder of a run with ``training.ema_profiles``.
        sigma_rel: width of the profile as a share of the run; those between and near the kept ones come out best.
        step: at which the profile ends, at or before the last snapshot; None for the last snapshot.

    Returns:
        A model in eval mode; its buffers are those of the last snapshot up to ``step``.

    Raises:
        SnapshotError: there are no snapshots, or none up to ``step``.
        ArgumentValueError: the width is out of range.
        CheckpointError: a snapshot cannot be read.
    """
    gamma = exponent(sigma_rel)
    found = []
    for path in sorted((Path(run) / FOLDER).glob("step-*.safetensors")):
        metadata = checkpoint.read_header(path).metadata
        found.append((int(metadata["zoo.step"]), exponent(float(metadata[_NOTE])), path))
    last = max((at for at, _, _ in found), default=0)
    used = [one for one in found if step is None or one[0] <= step]
    if not used:
        which = "no snapshots of averages" if not found else f"no snapshot up to step {step}"
        raise SnapshotError(f"{Path(run) / FOLDER} holds {which}: train with training.ema_profiles=[0.05, 0.1]")
    if step is not None and step > last:
        raise SnapshotError(f"step {step} is after the last snapshot of {Path(run) / FOLDER}, at step {last}")
    end = last if step is None else step
    factors = mix([(float(at), width) for at, width, _ in used], (float(end), gamma))
    model = load_model(used[-1][2])
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in model.parameters()]
    for factor, (_, _, path) in zip(factors.tolist(), used, strict=True):
        for total, parameter in zip(sums, load_model(path).parameters(), strict=True):
            total.add_(parameter, alpha=factor)
    for parameter, total in zip(model.parameters(), sums, strict=True):
        parameter.copy_(total)
    return model
