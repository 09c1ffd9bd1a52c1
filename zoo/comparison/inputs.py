"""Inputs of the right shapes with nothing in them: what a network computes from noise tells as much as from data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.comparison.calling import ALIASES
from zoo.comparison.errors import ComparisonError
from zoo.core.diffusion import Diffusion
from zoo.layers.frames import FrameShape

_BATCH, _FRAMES, _SIDE = 2, 24, 32
_MOMENTS = (0.31, 0.87)
_LABELS = (309, 869)
"""Time labels of a network that comes without a schedule: nearly all of these count from 0 to 999."""


def garbage(a: nn.Module, b: nn.Module, seed: int) -> dict[str, Any]:
    """Random inputs that both networks should take.

    Args:
        a: a network or a whole model; what it does not tell is asked of ``b``.
        b: the other.
        seed: of the numbers.

    Raises:
        ComparisonError: neither tells the shape of its input.
    """
    shape = _shape(a) or _shape(b)
    if shape is None:
        raise ComparisonError(
            "neither side tells the shape of its input: pass inputs={'x': ..., 't': ..., 'cond': ...} (--inputs FILE)"
        )
    generator = torch.Generator().manual_seed(seed)
    inputs: dict[str, Any] = {"x": torch.randn(_BATCH, *shape, generator=generator), "t": _times(a, b)}
    taken = _parameters(a) | _parameters(b)
    channels, classes = _cond_channels(a) or _cond_channels(b), _argument(a, b, "classes")
    if channels and taken & set(ALIASES["cond"]):
        inputs["cond"] = torch.randn(_BATCH, channels, shape[-1], generator=generator)
    if classes and taken & set(ALIASES["labels"]):
        inputs["labels"] = torch.randint(int(classes), (_BATCH,), generator=generator)
    dtype = next((one for one in (_dtype(a), _dtype(b)) if one is not None), torch.float32)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def _network(one: nn.Module) -> nn.Module:
    return one.denoiser if isinstance(one, Diffusion) else one


def _parameters(one: nn.Module) -> set[str]:
    return set(inspect.signature(_network(one).forward).parameters)


def _dtype(one: nn.Module) -> torch.dtype | None:
    return next((weight.dtype for weight in one.parameters() if weight.is_floating_point()), None)


def _arguments(one: nn.Module) -> Mapping[str, Any]:
    tree = one.config.get("denoiser") if isinstance(one, Diffusion) else None
    return tree if isinstance(tree, Mapping) else {}


def _argument(a: nn.Module, b: nn.Module, name: str) -> Any:
    for one in (a, b):
        value = _arguments(one).get(name, getattr(_network(one), name, None))
        if value is not None:
            return value
    return None


def _shape(one: nn.Module) -> tuple[int, ...] | None:
    """(C, ...) of a sample: as the model says, as the network says, or by the first convolution."""
    if isinstance(one, Diffusion) and one.shape is not None:
        return tuple(_FRAMES if size is None else size for size in one.shape)
    frames = getattr(_network(one), "frames", None)
    if isinstance(frames, FrameShape):
        bins = (frames.mel_bins,) if frames.n_feats == 1 else (frames.n_feats, frames.mel_bins)
        return (*bins, _FRAMES)
    for module in _network(one).modules():
        if isinstance(module, nn.Conv1d):
            return (module.in_channels, _FRAMES)
        if isinstance(module, nn.Conv2d):
            return (module.in_channels, _SIDE, _SIDE)
    return None


def _cond_channels(one: nn.Module) -> int | None:
    """H, by the arguments, or by what the projection of the condition takes."""
    frames = getattr(_network(one), "frames", None)
    if isinstance(frames, FrameShape):
        return frames.cond_channels
    if "cond_channels" in _arguments(one):
        return int(_arguments(one)["cond_channels"])
    for name, module in _network(one).named_modules():
        if "cond" in name.rpartition(".")[2] and isinstance(module, nn.Conv1d | nn.Linear):
            return module.in_channels if isinstance(module, nn.Conv1d) else module.in_features
    return None


def _times(a: nn.Module, b: nn.Module) -> Tensor:
    """Two times as the network is given them: an early and a late one."""
    model = next((one for one in (a, b) if isinstance(one, Diffusion)), None)
    if model is None:
        return torch.tensor(_LABELS)
    low, high = model.schedule.t_clean, model.schedule.t_max
    time = torch.tensor([low + moment * (high - low) for moment in _MOMENTS], dtype=torch.float64)
    if model.schedule.steps is not None:
        time = time.round()
    label = torch.as_tensor(model.parameterization.c_noise(time, model.schedule(time)), dtype=torch.float64)
    return label.long() if bool((label == label.round()).all()) else label.float()
