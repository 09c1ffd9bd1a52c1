"""What the zoo holds, by name."""

from __future__ import annotations

from fnmatch import fnmatchcase

from registry import kinds
from zoo import config


def names(kind: str = "*", pattern: str = "*") -> list[str]:
    """Registered names; nothing is imported for it.

    Args:
        kind: a kind in the plural ("samplers", "denoisers", ...), "models" for the shipped configs, or a pattern
            over the kinds.
        pattern: what the name must match; ``*`` and ``?`` are wildcards.

    Returns:
        The names, sorted within each kind; kinds in alphabetical order.

    Raises:
        UnknownName: when no kind matches.
    """
    matching = sorted(one for one in (*kinds, "models") if fnmatchcase(one, kind))
    if not matching:
        from registry import UnknownName, suggest

        near = suggest(kind, [*kinds, "models"])
        raise UnknownName(f"unknown kind {kind!r}" + (f"; did you mean {near!r}?" if near else ""))
    return [
        name for one in matching for name in (config.names(pattern) if one == "models" else kinds[one].names(pattern))
    ]
