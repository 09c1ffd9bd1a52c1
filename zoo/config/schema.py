"""What a config may say: every key, every component and every argument is checked against what exists."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

from registry import Problem, RegistryError, kinds, signature, suggest
from registry.errors import join, near_or_known
from registry.values import coerce, shown
from zoo.config.compose import merge
from zoo.config.layout import COMPONENTS, CONTEXT, DEFAULTS, KEYS, LISTS, OF_A_CLASSIFIER, OPTIONAL, SAMPLING, VOICE
from zoo.config.marks import Marks, Path
from zoo.config.read import Document

_SETTINGS = ("zoo.training.settings", "Settings")


def examine(tree: Mapping[str, Any], marks: Marks) -> tuple[dict[str, Any], list[Problem]]:
    """Find every problem of a composed tree, and fill in every default.

    Args:
        tree: the composed tree, without defaults.
        marks: the place of each of its values.

    Returns:
        The complete tree, which is only meaningful when there is no problem; and the problems.
    """
    defaults = {} if "classifier" in tree else DEFAULTS
    walk = _Walk(merge(Document(defaults), Document(dict(tree))).tree, marks)
    walk.top()
    return walk.resolved, walk.problems


class _Walk:
    """One pass over a tree that collects what it resolves to and what is wrong."""

    def __init__(self, tree: dict[str, Any], marks: Marks) -> None:
        self._tree = tree
        self._marks = marks
        self.problems: list[Problem] = []
        self.resolved: dict[str, Any] = {}

    def top(self) -> None:
        classifier = "classifier" in self._tree
        self._unknown(self._tree, OF_A_CLASSIFIER if classifier else KEYS, ())
        for key, kind in KEYS.items():
            path = (key,)
            if key == "denoiser" and key not in self._tree and not classifier:
                self._complain(path, "a config needs a denoiser", "denoiser: {name: ...}")
            elif key not in self._tree:
                continue
            elif path in COMPONENTS:
                self._set(key, self._component(path, self._tree[key]))
            else:
                self._set(key, self._typed(path, self._tree[key], kind))
        self._positive(("shape",), self.resolved.get("shape"))
        for key, section in (("sampling", self._sampling), ("training", self._training), ("voice", self._voice)):
            if isinstance(self.resolved.get(key), dict):
                self.resolved[key] = section(self._tree[key])

    def _set(self, key: str, value: Any) -> None:
        if value is not None:
            self.resolved[key] = value

    def _sampling(self, section: dict[str, Any]) -> dict[str, Any]:
        self._unknown(section, SAMPLING, ("sampling",))
        resolved = {}
        for key, kind in SAMPLING.items():
            path = ("sampling", key)
            if key not in section:
                continue
            if path in COMPONENTS:
                resolved[key] = self._component(path, section[key])
            elif key == "clip" and isinstance(section[key], dict):
                resolved[key] = self._one(("sampling", "guidance"), path, section[key])
            else:
                resolved[key] = self._typed(path, section[key], kind)
        self._positive(("sampling", "steps"), resolved["steps"])
        return _plain_items(resolved)

    def _training(self, section: dict[str, Any]) -> dict[str, Any]:
        components = [key for top, *rest in COMPONENTS if top == "training" for key in rest if isinstance(key, str)]
        arguments = {key: value for key, value in section.items() if key not in components}
        settings = _settings()
        if settings is not None:
            for key, parameter in signature.parameters(settings).items():
                if key in components and not parameter.required and parameter.default is not None:
                    section = {key: named_spec(parameter.default), **section}
            arguments, problems = signature.check(
                settings,
                arguments,
                name="training",
                where=self._marks.below(("training",)),
                path="training",
                context=components,
            )
            self.problems += problems
        for key in components:
            if section.get(key) is not None:
                arguments[key] = self._component(("training", key), section[key])
        return _plain_items(arguments)

    def _voice(self, section: dict[str, Any]) -> dict[str, Any]:
        self._unknown(section, VOICE, ("voice",))
        return {key: self._component(("voice", key), section[key]) for key in VOICE if key in section}

    def _component(self, path: Path, value: Any) -> Any:
        if value is None and path in OPTIONAL:
            return None
        if isinstance(value, list) and path in LISTS:
            return [self._one(path, (*path, index), item) for index, item in enumerate(value)]
        return self._one(path, path, value)

    def _one(self, slot: Path, path: Path, spec: Any) -> Any:
        arguments, problems = kinds[COMPONENTS[slot]].check(
            spec,
            where=self._marks.below(path),
            path=join("", *path),
            context=CONTEXT.get(slot, frozenset()),
        )
        if path == ("data",) and (folder := _folder(spec)):
            hint = f"for a folder of pictures: data={shlex.quote(f'{{name: images, path: {folder}}}')}"
            problems = [replace(one, hint=hint) if one.path == "data.name" else one for one in problems]
        self.problems += problems
        name = spec.get("name") if isinstance(spec, dict) else spec
        return {"name": name, **_plain_items(arguments)}

    def _typed(self, path: Path, value: Any, kind: Any) -> Any:
        fitted, faults = coerce(value, kind)
        for fault in faults:
            self._complain((*path, *fault.keys), fault.message, fault.hint)
        return None if faults else plain(fitted)

    def _positive(self, path: Path, value: Any) -> None:
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number < 1:
                self._complain(path, f"expected numbers from 1, got {shown(value)}")

    def _unknown(self, section: Mapping[str, Any], known: Collection[str], path: Path) -> None:
        for key in section:
            if key not in known:
                slipped = [] if path else self._slipped(key, known)
                hint = near_or_known(key, list(known), "keys here")
                if slipped:
                    hint = f"did you mean {' or '.join(map(repr, slipped))}?"
                self._complain((*path, key), "no such key", hint)

    def _slipped(self, key: str, known: Collection[str]) -> list[str]:
        """The full paths of a key that slipped to the top: in each section, and each component, that takes it."""
        settings = _settings()
        takers: dict[str, Collection[str]] = {
            "sampling": SAMPLING,
            "training": [] if settings is None else signature.parameters(settings),
        }
        near = suggest(key, [*known, *chain(*takers.values())]) or key
        for top, kind in ((path[0], kind) for path, kind in COMPONENTS.items() if len(path) == 1):
            spec = named_spec(self._tree.get(str(top)))
            name = spec.get("name") if isinstance(spec, dict) else None
            # one that is unknown, or not installed, is complained of in its own place
            with suppress(RegistryError):
                takers[str(top)] = signature.parameters(kinds[kind].get(name)) if isinstance(name, str) else []
        word = key if any(key in takes for takes in takers.values()) else near
        return [] if word in known else [f"{name}.{word}" for name, takes in takers.items() if word in takes]

    def _complain(self, path: Path, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self._marks.where(path), join("", *path), message, hint))


def _folder(spec: Any) -> str:
    """The folder that stands where a dataset is named, or beside a name that is missing; empty for none."""
    named = named_spec(spec)
    text = named.get("name", named.get("path")) if isinstance(named, dict) else None
    return text if isinstance(text, str) and FilePath(text).expanduser().is_dir() else ""


def plain(value: Any) -> Any:
    """A copy in which tuples are lists and every mapping is a dict, as JSON and YAML have them."""
    if isinstance(value, Mapping):
        return _plain_items(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _plain_items(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(item) for key, item in tree.items()}


def named_spec(spec: Any) -> Any:
    """A component's spec with a bare name written as a mapping."""
    return {"name": spec} if isinstance(spec, str) else spec


def _settings() -> Any:
    """The class of the training settings; None where training is not installed."""
    module, attribute = _SETTINGS
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        return None
