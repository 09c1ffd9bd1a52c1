"""Weights of networks that hear: found in a file and fitted into a network, or why that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from zoo.header import CheckpointError
from zoo.importers.source import Source
from zoo.voice.base import VoiceError


def tensors_beside(key: str, *, path: str | Path, what: str) -> dict[str, Tensor]:
    """The tensors of a network, wherever in a file they lie.

    Args:
        key: one that every such network has.
        path: of the file.
        what: the file should be, for messages.

    Returns:
        All that lie under the same prefix, which their keys do without.

    Raises:
        VoiceError: there is no such file, it is broken, or nothing in it has this key.
    """
    try:
        source = Source(path)
        prefix = next((name.removesuffix(key) for name in source if name.endswith(key)), None)
        if prefix is None:
            raise VoiceError(f"{path}: is not {what}: {key} is missing")
        return dict(source.under(prefix))
    except CheckpointError as error:
        raise VoiceError(f"{error}; expected {what}") from error


def fill(net: nn.Module, tensors: Mapping[str, Tensor], *, path: str | Path, what: str) -> None:
    """Give a network the tensors of a file, in its own precision.

    Args:
        net: whose keys and shapes are wanted, all of them and no others; it may be on the device "meta".
        tensors: by key, of any precision.
        path: of the file, for messages.
        what: the file should be.

    Raises:
        VoiceError: they are not those.
    """
    wanted = net.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in tensors]
    problems += [f"{key} is no part of it" for key in tensors if key not in wanted]
    problems += [
        f"{key} is {tuple(tensors[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise VoiceError(f"{path}: is not {what}: {'; '.join(problems[:3])}{more}")
    empty = any(tensor.is_meta for tensor in wanted.values())
    net.load_state_dict({key: tensor.to(wanted[key].dtype) for key, tensor in tensors.items()}, assign=empty)
