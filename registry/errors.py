"""What goes wrong with names and arguments: where it was written, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_LISTED = 12

Key = str | int
"""One step down a tree: a key of a mapping or an index of a list."""

Where = Callable[[tuple[Key, ...]], str]
"""From the keys below a spec to the place that set them: `file:line:column`, or an empty string."""


def nowhere(keys: tuple[Key, ...]) -> str:
    """The `Where` of a spec that was written in Python and has no place to show."""
    return ""


def join(path: str, *keys: Key) -> str:
    """The path `keys` below `path`, as messages show it: `sampling.guidance[0].scale`."""
    for key in keys:
        path = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key
    return path


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by `word`, or None when nothing is near."""
    near = difflib.get_close_matches(word.lower(), list(candidates), n=1)
    return near[0] if near else None


def near_or_known(word: str, candidates: Sequence[str], label: str = "known") -> str | None:
    """A hint after a wrong word: the one that was probably meant, else the first of those there are.

    Args:
        word: what was written.
        candidates: what could have been.
        label: what introduces the list of candidates.
    """
    if near := suggest(word, candidates):
        return f"did you mean {near!r}?"
    dots = ", ..." if len(candidates) > _LISTED else ""
    return f"{label}: {', '.join(candidates[:_LISTED])}{dots}" if candidates else None


@dataclass(frozen=True)
class Problem:
    """One thing to put right.

    Args:
        where: the place that set the value, such as `configs/x.yaml:4:62`; empty when there is none.
        path: the argument, such as `denoiser.channels`; empty when the whole is meant.
        message: what is wrong, in one line.
        hint: what to do next, such as a likely spelling.
    """

    where: str
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        # The place of a keyword argument is its path already
        path = "" if self.where == f"argument {self.path}" else self.path
        line = ": ".join(part for part in (self.where, path, self.message) if part)
        return line if self.hint is None else f"{line}\n    {self.hint}"


class RegistryError(Exception):
    """A component that cannot be named, loaded or called as asked.

    Args:
        message: what is wrong, in one line.
        hint: what to do next.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return str(Problem("", "", self.message, self.hint))


class UnknownName(RegistryError):
    """No component of that kind has this name."""


class NameTaken(RegistryError):
    """Two owners want the same name."""


class ArgumentError(RegistryError, ValueError):
    """Arguments that do not fit, all of them at once.

    Args:
        problems: what was found, in the order to show it.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.args = (tuple(problems),)  # what pickling hands back to this constructor
        self.problems = list(problems)
