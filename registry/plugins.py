"""What other distributions offer through entry points, read from their metadata without importing them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint


class Broken(NamedTuple):
    """A plug-in that cannot be used: its kind, its name, the distribution that owns it, and the reason."""

    kind: str
    name: str
    owner: str
    reason: str


class Offer(NamedTuple):
    """One entry point: its name, the `module` or `module:attribute` it leads to, and its distribution."""

    name: str
    path: str
    owner: str


def offers(kind: str, group: str) -> tuple[list[Offer], list[Broken]]:
    """The entry points of a group, in an order that does not depend on how the packages were installed.

    Args:
        kind: what `Broken` calls them.
        group: such as `zoo.samplers`.

    Returns:
        The offers, and the distributions whose metadata mentions the group but cannot be read.
    """
    points, unreadable = _scan()
    found: dict[tuple[str, str], Offer] = {}
    for point in points:
        if point.group == group:
            owner = "unknown" if point.dist is None else point.dist.name
            # A distribution that lies on the path twice is shadowed by its first copy, as its modules are.
            found.setdefault((owner, point.name), Offer(point.name, point.value, owner))
    failures = [
        Broken(kind, "*", dist.name, f"its entry points cannot be read: {reason}")
        for dist, reason in unreadable
        if f"[{group}]" in (dist.read_text("entry_points.txt") or "")
    ]
    return [found[key] for key in sorted(found)], failures


def forget() -> None:
    """Look again at the next question, for packages that were installed since the last one."""
    _scan.cache_clear()


@cache
def _scan() -> tuple[list[EntryPoint], list[tuple[Distribution, str]]]:
    """Every entry point of this environment: one scan serves all kinds, because it takes milliseconds."""
    from importlib import metadata

    points: list[EntryPoint] = []
    unreadable = []
    for dist in metadata.distributions():
        try:
            points += dist.entry_points
        except Exception as error:  # the text is other people's and may be malformed in any way
            unreadable.append((dist, str(error)))
    return points, unreadable
