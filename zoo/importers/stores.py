"""The two kinds of files that weights come in: safetensors, and torch pickles, read as tensors only."""

from __future__ import annotations

import argparse
import logging
import pickle
import pickletools
import re
import shlex
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo.header import NUMBERS, CheckpointError, any_header, looks

_LOG = logging.getLogger(__name__)
_MAX_DEPTH = 50
_ZIP = b"PK\x03\x04"


class Store(ABC):
    """One file: its tensors by key, and what it says of them without reading them.

    Args:
        prefix: what its keys begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.plain: dict[str, Any] = {}
        self.remarks: list[str] = []

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """The keys of all tensors."""

    @abstractmethod
    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor."""

    @abstractmethod
    def dtype(self, key: str) -> torch.dtype:
        """The dtype of a tensor."""

    @abstractmethod
    def tensor(self, key: str) -> Tensor:
        """A tensor; its numbers come from the disk as they are used, where the format allows it."""

    @abstractmethod
    def __contains__(self, key: str) -> bool: ...


def open_store(path: Path, prefix: str) -> Store:
    """Open a file by what is in it, whatever its name.

    Raises:
        CheckpointError: it is neither kind, broken, or a pickle that wants to run code.
    """
    start = _start(path)
    if start[8:9] == b"{":
        return _Safetensors(path, prefix)
    if start.startswith(_ZIP) or start[:1] in (b"\x80", b"(", b"}", b"]", b"c"):
        return _Pickle(path, prefix)
    raise CheckpointError(f"{path}: is neither a safetensors nor a torch file{looks(start)}")


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(32)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


class _Safetensors(Store):
    def __init__(self, path: Path, prefix: str) -> None:
        super().__init__(prefix)
        self._path = path
        header = any_header(path)
        self._infos = {prefix + name: info for name, info in header.tensors.items()}
        self.plain = {prefix + key: value for key, value in header.metadata.items()}
        self._file: Any = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def shape(self, key: str) -> tuple[int, ...]:
        return self._infos[key].shape

    def dtype(self, key: str) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, NUMBERS[self._infos[key].dtype][0])
        return dtype

    def tensor(self, key: str) -> Tensor:
        try:
            if self._file is None:
                self._file = safe_open(self._path, framework="pt")
            tensor: Tensor = self._file.get_tensor(key.removeprefix(self.prefix))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self._path}: cannot be read: {error}") from error
        return tensor

    def __contains__(self, key: str) -> bool:
        return key in self._infos


class _Pickle(Store):
    def __init__(self, path: Path, prefix: str) -> None:
        super().__init__(prefix)
        self._path = path
        self._tensors: dict[str, Tensor] = {}
        self._flatten(_unpickled(path, self.remarks), prefix.removesuffix("/"), "/" if prefix else "", 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._tensors[key].shape)

    def dtype(self, key: str) -> torch.dtype:
        return self._tensors[key].dtype

    def tensor(self, key: str) -> Tensor:
        return self._tensors[key]

    def __contains__(self, key: str) -> bool:
        return key in self._tensors

    def _flatten(self, value: Any, key: str, joint: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise CheckpointError(f"{self._path}: is nested too deeply, or contains itself")
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if isinstance(value, Mapping | list | tuple):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            for name, item in items:
                self._flatten(item, f"{key}{joint}{name}", ".", depth + 1)
            return
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            value = torch.from_numpy(value)
        held: dict[str, Any] = self._tensors if isinstance(value, Tensor) else self.plain
        if key in held:
            raise CheckpointError(f"{self._path}: two values have the key {key!r}")
        if isinstance(value, Tensor):
            self._tensors[key] = value.detach()
        else:
            self.plain[key] = value.item() if isinstance(value, np.generic) else value


def _data_only() -> list[Any]:
    """The classes, beyond those that torch allows, that are data through and through."""
    scalar, array = np.float32(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    return [
        argparse.Namespace,
        np.dtype,
        np.ndarray,
        *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
        # numpy 2 moved its core; files name either place
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        *((array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    ]


def _unpickled(path: Path, remarks: list[str]) -> Any:
    zipped = _start(path).startswith(_ZIP)
    if not zipped:
        remarks.append("it is in the format of torch before 1.6: all of it was read into memory")
        _LOG.warning("%s: %s", path, remarks[-1])
    try:
        with torch.serialization.safe_globals(_data_only()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may be unsupported; what is, raises
            # mapped: an optimizer's state stays on the disk when nobody asks for it
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        wanted = _wanted(path, str(error))
        if wanted is None:
            raise CheckpointError(f"{path}: is no pickle of tensors, or is corrupted") from error
        raise CheckpointError(
            f"{path}: is refused: this pickle wants to run {wanted}, and pickles are read as tensors only. If you "
            f"trust it, {_export(path, wanted)}"
        ) from error
    except Exception as error:  # the unpickler passes on whatever broken bytes lead to
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path}: is refused: it is a TorchScript program; save its state_dict() instead"
            ) from error
        raise CheckpointError(f"{path}: is truncated or corrupted: {str(error).partition('.')[0]}") from error


def _export(path: Path, wanted: str) -> str:
    """How someone who trusts a pickle turns it into tensors."""
    if not wanted.startswith(("torch_utils.", "dnnlib.")):
        return "load it with the code it was made by, and torch.save its state_dict()"
    # NVIDIA's pickles carry the source text of their classes, which unpickling runs
    script = (
        "import json, pickle, sys, torch; "
        "net = pickle.load(open(sys.argv[1], 'rb'))['ema']; "
        "torch.save(dict(net.state_dict()), 'model.pt'); "
        "json.dump({'cls': type(net).__name__, **net.init_kwargs}, open('config.json', 'w'))"
    )
    return (
        "run this once, in a sandbox and in the folder of the repository that it comes from, and load model.pt with "
        f'config="config.json":\n    python -c "{script}" {shlex.quote(str(path))}'
    )


def _wanted(path: Path, message: str) -> str | None:
    """The global that a pickle asked for and was refused."""
    if said := re.search(r"GLOBAL (\S+)|Unsupported class (\S+)", message):
        return (said[1] or said[2]).rstrip(".")
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(path.read_bytes()):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(strings[-2:])
            if isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        return None
    return None
