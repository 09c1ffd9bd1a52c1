"""One safetensors file is a model: weights, the whole config, the step, the version, and a hash.

Importing this module imports no torch, so that a config can be read in milliseconds.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import zoo
from zoo.files import write_atomically
from zoo.header import FORMAT, NUMBERS, CheckpointError, TensorHash, is_model, read_config, read_header, seal, verify

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from zoo.core.classifier import Classifier
    from zoo.core.diffusion import Diffusion

__all__ = [
    "CheckpointError",
    "fill",
    "is_model",
    "read_config",
    "read_header",
    "save",
    "shipped",
    "verify",
]

_CODES = {f"torch.{name}": code for code, (name, _) in NUMBERS.items()}


def save(
    diffusion: Diffusion | Classifier,
    path: str | PathLike[str],
    *,
    step: int | None = None,
    weights: Literal["raw", "ema", "unknown"] = "raw",
    dtype: torch.dtype | None = None,
    **notes: str,
) -> None:
    """Write a model to one file; a good file that is there already survives any failure.

    Args:
        diffusion: a model or a classifier that was built from a config.
        path: the file, ``model.safetensors``.
        step: training step of these weights.
        weights: what these weights are, the trained ones or their moving average; some foreign files do not say.
        dtype: in which the floating-point parameters are stored, such as torch.float16; None keeps theirs. Tables and
            other buffers are always kept as they are.
        **notes: anything worth knowing, kept in the header.

    Raises:
        CheckpointError: the model has no config or no weights yet, a weight does not fit into ``dtype``, or the file
            cannot be written.
    """
    if weights not in ("raw", "ema", "unknown"):
        raise CheckpointError(f"weights are 'raw', 'ema' or 'unknown', got {weights!r}")
    if not diffusion.config:
        raise CheckpointError(
            "this model was not built from a config, so a file could not say how to build it again: register the "
            "network and build it with zoo.build, or keep its state_dict()"
        )
    metadata = {
        "zoo.format": str(FORMAT),
        "zoo.version": zoo.__version__,
        "zoo.config": json.dumps(diffusion.config),
        "zoo.weights": weights,
        **({} if step is None else {"zoo.step": str(step)}),
        **{f"zoo.note.{key}": str(value) for key, value in notes.items()},
    }
    stored = _stored(diffusion, dtype)

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            _write(file, stored, metadata)

    try:
        # a link is followed: what it points at is replaced, not the link
        write_atomically(Path(path).expanduser().resolve(), write)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(f"{path}: cannot be written: {reason}; nothing was changed") from error


def fill(diffusion: Diffusion | Classifier, path: str | PathLike[str], *, dtype: torch.dtype | None = None) -> None:
    """Give a model the weights of a file, without a second copy of them in memory.

    The file is mapped, and read as its weights are used; a weight that changes gets memory of its own. Parameters are
    replaced, so optimizers are made afterwards.

    Args:
        diffusion: a model or a classifier, built from the config of the file, on any device; on the meta device it
            costs nothing before.
        path: a file that ``save`` wrote.
        dtype: of the floating-point parameters; None keeps those the model was built with.

    Raises:
        CheckpointError: the file is broken, newer, of another family, or its tensors do not fit; the first of them are
            named, and the model is as it was.
    """
    from safetensors import SafetensorError, safe_open

    from zoo.placing import place

    header = read_header(path)
    _same_meaning(path, read_config(path), diffusion.config)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in header.tensors}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    place(diffusion, tensors, str(path), dtype=dtype)


def shipped(name: str) -> Path:
    """The file of weights that came with the zoo under this name.

    Raises:
        CheckpointError: there is none; the message lists those there are.
    """
    folder = Path(zoo.__file__).parent / "weights"
    path = folder / f"{name}.safetensors"
    if name and path.is_file():
        return path
    known = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors"))) or "none"
    what = f"no weights are shipped for {name!r}" if name else "a mapping has no shipped weights"
    raise CheckpointError(f"{what}; shipped: {known}. For a file of weights: zoo.load(path)")


def _stored(diffusion: Diffusion | Classifier, dtype: torch.dtype | None) -> dict[str, tuple[Tensor, torch.dtype]]:
    """Every tensor of the model once, with the dtype to store it in, widest first so that all lie aligned."""
    from torch import nn

    stored: dict[str, tuple[Tensor, torch.dtype]] = {}
    seen: set[int] = set()
    for name, tensor in {**diffusion.state_dict(keep_vars=True), **diffusion.part_tensors()}.items():
        if id(tensor) in seen:
            continue  # tied: the model itself says which names share it
        seen.add(id(tensor))
        if tensor.is_meta:
            raise CheckpointError(f"{name} has no values yet: the model was built empty and never filled")
        weight = isinstance(tensor, nn.Parameter) and tensor.is_floating_point()
        kept_as = dtype if dtype is not None and weight else tensor.dtype
        if str(kept_as) not in _CODES:
            raise CheckpointError(f"{name} is {kept_as}, which a safetensors file cannot hold")
        stored[name] = tensor.detach(), kept_as
    return dict(sorted(stored.items(), key=lambda item: (-item[1][1].itemsize, item[0])))


def _write(file: BinaryIO, stored: Mapping[str, tuple[Tensor, torch.dtype]], metadata: dict[str, str]) -> None:
    """Header and tensors, one tensor in memory at a time; the hash is set in when the last one is written."""
    import torch

    tree: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    for name, (tensor, dtype) in stored.items():
        end = place + tensor.numel() * dtype.itemsize
        tree[name] = {
            "dtype": _CODES[str(dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    metadata["zoo.hash"] = metadata["zoo.seal"] = "0" * 64
    file.write(_encoded(tree))
    digest = TensorHash()
    for name, (tensor, dtype) in stored.items():
        # a fresh tensor: contiguous() may keep odd strides where there is one number or none
        values = torch.empty(tensor.shape, dtype=dtype).copy_(tensor)
        if dtype != tensor.dtype and not torch.equal(values.isfinite(), tensor.cpu().isfinite()):
            raise CheckpointError(f"{name} has numbers that are too large for {dtype}: save with dtype=None")
        data = values.reshape(-1).view(torch.uint8).numpy().data
        digest.tensor(name, tree[name]["dtype"], tensor.shape)
        digest.data(data)
        file.write(data)
    metadata["zoo.hash"] = digest.hexdigest()
    metadata["zoo.seal"] = seal(metadata)
    file.seek(0)
    file.write(_encoded(tree))


def _encoded(tree: Mapping[str, Any]) -> bytes:
    text = json.dumps(tree, separators=(",", ":")).encode()
    # as cache lines and vector instructions like it
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text


def _same_meaning(path: str | PathLike[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse weights that fit by shape alone: of another family, or trained for another output or other noise."""
    for key in ("denoiser", "classifier", "parameterization", "schedule"):
        there, here = theirs.get(key), ours.get(key)
        if not isinstance(there, Mapping) or not isinstance(here, Mapping):
            continue
        network = key in ("denoiser", "classifier")
        compared = ("name",) if network else tuple(there.keys() & here.keys() - {"interpolation"})
        if any(there[word] != here[word] for word in compared):
            raise CheckpointError(
                f"{path}: holds weights for another model: {key} is {json.dumps(there)} there, {json.dumps(here)} here"
            )
