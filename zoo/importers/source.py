"""Foreign weights as a flat mapping of keys to tensors, whatever they are wrapped in, read when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.stores import Store, open_store

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".pkl")
"""Names of files of weights inside a folder."""


class Source(Mapping[str, Tensor]):
    """A file, a folder, or what lies under a common prefix in there, as a mapping of keys to tensors.

    Keys of nested containers are joined by dots, places in lists are numbers: ``0.module.conv_in.weight``. Keys in
    a folder begin with the file and a slash: ``ema.ckpt/conv_in.weight``. Which keys were read is remembered, so
    that nothing is left behind unnoticed.

    Args:
        path: the file or folder.

    Raises:
        CheckpointError: there is no such file, or, as soon as it is opened, it is broken or wants to run code.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._disk = _Disk(Path(path))
        self._prefix = ""

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self._disk.path

    @property
    def prefix(self) -> str:
        """What the keys of this part begin with in the whole."""
        return self._prefix

    @property
    def files(self) -> tuple[str, ...]:
        """The files of weights in a folder, relative to it; empty for a single file."""
        return self._disk.files

    @property
    def plain(self) -> dict[str, Any]:
        """What lies beside the tensors under this prefix: steps, epochs, arguments."""
        return {
            key.removeprefix(self._prefix): value
            for store in self._disk.stores(self._prefix)
            for key, value in store.plain.items()
            if key.startswith(self._prefix)
        }

    @property
    def remarks(self) -> list[str]:
        """What was unusual about the files that were opened."""
        return [remark for store in self._disk.opened for remark in store.remarks]

    def under(self, prefix: str) -> Source:
        """The part whose keys begin with ``prefix``, which it leaves out of them."""
        part = object.__new__(Source)
        part._disk, part._prefix = self._disk, self._prefix + prefix
        return part

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return self._disk.find(self._prefix + key).shape(self._prefix + key)

    def dtype(self, key: str) -> torch.dtype:
        """The dtype of a tensor, without reading it."""
        return self._disk.find(self._prefix + key).dtype(self._prefix + key)

    def unread(self) -> list[str]:
        """The keys under this prefix that nobody has read, in files of which something was."""
        touched = {id(self._disk.find(key)) for key in self._disk.read}
        return [
            key.removeprefix(self._prefix)
            for store in self._disk.opened
            if id(store) in touched
            for key in store
            if key.startswith(self._prefix) and key not in self._disk.read
        ]

    def __getitem__(self, key: str) -> Tensor:
        full = self._prefix + key
        tensor = self._disk.find(full).tensor(full)
        self._disk.read.add(full)
        return tensor

    def __iter__(self) -> Iterator[str]:
        for store in self._disk.stores(self._prefix):
            for key in store:
                if key.startswith(self._prefix):
                    yield key.removeprefix(self._prefix)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and any(
            self._prefix + key in store for store in self._disk.stores(self._prefix + key)
        )


class _Disk:
    """The files behind a source, opened when a key of theirs is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: set[str] = set()
        self._stores: dict[str, Store] = {}
        self.files: tuple[str, ...] = ()
        if path.is_dir():
            found = [file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.is_file()]
            weights = [file for file in found if file.suffix in SUFFIXES]
            self.files = tuple(sorted(file.relative_to(path).as_posix() for file in weights))
            if not weights:
                raise CheckpointError(f"{path}: no files of weights in this folder ({', '.join(SUFFIXES)})")
        elif not path.is_file():
            raise CheckpointError(f"{path}: no such file or folder")

    @property
    def opened(self) -> list[Store]:
        return list(self._stores.values())

    def stores(self, prefix: str) -> list[Store]:
        """The files that may have keys under this prefix."""
        if not self.files:
            return [self._open("")]
        return [
            self._open(file) for file in self.files if prefix.startswith(f"{file}/") or f"{file}/".startswith(prefix)
        ]

    def find(self, key: str) -> Store:
        for store in self.stores(key):
            if key in store:
                return store
        raise CheckpointError(f"{self.path}: has no tensor {key!r}")

    def _open(self, file: str) -> Store:
        if file not in self._stores:
            self._stores[file] = open_store(self.path / file, f"{file}/" if file else "")
        return self._stores[file]
