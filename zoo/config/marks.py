"""Where each value of a config was written."""

from __future__ import annotations

from typing import NamedTuple

from registry.errors import ArgumentError, Key, Where

Path = tuple[Key, ...]
"""The keys and indices that lead from the top of a tree to a value."""


class ConfigError(ArgumentError):
    """A config that cannot be read, or that asks for what does not exist; it lists every problem found."""


class Mark(NamedTuple):
    """A place: a file with a line and a column counted from 1, or an argument (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Spot(NamedTuple):
    """The place of a key and that of its value; the items of a list have only the latter, twice."""

    key: Mark
    value: Mark


class Marks(dict[Path, Spot]):
    """The places of a tree's values; the empty path stands for the whole."""

    def where(self, path: Path) -> str:
        """The place that set the value at `path`, or the nearest one around it; empty when unknown."""
        for end in range(len(path), -1, -1):
            if path[:end] in self:
                return str(self[path[:end]].key)
        return ""

    def below(self, prefix: Path) -> Where:
        """The same question for paths that start at `prefix`."""
        return lambda keys: self.where(prefix + keys)
