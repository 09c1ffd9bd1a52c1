"""Torch pickles of programs that are not installed: their tensors are read, all else becomes a placeholder.

fairseq keeps the objects of its settings and dictionaries beside the weights. Nothing that such a file names is
imported or called: every name but those that tensors are made from stands for :class:`Inert`.
"""

from __future__ import annotations

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor

from zoo.voice.base import VoiceError

_ZIP = b"PK\x03\x04"
_MAX_DEPTH = 50


class Inert:
    """In place of whatever a pickle would have made: takes everything, keeps and does nothing."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> Self:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> Inert:
        return Inert()

    def __setstate__(self, _: object) -> None: ...

    def __setitem__(self, _: object, __: object) -> None: ...

    def append(self, _: object) -> None:
        """As a list does."""

    def extend(self, _: object) -> None:
        """As a list does."""

    def add(self, _: object) -> None:
        """As a set does."""


def tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a torch pickle, in the format of any release, by their keys joined with dots.

    Args:
        path: of the file; whatever else is in it is passed over.

    Raises:
        VoiceError: it is no torch pickle, is broken, or is a TorchScript program.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise VoiceError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if start != _ZIP and not start.startswith(b"\x80"):
        raise VoiceError(f"{path}: is neither a safetensors nor a torch file")
    try:
        # torch.load would hand a program over to be compiled; asked of the reader that would do so
        if start == _ZIP and "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
            raise VoiceError(f"{path}: is a TorchScript program; save its state_dict() instead")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that are going away
            # mapped: an optimizer's state stays on the disk
            held = torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False, mmap=start == _ZIP)
        return dict(_flat(held, "", 0))
    except VoiceError:
        raise
    except Exception as error:  # the unpickler passes on whatever broken bytes lead to
        raise VoiceError(f"{path}: is truncated or corrupted ({type(error).__name__})") from None


def _flat(value: object, key: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Tensor):
        yield key, value.detach()
    elif isinstance(value, Mapping | list | tuple):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _flat(item, f"{key}.{name}" if key else str(name), depth + 1)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    # of a storage that is not held by a tensor yet: its bounds are checked
    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, size, stride)


def _parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor


_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        made = _MAKERS.get((module, name))
        if made is None:
            return Inert
        # a fresh one each time, as a pickle may set attributes of what it is given
        return made if isinstance(made, type) else partial(made)


def _load(file: Any, **settings: Any) -> Any:
    return _Unpickler(file, **settings).load()


_PICKLE: Any = SimpleNamespace(__name__=__name__, Unpickler=_Unpickler, load=_load)
