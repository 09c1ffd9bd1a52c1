"""The loss as a function of the noise: where a network is good, and where it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.core.schedule import Schedule
from zoo.evaluation.errors import EvaluationError
from zoo.progress import Events, Progress

_BATCH = 64
_GRID = 1001


@dataclass(frozen=True)
class Level:
    """The loss in one interval of log SNR.

    Args:
        log_snr: its mean over the pictures.
        loss: the mean of ``Diffusion.loss``, unweighted.
        error: the standard error of that mean.
        pictures: how many.
    """

    log_snr: float
    loss: float
    error: float
    pictures: int


def intervals(schedule: Schedule, levels: int, places: Tensor) -> list[Tensor]:
    """Times in intervals of log SNR of one width, which together are all that a model was trained on.

    The ends are the least and the greatest log SNR of the trained times that is finite. An interval of a discrete
    schedule without a trained time is left out.

    Args:
        schedule: of the model.
        levels: how many intervals.
        places: (N,) in [0, 1): where in an interval each time lies.

    Returns:
        (N,) times for each interval, from the most noise to the least.
    """
    count = _GRID if schedule.steps is None else schedule.steps
    trained = torch.linspace(schedule.t_min, schedule.t_max, count, dtype=torch.float64)
    log_snr = schedule(trained).log_snr
    trained, log_snr = trained[log_snr.isfinite()], log_snr[log_snr.isfinite()]
    low, high = float(log_snr.min()), float(log_snr.max())
    if schedule.steps is None:
        wanted = [low + (high - low) * (number + places) / levels for number in range(levels)]
        return [schedule.inverse((-one / 2).exp()) for one in wanted]
    numbers = ((log_snr - low) / (high - low) * levels).floor().clamp(max=levels - 1)
    within = [trained[numbers == number] for number in range(levels)]
    return [times[(places * len(times)).long()] for times in within if len(times)]


@torch.no_grad()
def loss_by_level(
    model: Diffusion,
    images: Tensor,
    labels: Tensor | None,
    *,
    low_res: Tensor | None = None,
    levels: int = 20,
    seed: int = 0,
) -> Events[list[Level]]:
    """The mean loss in intervals of log SNR of one width, on the same pictures and the same noise in each of them.

    Args:
        model: what is judged; it is asked in evaluation mode.
        images: (N, C, H, W) in data space, N >= 2.
        labels: (N,) their classes, for a model that takes them.
        low_res: (N, C, h, w) smaller ones of them, for a model that enlarges these.
        levels: how many intervals, see :func:`intervals`.
        seed: of the noise and the places in the intervals.

    Returns:
        One an interval, from the most noise to the least.

    Raises:
        EvaluationError: fewer than two pictures.
    """
    if len(images) < 2:
        raise EvaluationError(f"{len(images)} pictures are too few for a mean loss; it takes 2")
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(len(images), dtype=torch.float64, generator=generator)
    eps = torch.randn(images.shape, generator=generator)
    given = [(name, all_) for name, all_ in (("labels", labels), ("low_res", low_res)) if all_ is not None]
    training = [module for module in model.modules() if module.training]
    model.eval()
    found = []
    try:
        several = intervals(model.schedule, levels, places)
        for number, t in enumerate(several):
            yield Progress("loss by noise level", number, len(several))
            losses = torch.cat(
                [
                    _losses(model, images[rows], eps[rows], t[rows], {name: all_[rows] for name, all_ in given})
                    for rows in torch.split(torch.arange(len(images)), _BATCH)
                ]
            )
            mean_log_snr = float(model.schedule(t).log_snr.mean())
            error = float(losses.std()) / math.sqrt(len(losses))
            found.append(Level(mean_log_snr, float(losses.mean()), error, len(losses)))
    finally:
        for module in training:
            module.training = True
    return found


def _losses(model: Diffusion, images: Tensor, eps: Tensor, t: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
    """(B,) float64 on the CPU."""
    x_0 = model.scaling.encode(images.to(model.device))
    cond = {name: rows.to(model.device) for name, rows in conditions.items()}
    losses = model.loss(x_0, t=t.to(model.device), eps=eps.to(x_0), **cond)
    return losses.to("cpu", torch.float64)
