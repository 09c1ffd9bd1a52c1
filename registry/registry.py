"""Names to factories: listed without importing them, imported when asked for, checked when called."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Generic, NoReturn, TypeVar

from registry import plugins, signature
from registry.entry import Entry, LoadError, load, source_of
from registry.errors import (
    ArgumentError,
    NameTaken,
    Problem,
    RegistryError,
    UnknownName,
    Where,
    join,
    near_or_known,
    nowhere,
)
from registry.names import natural
from registry.plugins import Broken
from registry.specs import split

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Registry(Generic[T]):
    """The components of one kind by name.

    Args:
        kind: what messages call one of them, in the singular.
        group: the entry-point group through which other distributions add theirs.
    """

    def __init__(self, kind: str, *, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._discovered = False
        self._entries: dict[str, Entry] = {}
        self._factories: dict[str, Callable[..., T]] = {}
        self._broken: list[Broken] = []

    def lazy(
        self,
        name: str,
        path: str,
        *,
        summary: str = "",
        paper: str = "",
        extra: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a factory by its path, to be imported when it is first asked for.

        Args:
            name: in kebab-case.
            path: `module:attribute`.
            summary: one sentence.
            paper: whom to cite.
            extra: the optional dependency to name when the import fails.
            facts: what lists show and choose by.

        Raises:
            NameTaken: another factory has this name.
            RegistryError: the name is not in kebab-case, or the path has no attribute.
        """
        owner = re.split("[.:]", path)[0]
        self._add(Entry(name, path, summary, paper, extra, facts or {}, owner))

    def register(
        self, name: str, *, summary: str = "", paper: str = "", facts: Mapping[str, Any] | None = None
    ) -> Callable[[F], F]:
        """Register the class or function below; defining it again, as a notebook cell does, replaces it.

        Args:
            name: in kebab-case.
            summary: one sentence; the first line of the docstring when left out.
            paper: whom to cite.
            facts: what lists show and choose by.

        Raises:
            NameTaken: another factory has this name.
            RegistryError: the name is not in kebab-case.
        """

        def add(factory: F) -> F:
            path = f"{factory.__module__}:{factory.__qualname__}"
            first = (factory.__doc__ or "").strip().partition("\n")[0]
            self._add(Entry(name, path, summary or first, paper, "", facts or {}, factory.__module__))
            self._factories[name] = factory
            return factory

        return add

    def get(self, name: str) -> Callable[..., T]:
        """The factory of that name, imported now.

        Raises:
            UnknownName: there is none.
            RegistryError: it cannot be imported; the message names its path and the cause.
        """
        entry = self.entry(name)
        if name not in self._factories:
            try:
                self._factories[name] = load(self.kind, entry)
            except LoadError as error:
                self._note(name, entry.owner, error.reason)
                raise
        return self._factories[name]

    def check(
        self,
        spec: object,
        *,
        where: Where = nowhere,
        path: str = "",
        context: Collection[str] = (),
    ) -> tuple[dict[str, Any], list[Problem]]:
        """Find everything that is wrong with a spec, without building it.

        Args:
            spec: a name, or a mapping of `name` and arguments.
            where: the place of each argument.
            path: what stands before an argument in messages.
            context: names of the runtime objects that `build` will be given.

        Returns:
            The arguments as the factory will get them, with defaults but without context; and the problems.
        """
        name, arguments, problem = self._split(spec, where, path)
        if problem is not None:
            return {}, [problem]
        try:
            return signature.check(self.get(name), arguments, name=name, where=where, path=path, context=context)
        except RegistryError as error:
            return {}, [Problem(where(("name",)), join(path, "name"), error.message, error.hint)]

    def build(self, spec: str | Mapping[str, Any], /, *, where: Where = nowhere, path: str = "", **context: Any) -> T:
        """Call the factory that a spec names.

        Args:
            spec: a name, or a mapping of `name` and arguments.
            where: the place of each argument.
            path: what stands before an argument in messages.
            context: runtime objects; a factory gets those that it has a parameter for.

        Raises:
            UnknownName: the spec names no component.
            ArgumentError: arguments are unknown, missing or mistyped, or the factory refuses their values.
            RegistryError: the factory cannot be imported.
        """
        name, _, problem = self._split(spec, where, path)
        if problem is not None:
            raise ArgumentError([problem])
        factory = self.get(name)
        arguments, problems = self.check(spec, where=where, path=path, context=context)
        if problems:
            raise ArgumentError(problems)
        known = signature.parameters(factory)
        try:
            return factory(**arguments, **{key: value for key, value in context.items() if key in known})
        except ArgumentError:
            raise
        except ValueError as error:
            raise ArgumentError([Problem(where(()), path, f"{name!r}: {error}")]) from error

    def names(self, pattern: str = "*") -> list[str]:
        """The names that fit a wildcard pattern, in natural order; nothing is imported."""
        self._discover()
        return sorted((name for name in self._entries if fnmatchcase(name, pattern)), key=natural)

    def entry(self, name: str) -> Entry:
        """What is known of a component without importing it.

        Raises:
            UnknownName: there is none of that name.
            RegistryError: a plug-in claims the name but is broken.
        """
        if name not in self._entries:
            self._discover()
        if name not in self._entries:
            self._refuse(name)
        return self._entries[name]

    def find(self, name: str) -> str:
        """Where the factory is written, as `file:line`; a RegistryError if it is not written in Python."""
        return source_of(self.get(name))

    @property
    def broken(self) -> list[Broken]:
        """The plug-ins of this kind that cannot be used, as far as is known."""
        self._discover()
        return list(self._broken)

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def _split(self, spec: object, where: Where, path: str) -> tuple[str, Mapping[str, Any], Problem | None]:
        """`split`, which does not know the names that a spec without one could have had."""
        name, arguments, problem = split(spec, self.kind, where, path)
        return name, arguments, problem and replace(problem, hint=near_or_known("", self.names()))

    def _add(self, entry: Entry) -> None:
        old = self._entries.get(entry.name)
        if old is not None and old.path != entry.path:
            raise NameTaken(
                f"{self.kind} {entry.name!r} is taken by {old.path} (from {old.owner})",
                f"{entry.path} (from {entry.owner}) needs another name",
            )
        self._entries[entry.name] = entry
        self._factories.pop(entry.name, None)

    def _discover(self) -> None:
        """Add what other distributions offer, once; one that is broken is noted and passed over."""
        if self._discovered or self._group is None:
            return
        self._discovered = True
        offers, failures = plugins.offers(self.kind, self._group)
        self._broken += failures
        for offer in offers:
            if offer.name in self._entries and self._entries[offer.name].path == offer.path:
                continue  # registered already, with more than an entry point can tell
            try:
                self._add(Entry(offer.name, offer.path, owner=offer.owner))
            except RegistryError as error:
                self._note(offer.name, offer.owner, error.message)

    def _note(self, name: str, owner: str, reason: str) -> None:
        row = Broken(self.kind, name, owner, reason)
        if row not in self._broken:
            self._broken.append(row)

    def _refuse(self, name: str) -> NoReturn:
        for row in self._broken:
            if row.name == name:
                raise RegistryError(f"{self.kind} {name!r} (from {row.owner}) cannot be used: {row.reason}")
        hint = near_or_known(name, self.names()) or f"no {self.kind} is registered"
        raise UnknownName(f"unknown {self.kind} {name!r}", hint)
