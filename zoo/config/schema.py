"""What a config may say: every key, every component and every argument is checked against what exists."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any

from registry import Problem, kinds, signature, suggest
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
                # A key of `sampling` that slipped to the top is offered with its full path.
                near = suggest(key, known if path else [*known, *SAMPLING])
                slipped = near in SAMPLING and near not in known
                hint = f"did you mean 'sampling.{near}'?" if slipped else near_or_known(key, list(known), "keys here")
                self._complain((*path, key), "no such key", hint)

    def _complain(self, path: Path, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self._marks.where(path), join("", *path), message, hint))


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
