"""From a config to a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from registry import (
    classifiers,
    conditioners,
    denoisers,
    guidances,
    parameterizations,
    samplers,
    scalings,
    schedules,
    spacings,
)
from zoo import checkpoint
from zoo import config as configs
from zoo.core import mixing
from zoo.core.classifier import Classifier
from zoo.core.diffusion import Diffusion, Sampling
from zoo.core.errors import ArgumentValueError
from zoo.core.grid import make_grid

NO_MODEL = (
    "this is a classifier, not a model that makes samples; it guides one: "
    "guidance={'name': 'classifier', 'model': PATH}"
)


def build(
    source: str | PathLike[str] | Mapping[str, Any],
    *,
    pretrained: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **overrides: Any,
) -> Any:
    """Build a model from a config.

    Args:
        source: the name of a config ("ddpm-cifar10"), the path of a YAML file, or a mapping.
        pretrained: load the weights that are shipped under this name.
        device: where the model goes; on "meta" no weight is drawn, and none takes memory.
        dtype: of the parameters; None is float32.
        **overrides: merged over the config, ``denoiser={"channel_mult": [1, 2, 4]}`` or ``sampler="ddim"``.

    Returns:
        The model, a Diffusion; of a classifier's config the Classifier. In eval mode when pretrained.

    Raises:
        ConfigError: with every problem of the config at once.
        MixError: parts that do not go together.
        CheckpointError: when pretrained and no weights are shipped, or they do not fit the overrides.
    """
    loaded = configs.load(source, overrides=overrides)
    tree = configs.resolve(loaded)
    if not pretrained:
        model = make(tree, empty=device is not None and torch.device(device).type == "meta")
        check_mix(model)
        return model.to(device=device, dtype=dtype)
    model = make(tree, empty=True)
    checkpoint.fill(model, checkpoint.shipped(loaded.name))
    return model.to(device=device, dtype=dtype).eval()


def check_mix(model: Diffusion | Classifier) -> None:
    """Refuse a model whose own sampler, spacing, guidance and output do not go together; a classifier has none.

    Raises:
        MixError: with the reason.
    """
    if isinstance(model, Classifier):
        return
    own = model.sampling
    if own.sampler is not None and own.spacing is not None:
        grid = make_grid(model.schedule, own.spacing(model.schedule, own.steps))
        mixing.check(own.sampler, model.parameterization, grid, own.guidance)


def make(tree: Mapping[str, Any], *, empty: bool = False) -> Diffusion | Classifier:
    """What a resolved config describes: a model, or a classifier.

    Args:
        tree: what ``zoo.config.resolve`` returned.
        empty: leave the parameters on the meta device, for weights that are about to be loaded.
    """
    if "classifier" not in tree:
        return assemble(tree, empty=empty)
    with _empty() if empty else contextlib.nullcontext():
        classifier: Classifier = classifiers.build(tree["classifier"], path="classifier")
    shape = tree.get("shape")
    classifier.config, classifier.shape = tree, None if shape is None else tuple(shape)
    return classifier


def assemble(tree: Mapping[str, Any], *, empty: bool = False) -> Diffusion:
    """A model from a resolved config.

    Args:
        tree: what ``zoo.config.resolve`` returned.
        empty: leave the parameters on the meta device, for weights that are about to be loaded.

    Raises:
        ArgumentValueError: the config is that of a classifier.
    """
    if "classifier" in tree:
        raise ArgumentValueError(NO_MODEL)
    schedule = schedules.build(tree["schedule"], path="schedule")
    parameterization = parameterizations.build(tree["parameterization"], path="parameterization")
    shape = tree.get("shape")
    context = {"schedule": schedule, "parameterization": parameterization, "shape": shape}
    with _empty() if empty else contextlib.nullcontext():
        denoiser = denoisers.build(tree["denoiser"], path="denoiser", **context)
        conditioner = conditioners.build(tree["conditioner"], path="conditioner") if tree.get("conditioner") else None
    settings = tree["sampling"]
    return Diffusion(
        denoiser,
        schedule,
        parameterization,
        scaling=scalings.build(tree["scaling"], path="scaling"),
        conditioner=conditioner,
        sampling=Sampling(
            sampler=samplers.build(tree["sampler"], path="sampler"),
            steps=settings["steps"],
            spacing=spacings.build(settings["spacing"], path="sampling.spacing"),
            guidance=tuple(guidances.build(one, path="sampling.guidance") for one in _several(settings["guidance"])),
            clip=_clip(settings["clip"]),
            precision=settings.get("precision", "float32"),
            compile=settings.get("compile", "off"),
        ),
        shape=shape,
        config=tree,
    )


@contextlib.contextmanager
def _empty() -> Iterator[None]:
    """Modules that are made inside are on the meta device."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Draws no normal numbers on the meta device: torch would import its compiler for it, which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.nn.init.normal_, torch.Tensor.normal_):
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def _several(guidance: Any) -> list[Any]:
    """No guidance, one, or a list of them."""
    if guidance is None:
        return []
    return [guidance] if isinstance(guidance, str | Mapping) else list(guidance)


def _clip(clip: Any) -> Any:
    """``clip``: off, true for [-1, 1], a number for [-c, c], [low, high], or the guidance that bounds x_0 itself."""
    if clip is None or clip is False:
        return None
    if isinstance(clip, Mapping):
        return guidances.build(clip, path="sampling.clip")
    low, high = (-1.0, 1.0) if clip is True else (-clip, clip) if isinstance(clip, int | float) else clip
    return guidances.build({"name": "clip", "low": float(low), "high": float(high)})
