"""Published weights of encoders: the tensors of a file, whatever else was pickled beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.source import Source
from zoo.voice.base import VoiceError
from zoo.voice.units import inert


def tensors_under(path: Path, keys: tuple[str, ...], *, what: str) -> tuple[str, dict[str, Tensor]]:
    """The tensors of a network, wherever in a file or folder they lie.

    Args:
        path: of it.
        keys: one of each layout, which every such network has.
        what: the file should be, for messages.

    Returns:
        The key that was found, and all tensors that lie under the same prefix, which their keys do without.

    Raises:
        VoiceError: there is no such file, it is broken, or nothing in it has one of the keys.
    """
    found = _read(path, what)
    for key in keys:
        prefix = min((name.removesuffix(key) for name in found if _ends(name, key)), key=len, default=None)
        if prefix is not None:
            return key, {name.removeprefix(prefix): found[name] for name in found if name.startswith(prefix)}
    raise VoiceError(f"{path}: is not {what}: none of its tensors is called {' or '.join(keys)}")


def _ends(name: str, key: str) -> bool:
    return name == key or name.endswith((f".{key}", f"/{key}"))


def _read(path: Path, what: str) -> Mapping[str, Tensor]:
    try:
        source = Source(path)
        list(source)  # opens it
    except CheckpointError as error:
        if not path.is_file():
            raise VoiceError(f"{error}; expected {what}") from None
        try:
            # a pickle may be refused for what lies beside its tensors
            return inert.tensors(path)
        except VoiceError:
            raise VoiceError(f"{error}; expected {what}") from None
    return source
