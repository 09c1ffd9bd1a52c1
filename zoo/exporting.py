"""From a model to a folder that another project loads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from zoo import config as configs
from zoo.core.diffusion import Diffusion
from zoo.exporters.errors import ExportError
from zoo.files import sync


def export(
    model: Diffusion,
    folder: str | PathLike[str],
    *,
    format: Literal["diffusers"] = "diffusers",
    half: bool = False,
    **overrides: Any,
) -> list[str]:
    """Write a model as another project reads it.

    "diffusers" makes the folder of a pipeline: model_index.json, unet/ and scheduler/. It holds the denoisers
    ``unet2d``, ``unet`` and ``adm``, and the samplers and spacings that have a scheduler of the same steps. The folder
    is written beside its place and renamed: it is there as a whole or not at all.

    Args:
        model: what ``zoo.load`` or ``zoo.build`` gave.
        folder: a new folder, or an empty one.
        format: of what project.
        half: write the weights in float16, as the variant "fp16".
        **overrides: ``sampler`` and ``sampling`` over those of the model's config, where they have no counterpart:
            ``sampling={"spacing": "trailing", "clip": False}``.

    Returns:
        What the files cannot say, a sentence each: arguments that the other project takes when it samples.

    Raises:
        ExportError: the other project has no words for a part of the model, or the folder is not empty.
    """
    from zoo.exporters import diffusers

    folder = Path(folder).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder}: is there and not empty: name a new folder")
    if format != "diffusers":
        raise ExportError(f"format {format!r} is unknown; known: diffusers")
    if not folder.absolute().parent.is_dir():
        raise ExportError(f"{folder}: there is no folder {folder.absolute().parent}")
    written = diffusers.pipeline(model, _tree(model, overrides))
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)  # a killed process of the same number may have left one
    try:
        for name in ("unet", "scheduler"):
            (beside / name).mkdir(parents=True)
        _write_json(beside / "model_index.json", written.pipeline)
        _write_json(beside / "unet" / "config.json", written.unet)
        _write_json(beside / "scheduler" / "scheduler_config.json", written.scheduler)
        _write_tensors(beside / "unet", written.tensors, half)
        for inner in ("unet", "scheduler", ""):
            sync(beside / inner)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync(folder.absolute().parent)
    return list(written.remarks)


def _tree(model: Diffusion, overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the model, sampled in another way."""
    if not model.config:
        raise ExportError("a wrapped function has no config, and nobody else its network: build or load a model")
    if unknown := sorted(set(overrides) - {"sampler", "sampling"}):
        raise ExportError(f"{', '.join(unknown)}: only sampler and sampling can be others than the model's")
    return configs.resolve(configs.load(model.config, overrides=overrides)) if overrides else model.config


def _write_json(file: Path, tree: dict[str, Any]) -> None:
    file.write_text(json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n", "utf-8")
    sync(file)


def _write_tensors(folder: Path, tensors: dict[str, torch.Tensor], half: bool) -> None:
    from safetensors.torch import save_file

    dtype = torch.float16 if half else torch.float32
    file = folder / ("diffusion_pytorch_model.fp16.safetensors" if half else "diffusion_pytorch_model.safetensors")
    save_file({key: tensors[key].to("cpu", dtype) for key in sorted(tensors)}, file, metadata={"format": "pt"})
    sync(file)
