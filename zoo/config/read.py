"""YAML text to a plain tree that knows where each value was written.

The dialect is small: mappings with string keys, lists, strings, numbers, true, false and null. `1e-4` is a
number, `yes`, `on` and dates are strings, and no tag makes anything else.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from registry import Problem
from registry.errors import join
from zoo.config.marks import ConfigError, Mark, Marks, Path, Spot

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
MAX_DEPTH = 40

_TAG = "tag:yaml.org,2002:"
_PATTERNS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with our scalars instead of those of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own form: one table per class


def add_scalars(resolver: type[yaml.SafeLoader] | type[yaml.SafeDumper]) -> None:
    """Teach a PyYAML class which unquoted words are not strings."""
    for name, (pattern, first) in _PATTERNS.items():
        resolver.add_implicit_resolver(_TAG + name, re.compile(rf"^(?:{pattern})$"), list(first))


add_scalars(Loader)


@dataclass(frozen=True)
class Document:
    """What one text says.

    Args:
        tree: mappings, lists, strings, numbers, bools and None.
        marks: the place of each value.
        problems: what is wrong but does not keep the rest from being read, such as a repeated key.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    problems: list[Problem] = field(default_factory=list)


def read_file(path: FilePath) -> Document:
    """Read one YAML or JSON file.

    Raises:
        ConfigError: there is no such file, or it is not a mapping in this dialect.
    """
    source = shown_path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _error(source, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(raw) > MAX_BYTES:
        raise _error(source, f"is larger than {MAX_BYTES >> 20} MiB: this is not a config")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(source, f"is not a text file: byte {error.start} is not UTF-8") from error
    if path.suffix == ".json":
        text = text.replace("\t", " ")  # JSON has tabs only between its tokens, where YAML wants spaces
    reader = _Reader(source, lined=True)
    tree = reader.read(text)
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else f"a {type(tree).__name__}"
        raise _error(source, f"expected a mapping of keys such as 'denoiser', found {found}")
    reader.marks[()] = Spot(Mark(source), Mark(source))
    return Document(tree, reader.marks, reader.problems)


def read_value(text: str, source: str) -> Any:
    """Read one value, such as the right side of a command-line argument.

    Args:
        text: YAML.
        source: what messages call the place it stands.

    Raises:
        ConfigError: the text is not YAML in this dialect.
    """
    reader = _Reader(source, lined=False)
    value = reader.read(text)
    if reader.problems:
        raise ConfigError(reader.problems)
    return value


def shown_path(path: FilePath) -> str:
    """The path as messages show it: relative when it lies below the working folder."""
    absolute, here = FilePath(os.path.abspath(path)), FilePath.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


class _Reader:
    """One text being read: the nodes of PyYAML become plain values, and their places go into `marks`."""

    def __init__(self, source: str, *, lined: bool) -> None:
        self.source = source
        self.lined = lined
        self.marks = Marks()
        self.problems: list[Problem] = []
        self._count = 0

    def read(self, text: str) -> Any:
        try:
            node = Loader(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            said = ", ".join(part for part in (error.problem, error.context) if part)
            raise _error(str(self._mark(error.problem_mark)), f"is not valid YAML: {said}") from error
        except yaml.YAMLError as error:
            reason = getattr(error, "reason", error)
            raise _error(self.source, f"is not a text file: {reason}") from error
        except RecursionError as error:
            raise _error(self.source, "is nested too deeply") from error
        return None if node is None else self._value(node, ())

    def _mark(self, mark: Any) -> Mark:
        return Mark(self.source, mark.line + 1, mark.column + 1) if self.lined and mark else Mark(self.source)

    def _value(self, node: Node, path: Path) -> Any:
        place = self._mark(node.start_mark)
        self._count += 1
        if self._count > MAX_VALUES:
            raise _error(str(place), f"holds more than {MAX_VALUES} values, counting each use of an alias")
        if len(path) > MAX_DEPTH:
            raise _error(str(place), "is nested too deeply, or an alias contains itself")
        self.marks.setdefault(path, Spot(place, place))
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and kind in ("str", *_PATTERNS):
            try:
                return _scalar(kind, node.value)
            except ValueError:
                self._complain(place, path, f"expected {kind}, got {node.value[:40]!r}")
                return None
        self._complain(place, path, f"the tag {node.tag!r} is not allowed: configs hold plain values only")
        return None

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._mark(key_node.start_mark)
            if not isinstance(key_node, ScalarNode) or key_node.tag != _TAG + "str":
                shown = repr(key_node.value) if isinstance(key_node, ScalarNode) else "a collection"
                self._complain(place, path, f"keys are strings, got {shown}")
                continue
            key = key_node.value
            below = (*path, key)
            if key in found:
                self._complain(place, below, f"repeated key, first set at {self.marks[below].key}")
                continue
            self.marks[below] = Spot(place, self._mark(value_node.start_mark))
            found[key] = self._value(value_node, below)
        return found

    def _complain(self, place: Mark, path: Path, message: str) -> None:
        self.problems.append(Problem(str(place), join("", *path), message))


def _scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 16) if text.startswith("0x") else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _error(where: str, message: str) -> ConfigError:
    return ConfigError([Problem(where, "", message)])
