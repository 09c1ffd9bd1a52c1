"""Configs: a tree of `{name: ..., argument: ...}` from YAML, with bases, overrides and precise complaints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry import Problem
from registry.names import natural
from zoo.config.compose import from_command_line, from_mapping, merge, with_bases
from zoo.config.find import SUFFIXES, configs_dir, names, path_of
from zoo.config.marks import ConfigError, Mark, Marks
from zoo.config.read import read_file
from zoo.config.schema import examine
from zoo.config.write import dump

__all__ = [
    "Config",
    "ConfigError",
    "Mark",
    "Marks",
    "check",
    "configs_dir",
    "dump",
    "load",
    "names",
    "path_of",
    "resolve",
]

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
    if isinstance(source, Mapping):
        path, document = None, with_bases(from_mapping(source), Path.cwd())
    else:
        path = _path(source)
        document = with_bases(read_file(path), path.resolve().parent, (path.resolve(),))
    for layer in (from_mapping(overrides or {}, "argument"), from_command_line(command_line)):
        if "inherits" in layer.tree:
            raise ConfigError([Problem(layer.marks.where(("inherits",)), "inherits", "cannot be overridden")])
        document = merge(document, layer)
    return Config(document.tree, document.marks, path.stem if path else "", path, tuple(document.problems))


def check(config: Config | Source) -> list[Problem]:
    """Everything that is wrong with a config, sorted by place; its components are imported for that."""
    return _checked(config)[1]


def resolve(config: Config | Source) -> dict[str, Any]:
    """The complete tree, with every default of every component, ready for JSON.

    Resolving the result again changes nothing.

    Raises:
        ConfigError: something is wrong; all of it is listed.
    """
    tree, problems = _checked(config)
    if problems:
        raise ConfigError(problems)
    return tree


def _checked(config: Config | Source) -> tuple[dict[str, Any], list[Problem]]:
    config = config if isinstance(config, Config) else load(config)
    tree, problems = examine(config.tree, config.marks)
    return tree, sorted([*config.problems, *problems], key=lambda problem: natural(problem.where))


def _path(source: str | os.PathLike[str]) -> Path:
    text = os.fspath(source)
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    is_name = isinstance(source, str) and not text.endswith(SUFFIXES) and not any(s in text for s in separators)
    return path_of(text) if is_name else Path(text)
