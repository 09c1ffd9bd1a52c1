"""The form of names and the order in which they are listed."""

from __future__ import annotations

import re

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def is_kebab(name: str) -> bool:
    """Whether `name` is lower-case words and numbers joined by single hyphens."""
    return _KEBAB.fullmatch(name) is not None


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key under which `dit-2` comes before `dit-10`, and no two texts are equal: `01` comes before `1`."""
    parts = re.split(r"([0-9]+)", text)
    return [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts)], text
