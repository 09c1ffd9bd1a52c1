"""Configs: a tree of `{name: ..., argument: ...}` from YAML, with bases, overrides, and every problem told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry import Problem
from zoo.config.compose import from_command_line, from_mapping, merge, with_bases
from zoo.config.find import SUFFIXES, configs_dir, names, path_of
from zoo.config.marks import ConfigError, Mark, Marks
from zoo.config.read import Document, read_file
from zoo.config.schema import Check
from zoo.config.write import dump

__all__ = ["Config", "ConfigError", "Mark", "Marks", "check", "configs_dir", "dump", "load", "names", "path_of", "resolve"]

Source = str | os.PathLike[str] | Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """A composed config: what was written, not yet the defaults.

    Args:
        tree: plain values; components are `{name: ..., argument: ...}`.
        marks: the place of each value.
        name: the stem of the file; empty for a mapping.
        path: the file; None for a mapping.
        problems: what reading it has found already.
    """

    tree: dict[str, Any]
    marks: Marks = field(default_factory=Marks, repr=False)
    name: str = ""
    path: Path | None = None
    problems: tuple[Problem, ...] = ()


def load(source: Source, *, overrides: Mapping[str, Any] | None = None, command_line: Sequence[str] = ()) -> Config:
    """Read a config, its bases and its overrides.

    Args:
        source: the name of a config, the path of a YAML or JSON file, or a mapping.
        overrides: nested values over the file; keys may be dotted.
        command_line: `key.key=value` arguments over those.

    Raises:
        ConfigError: it cannot be found or read. What is wrong inside is for `check` to tell.
    """
    path = None if isinstance(source, Mapping) else _path(source)
    if isinstance(source, Mapping):
        document = with_bases(from_mapping(source), Path.cwd())
    else:
        assert path is not None
        document = with_bases(read_file(path), path.resolve().parent, (path.resolve(),))
    for layer in (from_mapping(overrides or {}, "argument"), from_command_line(command_line)):
        document = merge(document, layer)
    return Config(document.tree, document.marks, path.stem if path else "", path, tuple(document.problems))


def check(config: Config | Source) -> list[Problem]:
    """Everything that is wrong with a config, sorted by place; components are imported to see their arguments."""
    return _checked(config)[1]


def resolve(config: Config | Source) -> dict[str, Any]:
    """The complete tree: every default of every component filled in, ready for JSON; resolving it again changes nothing.

    Raises:
        ConfigError: something is wrong; all of it is listed.
    """
    tree, problems = _checked(config)
    if problems:
        raise ConfigError(problems)
    return tree
