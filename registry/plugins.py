"""What other distributions offer through entry points, read from their metadata without importing them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Broken(NamedTuple):
    """A plug-in that cannot be used: its kind, its name, the distribution that owns it, and the reason."""

    kind: str
    name: str
    owner: str
    reason: str


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """Every entry point of this environment: one scan serves all kinds, because a scan takes milliseconds."""
    from importlib import metadata

    return tuple(metadata.entry_points())


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of one group, in an order that does not depend on how the packages were installed."""
    return sorted((point for point in _installed() if point.group == group), key=lambda p: (owner(p), p.name))


def owner(point: EntryPoint) -> str:
    """The distribution that declares `point`."""
    return "unknown" if point.dist is None else point.dist.name


def forget() -> None:
    """Scan again at the next question, for packages installed since."""
    _installed.cache_clear()
