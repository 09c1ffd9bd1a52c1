"""What the verbs of voices share: which analysis, and where the result goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from zoo.cli.model_argument import is_file, spec_of
from zoo.cli.output import note


def section_of(source: str | None) -> Mapping[str, Any]:
    """The ``voice`` section of a config or of a model file; empty for none."""
    if source is None:
        return {}
    from zoo import checkpoint, config

    tree = checkpoint.read_config(Path(source)) if is_file(source) else config.load(source)
    section: Mapping[str, Any] = config.resolve(tree).get("voice", {})
    if not section:
        raise click.UsageError(f"{source} has no voice section: take a config such as svc-16k, or a model made by one")
    return section


def chosen(text: str | None, section: Mapping[str, Any], key: str, default: str) -> dict[str, Any]:
    """The part that an option names, else the config, else the default."""
    named = spec_of(text)
    if named is not None and section:
        raise click.UsageError(f"--{key} and --config both say which {key} is meant; leave one out")
    return named if named is not None else dict(section.get(key) or {"name": default})


def save(out: Path, tensors: Mapping[str, Tensor], **metadata: str) -> None:
    """Tensors into a safetensors file, and a line about it."""
    from safetensors.torch import save as packed

    from zoo.files import write_atomically

    content = packed({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))
    write_atomically(out, lambda beside: beside.write_bytes(content))
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    note(f"{out}: {shapes}")
