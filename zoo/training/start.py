"""Where a run begins: weights of another model, and which of them stay as they are."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo import checkpoint
from zoo import config as configs
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.loading import load_model

_SHOWN = 5


class StartError(ZooError):
    """A run that cannot begin as its settings say."""


@torch.no_grad()
def copy_weights(model: Diffusion, path: str, *, partial: bool) -> tuple[str, ...]:
    """Give a model the weights of a file, where names and shapes agree.

    Parameters and buffers are copied. The schedule, the scaling of the data and the rest of the config stay the
    model's own: new data may have another range.

    Args:
        model: its weights are overwritten.
        path: a model file of ours, foreign weights that an importer knows, or the name of a config with shipped ones.
        partial: whether weights that do not fit are left out, on both sides.

    Returns:
        What was left out, a line each; empty where all fits.

    Raises:
        CheckpointError: the file cannot be read, or is a classifier.
        StartError: something does not fit, and ``partial`` is false; or nothing fits.
    """
    named = path in configs.names() and not Path(path).exists()
    theirs = load_model(checkpoint.shipped(path) if named else path)
    ours, given = model.state_dict(), theirs.state_dict()
    left = []
    for name, tensor in ours.items():
        if name not in given:
            left.append(f"{name}: not in the file, stays random")
        elif given[name].shape != tensor.shape:
            left.append(f"{name}: {tuple(given[name].shape)} in the file, {tuple(tensor.shape)} here, stays random")
    left += [f"{name}: in the file alone" for name in given if name not in ours]
    here, there = type(model.parameterization).__name__, type(theirs.parameterization).__name__
    if here != there:
        left.append(f"parameterization: the file was trained for {there}, this model is {here}")
    if left and not partial:
        more = f"\n    and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise StartError(
            f"training.init: {path} does not fit this model:\n    "
            + "\n    ".join(left[:_SHOWN])
            + f"{more}\ntake what fits with training.init_partial=true, or build the network as in the file"
        )
    fitting = [name for name in ours if name in given and given[name].shape == ours[name].shape]
    if not fitting:
        raise StartError(f"training.init: no weight of {path} fits this model: it is of another family")
    for name in fitting:
        ours[name].copy_(given[name])
    return tuple(left)


def freeze(model: nn.Module, patterns: Iterable[str]) -> None:
    """Leave parameters as they are: no gradients, nothing for the optimizer to hold.

    Layers with running statistics of the batch, all of whose parameters are frozen, keep these statistics too.

    Args:
        model: to be trained.
        patterns: of parameter names, ``denoiser.down.*``, as the shell reads them.

    Raises:
        StartError: a pattern matches nothing, or nothing is left to train.
    """
    # a parameter that the model ties together has several names, and any of them will do
    named = list(model.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        matching = [parameter for name, parameter in named if fnmatchcase(name, pattern)]
        if not matching:
            rooms = ", ".join(sorted({".".join(name.split(".")[:2]) + ".*" for name, _ in named}))
            raise StartError(f"training.freeze: {pattern!r} matches no parameter; there are {rooms}")
        for parameter in matching:
            parameter.requires_grad_(False)
    if named and not any(parameter.requires_grad for _, parameter in named):
        raise StartError("training.freeze: every parameter is frozen, nothing is left to train")
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            module.eval()
