"""Files of a network's weights: tensors and nothing else, and which file it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from zoo.core.errors import ArgumentValueError


def read(file: Path, who: str, *, pickled: bool = False) -> dict[str, Any]:
    """What is in a file .safetensors or of torch.save; nothing is unpickled beyond tensors and plain containers.

    Args:
        file: its path.
        who: begins the message when it cannot be read.
        pickled: whether it is of torch.save, though its ending may say otherwise.

    Raises:
        ArgumentValueError: there is no such file, or it is neither of these.
    """
    if not file.is_file():
        raise ArgumentValueError(f"{who}: there is no file {file}")
    try:
        if file.suffix == ".safetensors" and not pickled:
            return safetensors.torch.load_file(file)
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # readers raise whatever the bytes of a file lead them to
        held = None
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise ArgumentValueError(
            f"{who}: {file} cannot be read as weights: expected a .safetensors file, or a state_dict by torch.save "
            "with nothing in it that would have to be unpickled"
        )
    return held


def sha256(file: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
