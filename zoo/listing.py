"""What the zoo holds, by name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from registry import UnknownName, kinds, suggest
from zoo import backbones, config


def names(kind: str = "*", pattern: str = "*") -> list[str]:
    """Registered names; nothing is imported for it.

    Args:
        kind: a kind in the plural ("samplers", "denoisers", ...), "models" for the shipped configs, or a pattern
            over the kinds. "backbones", timm's models, are listed by that word alone.
        pattern: what the name must match; ``*`` and ``?`` are wildcards.

    Returns:
        The names, sorted within each kind; kinds in alphabetical order.

    Raises:
        UnknownName: when no kind matches.
    """
    return [name for one in kinds_matching(kind) for name in _names(one, pattern)]


def kinds_matching(pattern: str) -> list[str]:
    """The kinds that fit a pattern, "models" among them, in alphabetical order.

    Raises:
        UnknownName: when none does.
    """
    if pattern == "backbones":  # a thousand names that somebody else gave: by no pattern
        return [pattern]
    every = sorted((*kinds, "models"))
    if found := [kind for kind in every if fnmatchcase(kind, pattern)]:
        return found
    near = suggest(pattern, every)
    raise UnknownName(f"unknown kind {pattern!r}", f"did you mean {near!r}?" if near else f"known: {', '.join(every)}")


def summaries(pattern: str = "*") -> dict[str, str]:
    """The shipped configs that fit a pattern, each with its one sentence; empty for a file that cannot be read."""
    return {name: _summary(config.path_of(name)) for name in config.names(pattern)}


def _summary(path: Path) -> str:
    # The loader of configs keeps the place of everything, which takes ten times as long as libyaml
    try:
        tree = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError):
        return ""
    return str(tree.get("summary", "")) if isinstance(tree, dict) else ""


def _names(kind: str, pattern: str) -> list[str]:
    if kind == "backbones":
        return [row.name for row in backbones.table(pattern)]
    return config.names(pattern) if kind == "models" else kinds[kind].names(pattern)
