"""What importers of mel models share: which file of a run, the stored tables, and the settings of sampling."""

from __future__ import annotations

import logging
import math
import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source

DERIVED = (
    "betas",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "timestep_factors",
)
"""Buffers that every GaussianDiffusion of this family stores, and that alphas_cumprod gives back."""

TRAINING = tuple(
    f"{folder}{name}.*"
    for folder in ("", "*/")
    for name in ("optimizer_states", "lr_schedulers", "optimizer", "callbacks", "loops")
)
"""What trainers store beside the weights, of which nothing is ever read."""

_LOG = logging.getLogger(__name__)
_NUMBERED = re.compile(r"(?:[^/]*[_-])?(\d+)\.(?:ckpt|pt|pth)")
_AUDIO = (
    "audio_sample_rate", "sampling_rate", "hop_size", "block_size", "win_size", "fft_size", "fmin", "fmax", "mel_base",
    "f0_min", "f0_max", "f0_extractor", "use_crepe", "hubert_path", "encoder", "vocoder", "use_vec", "pitch_norm",
)  # fmt: skip


class VoiceImporter(Importer):
    """A file, or the folder of a training run, of which the newest file counts; its config lies beside it."""

    configs: ClassVar[tuple[str, ...]] = ("config.yaml", "config.yml", "config.json")
    beside: ClassVar[bool] = True

    @abstractmethod
    def roots(self, part: Source) -> list[str]:
        """What the keys of each model of this layout in a file begin with, from key names alone."""

    def matches(self, source: Source) -> bool:
        return bool(self._roots(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        roots = self._roots(source)
        if len(roots) != 1:
            raise CheckpointError(f"{source.path}: holds several models, under {', '.join(map(repr, roots))}")
        return {"raw": newest(source).under(roots[0])}

    def _roots(self, source: Source) -> list[str]:
        part = newest(source)
        # a folder without numbered files is not a training run, and nothing in it is opened
        return [] if part is source and source.files else self.roots(part)

    def step(self, source: Source) -> int | None:
        part = newest(source)
        if isinstance(step := part.plain.get("global_step"), int):
            return step
        name = _NUMBERED.fullmatch(part.prefix.rstrip("/") or source.path.name)
        return int(name[1]) if name else None


def newest(source: Source) -> Source:
    """The file itself, or, in a folder, the file with the highest step in its name."""
    steps = [(int(found[1]), file) for file in source.files if (found := _NUMBERED.fullmatch(file))]
    return source.under(f"{max(steps)[1]}/") if steps else source


def schedule(part: Source, fields: Fields) -> dict[str, Any]:
    """The stored table if there is one, else the schedule of the config. A config that says otherwise is told of.

    Raises:
        CheckpointError: the table is damaged, or neither stored nor a line of betas.
    """
    kind = fields.get("schedule_type", str, "linear")
    if "alphas_cumprod" in part:
        _check(part, fields, kind)
        return {"name": "table", "steps": part.shape("alphas_cumprod")[0], "interpolation": "log-alpha"}
    if others := [name for name in DERIVED if name in part]:
        raise CheckpointError(f"{part.path}: has no tensor {part.prefix}alphas_cumprod, though it has {others[0]}")
    if kind != "linear":
        raise CheckpointError(
            f"{part.path}: has no schedule in it, and schedule_type {kind!r} of the config cannot be rebuilt exactly: "
            "load the whole checkpoint, which stores it"
        )
    usual = "as most models of this family; the file stores no schedule"
    return {
        "name": "diffsinger",
        "steps": fields.assume("timesteps", int, 1000, usual),
        "max_beta": fields.assume("max_beta", float, 0.02, usual),
        "interpolation": "log-alpha",
    }


def _check(part: Source, fields: Fields, kind: str) -> None:
    """Refuse a damaged table, and compare a sound one with the config."""
    table = part["alphas_cumprod"].double()
    if table.ndim != 1 or not ((table.diff() < 0).all() and table[0] <= 1 and table[-1] >= 0):
        raise CheckpointError(
            f"{part.path}: {part.prefix}alphas_cumprod, of shape {tuple(table.shape)}, must fall from 1 to 0 over the "
            "trained times: the file is damaged"
        )
    said = fields.get("timesteps", int, len(table))
    max_beta = fields.get("max_beta", float, 0.0)
    if said != len(table):
        _disagrees(part, fields, f"timesteps is {said} in the config, the stored schedule has {len(table)}")
    elif kind == "linear" and max_beta > 0:
        betas = torch.linspace(1e-4, max_beta, said, dtype=torch.float64)
        # the stored table is float32
        if (torch.cumprod(1 - betas, 0) - table).abs().max() > 1e-4:
            _disagrees(part, fields, f"max_beta is {max_beta:g} in the config, the stored schedule is another")


def scaling(part: Source, fields: Fields, mel_bins: int) -> dict[str, Any]:
    """The stored edges of the mel if there are any, else those of the config.

    Raises:
        CheckpointError: one of them is missing, or does not fit the mel.
    """
    names = ("spec_min", "spec_max")
    edges = [_edge(fields, name, mel_bins) for name in names]
    if any(name in part for name in names):
        for index, name in enumerate(names):
            if name not in part:
                raise CheckpointError(f"{part.path}: has no tensor {part.prefix}{name}")
            stored = part[name].double().flatten().tolist()
            if len(stored) not in (1, mel_bins):
                raise CheckpointError(
                    f"{part.path}: {part.prefix}{name} has {len(stored)} numbers for {mel_bins} bins of the mel"
                )
            if (said := edges[index]) is not None and not _alike(said, stored):
                _disagrees(part, fields, f"{name} in the config is another than the stored one")
            edges[index] = stored
    low, high = edges
    if low is None or high is None:
        fields.assumed.append("scaling: neither file nor config has spec_min and spec_max: mels stay in -1..1")
        return {"name": "identity"}
    return {"name": "min-max", "low": _number(low), "high": _number(high)}


def _disagrees(part: Source, fields: Fields, message: str) -> None:
    """What is stored counts; that the config says otherwise may be news to its owner."""
    fields.remarks.append(f"{message}, which counts")
    _LOG.warning("%s: %s", part.path, fields.remarks[-1])


def _edge(fields: Fields, name: str, mel_bins: int) -> list[float] | None:
    """One edge of the mel in the config: a number, or one a bin."""
    if not isinstance(fields.get(name, object, None), list | tuple):
        value = fields.get(name, float, math.nan)
        return None if math.isnan(value) else [value]
    return fields.get(name, list[float], [])[:mel_bins] or None


def _number(edge: list[float]) -> list[float] | float:
    """One number where there is only one."""
    return edge if len(edge) > 1 else edge[0]


def _alike(one: list[float], other: list[float]) -> bool:
    count = max(len(one), len(other))
    if not {len(one), len(other)} <= {1, count}:
        return False
    ours, theirs = (torch.tensor(edge).expand(count) for edge in (one, other))
    return torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def tables(part: Source) -> Iterator[tuple[str, Tensor]]:
    """The stored table and edges, by our names."""
    if "alphas_cumprod" in part:
        yield "schedule.alphas_cumprod", part["alphas_cumprod"].double()
    if "spec_min" in part and "spec_max" in part:
        for name, ours in (("spec_min", "low"), ("spec_max", "high")):
            edge = part[name].double().flatten()
            yield f"scaling.{ours}", edge if len(edge) > 1 else edge[0]


def walk(fields: Fields, k_steps: tuple[str, ...], total: int, interval: int, end: str = "first") -> dict[str, Any]:
    """The settings of sampling: every interval-th of the first times.

    Args:
        fields: the config.
        k_steps: names of the field that says how many times, the first that is given counts; all without it, or at 0.
        total: how many times the schedule has.
        interval: the stride.
        end: where the last step goes.
    """
    name = next((name for name in k_steps if name in fields), k_steps[0])
    k_step = fields.get(name, int, total) or total
    if not 1 <= k_step <= total:
        fields.contradict(name, f"the schedule has {total} steps")
        k_step = total
    if not 1 <= interval < max(k_step, 2):
        fields.assumed.append(f"sampling takes every time: an interval of {interval} leaves no step of {k_step}")
        interval = 1
    spacing: dict[str, Any] = {"name": "diff-svc", "end": end}
    if k_step != total:
        spacing["k_step"] = k_step
    steps = k_step // interval
    if k_step // steps != interval:
        spacing["interval"] = interval
    return {"steps": steps, "spacing": spacing}


def notes(fields: Fields) -> dict[str, str]:
    """What the config tells of the sound: needed by who makes mels for this model, or sound from its mels."""
    found = {name: fields.get(name, object, None) for name in _AUDIO}
    return {name: str(value) for name, value in found.items() if value is not None}
