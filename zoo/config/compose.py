"""One tree from several: bases in order, the file over them, then arguments and the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from registry import Problem
from registry.errors import join
from registry.values import shown
from zoo.config import find
from zoo.config.layout import named
from zoo.config.marks import ConfigError, Mark, Marks, Path, Spot
from zoo.config.read import Document, read_file, read_value, shown_path


def merge(base: Document, over: Document) -> Document:
    """Lay one document over another.

    Mappings merge deeply; everything else replaces. A mapping whose `name` differs replaces too, so that the
    arguments of one component never reach another.

    Args:
        base: the lower one.
        over: the upper one, which wins.
    """
    replaced: list[Path] = []
    tree = _merge(base.tree, over.tree, (), replaced)
    kept = {path: spot for path, spot in base.marks.items() if not _is_below(path, replaced)}
    return Document(tree, Marks(kept | over.marks), base.problems + over.problems)


def _merge(base: dict[str, Any], over: dict[str, Any], path: Path, replaced: list[Path]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        below = (*path, key)
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _renames(old, value):
            result[key] = _merge(old, value, below, replaced)
        else:
            result[key] = value
            replaced.append(below)
    return result


def _renames(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return "name" in old and "name" in new and old["name"] != new["name"]


def _is_below(path: Path, tops: Iterable[Path]) -> bool:
    return any(path[: len(top)] == top for top in tops)


def with_bases(document: Document, folder: FilePath, chain: tuple[FilePath, ...] = ()) -> Document:
    """Replace `inherits` by what it names.

    Args:
        document: one file, or a tree from Python.
        folder: what relative paths in `inherits` start from.
        chain: the files that led here, this one last, to find circles.

    Raises:
        ConfigError: bases are missing, broken, or inherit from each other in a circle.
    """
    tree = {key: named((key,), value) for key, value in document.tree.items() if key != "inherits"}
    marks = Marks({path: spot for path, spot in document.marks.items() if path[:1] != ("inherits",)})
    for path, spot in document.marks.items():
        if path not in marks or not isinstance(_at(document.tree, path), str):
            continue
        if isinstance(_at(tree, path), dict):
            marks[(*path, "name")] = Spot(spot.value, spot.value)

    problems: list[Problem] = []
    result = Document()
    for path, base in _bases(document, problems):
        where = document.marks.where(path)
        try:
            result = merge(result, _read_base(base, folder, chain, where))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return merge(result, Document(tree, marks, document.problems))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _bases(document: Document, problems: list[Problem]) -> list[tuple[Path, str]]:
    value = document.tree.get("inherits", [])
    listed = value if isinstance(value, list) else [value]
    found = []
    for index, base in enumerate(listed):
        path: Path = ("inherits", index) if isinstance(value, list) else ("inherits",)
        if isinstance(base, str):
            found.append((path, base))
        else:
            message = f"expected the name or path of a config, got {shown(base)}"
            problems.append(Problem(document.marks.where(path), join("", *path), message))
    return found


def _read_base(base: str, folder: FilePath, chain: tuple[FilePath, ...], where: str) -> Document:
    path = _path_of_base(base, folder)
    if path is None:
        raise ConfigError([find.unknown(base, where, "inherits")])
    if path in chain:
        circle = " -> ".join(shown_path(file) for file in (*chain[chain.index(path) :], path))
        raise ConfigError([Problem(where, "inherits", f"a circle: {circle}")])
    if not path.is_file():
        raise ConfigError([Problem(where, "inherits", f"there is no file {shown_path(path)}")])
    return with_bases(read_file(path), path.parent, (*chain, path))


def _path_of_base(base: str, folder: FilePath) -> FilePath | None:
    if base.startswith(".") or base.endswith(find.SUFFIXES):
        path = folder / base
        if not base.endswith(find.SUFFIXES):
            path = path.with_name(path.name + ".yaml")
        return path.resolve()
    found = find.search(base)
    beside = folder / f"{base}.yaml"
    return found.resolve() if found else beside.resolve() if beside.is_file() else None


def from_mapping(tree: Mapping[str, Any], source: str = "") -> Document:
    """A tree given in Python; tuples become lists.

    Args:
        tree: plain values; dots in the keys at the top lead down.
        source: what messages call the place of each key, before its name; empty for none.

    Raises:
        ConfigError: it holds something that YAML could not.
    """
    problems: list[Problem] = []
    document = Document()
    for key, value in _plain(tree, "", problems).items():
        layer = _nested(key, value, Mark(_source(source, key)))
        _mark_below(layer.marks, tuple(key.split(".")), value, source)
        document = merge(document, layer)
    if problems:
        raise ConfigError(problems)
    return document


def _source(source: str, path: str) -> str:
    return f"{source} {path}" if source else ""


def _mark_below(marks: Marks, path: Path, value: Any, source: str) -> None:
    for key, item in value.items() if isinstance(value, dict) else ():
        mark = Mark(_source(source, join("", *path, key)))
        marks[(*path, key)] = Spot(mark, mark)
        _mark_below(marks, (*path, key), item, source)


def from_command_line(arguments: Sequence[str]) -> Document:
    """Arguments such as `denoiser.channel_mult=[1,2,4]`; the right sides are YAML.

    Raises:
        ConfigError: arguments have no `=`, or their values cannot be read.
    """
    document = Document()
    problems: list[Problem] = []
    whole, torn = _rejoined(arguments)
    for argument in torn:
        problems.append(Problem("command line", "", "the shell took this apart at its spaces", f"quote it: {argument}"))
    for argument in whole:
        source = f"command line: {argument}"
        key, equals, text = argument.partition("=")
        if not (equals and all(key.split("."))):
            problems.append(Problem(source, "", "expected key=value, such as sampling.steps=20"))
            continue
        try:
            document = merge(document, _nested(key, read_value(text, source), Mark(source)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return document


_KEY = re.compile(r"[\w.]+=")


def _rejoined(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that stand for themselves, and, whole again and quoted, those that came in pieces."""
    whole: list[str] = []
    torn: list[str] = []
    rest = list(arguments)
    while rest:
        key, _, text = rest[0].partition("=")
        closing = {"{": "}", "[": "]"}.get(text[:1], "")
        # what begins with a key is an argument of its own
        end = next((place for place, piece in enumerate(rest[1:], 1) if _KEY.match(piece)), len(rest))
        last = next(
            (place for place, piece in enumerate(rest[:end]) if closing and piece.rstrip().endswith(closing)), 0
        )
        if last:
            torn.append(f"{key}={shlex.quote(' '.join((text, *rest[1 : last + 1])))}")
        else:
            whole.append(rest[0])
        del rest[: last + 1]
    return whole, torn


def _nested(dotted: str, value: Any, mark: Mark) -> Document:
    """The document in which only `dotted` is set, with one mark for all of it."""
    keys = tuple(dotted.split("."))
    for key in reversed(keys):
        value = {key: value}
    tree: dict[str, Any] = {key: named((key,), item) for key, item in value.items()}
    marks = Marks({keys[:end]: Spot(mark, mark) for end in range(1, len(keys) + 1)})
    return Document(tree, marks)


def _plain(value: Any, path: str, problems: list[Problem]) -> Any:
    """A copy with tuples as lists; what is not plain is noted."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                problems.append(Problem("", path, f"keys are strings, got {shown(key)}"))
        return {key: _plain(item, join(path, key), problems) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, list | tuple):
        return [_plain(item, join(path, index), problems) for index, item in enumerate(value)]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        problems.append(Problem("", path, f"expected plain values, got {shown(value)}"))
    return None
