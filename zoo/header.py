"""The header of a safetensors file, read and checked without torch.

A file is 8 bytes of little-endian length, that many bytes of JSON, and the bytes of the tensors without a gap.
The JSON holds `{name: {dtype, shape, data_offsets}}` and, under `__metadata__`, strings by strings. A model of
the zoo keeps there what makes it a model: its config, step, version, and a hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from zoo.core.errors import ZooError

FORMAT = 1
"""The newest format of model files that this version reads, and the one it writes."""

NUMBERS = {
    "BOOL": ("bool", 1), "U8": ("uint8", 1), "I8": ("int8", 1), "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1), "I16": ("int16", 2), "U16": ("uint16", 2), "F16": ("float16", 2),
    "BF16": ("bfloat16", 2), "I32": ("int32", 4), "U32": ("uint32", 4), "F32": ("float32", 4), "I64": ("int64", 8),
    "U64": ("uint64", 8), "F64": ("float64", 8), "C64": ("complex64", 8),
}  # fmt: skip
"""The types of numbers in a file: their names in torch, and how many bytes one takes."""

_MAX_HEADER = 100 << 20
_LOOKS = (
    (b"PK\x03\x04", "a zip archive, such as torch.save writes"),
    (b"\x80", "a pickle, such as old versions of torch.save wrote"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
    (b"<", "a web page: the download went wrong"),
    (b"{", "JSON text"),
)


class CheckpointError(ZooError, ValueError):
    """A file of weights that cannot be read, written, or fitted to the model."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in a file.

    Args:
        dtype: in the words of safetensors, such as "F32".
        shape: of the tensor.
        start: first byte, counted from the end of the header.
        stop: the byte after the last.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Args:
        tensors: by name, in the order of their bytes.
        metadata: strings by strings.
        data: where the bytes of the tensors begin in the file.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data: int


def any_header(path: str | PathLike[str]) -> Header:
    """Read and check the header of any safetensors file.

    Raises:
        CheckpointError: the file cannot be read, is something else, is truncated or corrupted.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _parse(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def is_model(path: str | PathLike[str]) -> bool:
    """Whether this is a safetensors file that the zoo wrote; also true of one that is broken behind its header."""
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return length <= _MAX_HEADER and b'"zoo.format"' in file.read(length)
    except OSError:
        return False


def read_header(path: str | PathLike[str]) -> Header:
    """Read the header of a model of the zoo, and check that this version can make it.

    Raises:
        CheckpointError: as `any_header`; or the file is no model of the zoo, was written by a newer version, or its
            header was changed after it was written.
    """
    header = any_header(path)
    written = header.metadata.get("zoo.format")
    if written is None:
        raise CheckpointError(
            f"{path}: these are tensors, but not a model that the zoo saved: the header holds no zoo.config; "
            "load it through an importer, zoo.load(path, format=...)"
        )
    if not written.isdecimal() or int(written) > FORMAT:
        version = header.metadata.get("zoo.version", "unknown")
        raise CheckpointError(
            f"{path}: is in format {written}, written by version {version}; this version reads formats up to "
            f"{FORMAT}: pip install --upgrade diffusion-zoo"
        )
    if header.metadata.get("zoo.seal") != seal(header.metadata):
        raise CheckpointError(f"{path}: is corrupted: the header is not what was written; fetch the file again")
    return header


def read_config(path: str | PathLike[str]) -> dict[str, Any]:
    """The whole config that a model file was built from, as `zoo.config.resolve` gave it; imports no torch.

    Raises:
        CheckpointError: as `read_header`.
    """
    metadata = read_header(path).metadata
    try:
        config = json.loads(metadata["zoo.config"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is corrupted: zoo.config is missing or is not JSON") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: is corrupted: zoo.config is not a mapping")
    return config


def verify(path: str | PathLike[str]) -> str:
    """Read every byte of a model file and compare the hash; imports no torch.

    Returns:
        The hash, 64 hexadecimal digits.

    Raises:
        CheckpointError: as `read_header`, or the tensors are not those that were written.
    """
    header = read_header(path)
    digest = TensorHash()
    with Path(path).open("rb") as file:
        file.seek(header.data)
        for name, info in header.tensors.items():
            digest.tensor(name, info.dtype, info.shape)
            left = info.stop - info.start
            while left and (chunk := file.read(min(left, 1 << 20))):
                digest.data(chunk)
                left -= len(chunk)
    expected, found = header.metadata.get("zoo.hash"), digest.hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{path}: is corrupted: the tensors hash to {found[:12]}..., the header says {str(expected)[:12]}...; "
            "fetch the file again"
        )
    return found


def looks(start: bytes) -> str:
    """What the first bytes of a file suggest that it is, as the end of a sentence; empty when they say nothing."""
    return next((f"; it looks like {what}" for magic, what in _LOOKS if start.startswith(magic)), "")


class TensorHash:
    """SHA-256 over the names, types, shapes and bytes of tensors, in the order of the file."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def tensor(self, name: str, dtype: str, shape: Iterable[int]) -> None:
        """Begin a tensor; its bytes follow."""
        self._sha.update(f"{name}\n{dtype}\n{list(shape)}\n".encode())

    def data(self, chunk: bytes | memoryview) -> None:
        """Bytes of the tensor that was begun last."""
        self._sha.update(chunk)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._sha.hexdigest()


def seal(metadata: Mapping[str, str]) -> str:
    """SHA-256 over what the zoo wrote into a header, so that no flipped bit in a config goes unseen."""
    ours = sorted(item for item in metadata.items() if item[0].startswith("zoo.") and item[0] != "zoo.seal")
    return hashlib.sha256(json.dumps(ours).encode()).hexdigest()


def _parse(path: Path, file: BinaryIO, size: int) -> Header:
    first = file.read(8)
    length = int.from_bytes(first, "little")
    start = first + file.read(24)
    if not start:
        raise CheckpointError(f"{path}: is empty")
    if start[8:9] != b"{" or not 2 <= length <= _MAX_HEADER:
        raise CheckpointError(f"{path}: is not a safetensors file{looks(start)}")
    if 8 + length > size:
        raise _truncated(path, size, 8 + length)
    file.seek(8)
    try:
        tree = json.loads(file.read(length).decode(), object_pairs_hook=_unrepeated)
        metadata = _strings(tree.pop("__metadata__", {}))
        tensors = {name: _tensor(entry) for name, entry in tree.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is corrupted: the header is not that of a safetensors file") from error
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)))
    place = 0
    for name, info in tensors.items():
        if info.start != place or info.stop - info.start != math.prod(info.shape) * NUMBERS[info.dtype][1]:
            raise CheckpointError(f"{path}: is corrupted: the place of {name!r} does not fit its shape")
        place = info.stop
    if size < 8 + length + place:
        raise _truncated(path, size, 8 + length + place)
    if size > 8 + length + place:
        raise CheckpointError(f"{path}: is corrupted: {size - 8 - length - place} bytes follow the last tensor")
    return Header(tensors, metadata, 8 + length)


def _truncated(path: Path, size: int, expected: int) -> CheckpointError:
    return CheckpointError(f"{path}: is truncated: it has {size:,} of {expected:,} bytes; fetch the file again")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("repeated key")
    return tree


def _strings(metadata: dict[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata must be strings")
    return metadata


def _tensor(entry: dict[str, Any]) -> TensorInfo:
    dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in NUMBERS or not all(isinstance(number, int) and number >= 0 for number in (*shape, start, stop)):
        raise ValueError("not the place of a tensor")
    return TensorInfo(dtype, tuple(shape), start, stop)
