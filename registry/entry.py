"""A line of a registry, and the import that turns it into a factory."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

from registry.errors import RegistryError
from registry.names import is_kebab
from registry.values import shown

DISTRIBUTION = "diffusion-zoo"
_PATH = re.compile(r"[\w.]+:[\w.<>]+")


@dataclass(frozen=True)
class Entry:
    """What is known of a component without importing it.

    Args:
        name: in kebab-case.
        path: of the factory, `module:attribute`.
        summary: one sentence.
        paper: whom to cite.
        extra: the optional dependency of this distribution that it needs.
        facts: what lists show and choose by, such as the order of a sampler; kept read-only.
        owner: the module or distribution that registered it.
    """

    name: str
    path: str
    summary: str = ""
    paper: str = ""
    extra: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""

    def __post_init__(self) -> None:
        if not is_kebab(self.name):
            raise RegistryError(f"{self.name!r} (from {self.owner}) is not kebab-case, such as 'dpmpp-2m'")
        if not _PATH.fullmatch(self.path):
            raise RegistryError(f"{self.name!r} (from {self.owner}): {self.path!r} is not 'module:attribute'")
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))


class LoadError(RegistryError):
    """A factory that cannot be imported.

    Args:
        reason: the path and the cause.
        message: the same for the user.
        hint: what to do next.
    """

    def __init__(self, reason: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.args = (reason, message, hint)
        self.reason = reason


def load(kind: str, entry: Entry) -> Callable[..., Any]:
    """Import the factory of an entry.

    Args:
        kind: what messages call it.
        entry: whose path to import.

    Raises:
        LoadError: it cannot be imported, or cannot be called.
    """
    module, _, attribute = entry.path.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if not callable(found):
            raise TypeError(f"{shown(found)} cannot be called")
    except Exception as error:  # a module may fail in any way while it is imported
        reason = f"{entry.path}: {type(error).__name__}: {error}"
        title = f"{kind} {entry.name!r}"
        if missing := _missing_extra(entry, error):
            command = f"pip install '{DISTRIBUTION}[{entry.extra}]'"
            raise LoadError(reason, f"{title} needs {missing}: {command}") from error
        raise LoadError(reason, f"{title} (from {entry.owner}) cannot be loaded: {reason}") from error
    factory: Callable[..., Any] = found
    return factory


def source_of(factory: Callable[..., Any]) -> str:
    """Where a class or function is written, as `file:line`.

    Raises:
        RegistryError: it has no Python source.
    """
    factory = inspect.unwrap(factory)
    try:
        return f"{inspect.getsourcefile(factory)}:{inspect.getsourcelines(factory)[1]}"
    except (OSError, TypeError) as error:
        raise RegistryError(f"{factory!r} has no Python source") from error


def _missing_extra(entry: Entry, error: Exception) -> str | None:
    """The foreign package whose absence explains the error, if the entry says that it needs one."""
    if not (entry.extra and isinstance(error, ImportError)):
        return None
    package = (error.name or entry.extra).partition(".")[0]
    return None if package == entry.path.partition(":")[0].partition(".")[0] else package
