"""Suites from YAML, checked like any config: everything that is wrong at once, with its place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from registry import Problem, kinds, samplers, signature
from registry.errors import join, near_or_known
from registry.names import natural
from registry.values import shown
from zoo import config as configs
from zoo.bench.suite import (
    IDENTITY,
    Draws,
    Fewer,
    Learning,
    Memory,
    ModelChoice,
    Pair,
    Quality,
    Reference,
    SamplerChoice,
    Startup,
    Suite,
)
from zoo.config.find import SUFFIXES
from zoo.config.marks import ConfigError, Marks
from zoo.config.marks import Path as Keys

Source = str | os.PathLike[str] | Mapping[str, Any]

_CONTEXT = {"features": frozenset({"images", "labels"}), "data": frozenset({"shape"})}
"""The parameters that the zoo supplies, so that a suite may not set them."""


@dataclass(frozen=True)
class Loaded:
    """A suite as written, and the whole of it.

    Args:
        name: the stem of the file; ``suite`` for a mapping.
        suite: what to run; its components are specs as they were written.
        resolved: the same with every default, ready for JSON.
    """

    name: str
    suite: Suite
    resolved: Mapping[str, Any]


def suites_dir() -> Path:
    """The folder of the project's own suites, in a checkout."""
    return Path(__file__).resolve().parents[2] / "benchmarks"


def load(source: Source, *, overrides: Mapping[str, Any] | None = None, command_line: Sequence[str] = ()) -> Loaded:
    """Read a suite and check everything it names.

    Args:
        source: the name of a suite in ``benchmarks/``, the path of a YAML file, or a mapping.
        overrides: nested values over the file; keys may be dotted.
        command_line: ``key.key=value`` arguments over those.

    Raises:
        ConfigError: with every problem at once.
    """
    found = configs.load(_found(source), overrides=overrides, command_line=command_line)
    checker = _Checker(found.tree, found.marks)
    suite = checker.suite()
    problems = [*found.problems, *checker.problems]
    if suite is None or problems:
        raise ConfigError(sorted(problems, key=lambda problem: natural(problem.where)))
    return Loaded(found.name or "suite", suite, checker.resolved)


def _found(source: Source) -> Source:
    """A bare name becomes the path of that suite."""
    if isinstance(source, Mapping):
        return source
    text = os.fspath(source)
    if text.endswith(SUFFIXES) or os.sep in text:
        return text
    path = suites_dir() / f"{text}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in suites_dir().glob("*.yaml"))
        hint = near_or_known(text, known) or "only a checkout has suites by name: give the path of a YAML file"
        raise ConfigError([Problem("", "", f"unknown suite {text!r}", hint)])
    return path


class _Checker:
    """One pass over a suite's tree: its parts, what they resolve to, and what is wrong."""

    def __init__(self, tree: Mapping[str, Any], marks: Marks) -> None:
        self._tree, self._marks = dict(tree), marks
        self.problems: list[Problem] = []
        self.resolved: dict[str, Any] = {}

    def suite(self) -> Suite | None:
        known = [one.name for one in fields(Suite)]
        for key in [key for key in self._tree if key not in known]:
            self._complain((key,), "no such key", near_or_known(key, known, "keys here"))
            del self._tree[key]
        made: dict[str, Any] = {
            "models": self._models(),
            "samplers": self._samplers(),
            "spacings": self._spacings(),
            "reference": self._section("reference", Reference, {"sampler": "samplers", "spacing": "spacings"}),
            "fewer": self._section("fewer", Fewer, {"sampler": "samplers", "spacing": "spacings"}),
            "quality": self._section("quality", Quality, {"features": "features", "data": "data"}),
            "draws": self._section("draws", Draws, {}),
            "learning": self._section("learning", Learning, {"data": "data"}),
            "startup": self._section("startup", Startup, {}),
            "memory": self._section("memory", Memory, {}),
            "pairs": self._pairs(),
        }
        self._guidance()
        plain = {key: value for key, value in self._tree.items() if key not in made}
        settings, problems = signature.check(
            Suite, plain, name="suite", where=self._marks.below(()), context=frozenset(made)
        )
        self.problems += problems
        if self.problems:
            return None
        self._complete(made)
        if made["reference"] is not None and samplers.build(made["reference"].sampler).stochastic:
            self._complain(("reference", "sampler"), "draws noise, and a reference must not", "such as unipc")
        if made["fewer"] is not None:
            self._fewer(made)
        self.resolved = {**settings, **self.resolved}
        return None if self.problems else self._built(Suite, {**settings, **made}, ())

    def _complete(self, made: Mapping[str, Any]) -> None:
        """There is something to do."""
        # evaluations stand for steps
        counts = "nfe" if self._tree.get("nfe") else "steps"
        needed = ("models", "samplers") if made["fewer"] is not None else ("models", "samplers", counts)
        missing = [key for key in needed if not self._tree.get(key)]
        if made["pairs"] and len(missing) == len(needed):
            return
        if made["learning"] is not None or made["memory"] is not None:
            # models alone are trained, or walked by their own samplers
            complete = missing in ([], ["samplers", "steps"])
        else:
            complete = not missing or (len(missing) == 3 and made["startup"] is not None)
        if not complete:
            for key in missing:
                self._complain(
                    (key,),
                    "missing: a suite needs models, samplers and steps; models with learning or memory; pairs; startup",
                )

    def _fewer(self, made: Mapping[str, Any]) -> None:
        """There is a solution to be near to, and a walk that can be."""
        if made["reference"] is None:
            self._complain(("fewer",), "compares errors: the suite needs a reference", "such as reference: {}")
        if samplers.build(made["fewer"].sampler).stochastic:
            self._complain(("fewer", "sampler"), "draws noise, and a bar must not", "such as plms")
        for key in ("steps", "nfe"):
            if self._tree.get(key):
                self._complain((key,), "fewer looks for these numbers itself: leave them out")

    def _models(self) -> list[ModelChoice]:
        listed = self._listed("models")
        choices = []
        for index, value in enumerate(listed):
            written = {"config": value} if isinstance(value, str) else value
            choice = self._checked(("models", index), ModelChoice, written)
            if choice is None:
                continue
            if choice.config == IDENTITY and (choice.shape is None or choice.pretrained or choice.overrides):
                self._complain(("models", index), "'identity' takes a shape, and neither overrides nor weights")
            choices.append(choice)
        titles = [choice.title for choice in choices]
        for index, title in enumerate(titles):
            if title in titles[:index]:
                self._complain(("models", index), f"there are two models {title!r}: give one of them a label")
        self.resolved["models"] = [{**vars(choice), "label": choice.title} for choice in choices]
        return choices

    def _pairs(self) -> list[Pair]:
        found = [self._checked(("pairs", index), Pair, value) for index, value in enumerate(self._listed("pairs"))]
        pairs = [pair for pair in found if pair is not None]
        self.resolved["pairs"] = [{**vars(pair), "label": pair.title} for pair in pairs]
        return pairs

    def _samplers(self) -> list[SamplerChoice]:
        choices, whole = [], []
        for index, value in enumerate(self._listed("samplers")):
            path: Keys = ("samplers", index)
            own = isinstance(value, Mapping) and "sampler" in value
            choice = self._checked(path, SamplerChoice, value if own else {"sampler": value})
            if choice is None:
                continue
            choice = SamplerChoice(sampler=_named(choice.sampler), spacing=_named(choice.spacing))
            sampler = self._component("samplers", (*path, "sampler") if own else path, choice.sampler)
            spacing = None
            if choice.spacing is not None:
                spacing = self._component("spacings", (*path, "spacing"), choice.spacing)
            choices.append(choice)
            whole.append({"sampler": sampler, "spacing": spacing})
        self.resolved["samplers"] = whole
        return choices

    def _spacings(self) -> list[Any] | None:
        if self._tree.get("spacings") is None:
            self.resolved["spacings"] = None
            return None
        listed = [_named(spec) for spec in self._listed("spacings")]
        self.resolved["spacings"] = [
            self._component("spacings", ("spacings", index), spec) for index, spec in enumerate(listed)
        ]
        return listed

    def _guidance(self) -> None:
        value = self._tree.get("guidance")
        if isinstance(value, str | Mapping):
            self._component("guidances", ("guidance",), _named(value))
        for index, spec in enumerate(value if isinstance(value, list) else ()):
            self._component("guidances", ("guidance", index), _named(spec))

    def _section(self, key: str, factory: type[Any], components: Mapping[str, str]) -> Any:
        value = self._tree.get(key)
        self.resolved[key] = None
        if value is None:
            return None
        if isinstance(value, Mapping):
            value = {name: _named(item) if name in components else item for name, item in value.items()}
        made = self._checked((key,), factory, value)
        if made is None:
            return None
        whole = dict(vars(made))
        for name, kind in components.items():
            if whole[name] is not None:
                whole[name] = self._component(kind, (key, name), _named(whole[name]))
        self.resolved[key] = whole
        return made

    def _component(self, kind: str, path: Keys, spec: Any) -> dict[str, Any]:
        arguments, problems = kinds[kind].check(
            spec,
            where=self._marks.below(path),
            path=join("", *path),
            context=_CONTEXT.get(kind, frozenset()),
        )
        self.problems += problems
        return {"name": spec.get("name") if isinstance(spec, Mapping) else spec, **arguments}

    def _checked(self, path: Keys, factory: type[Any], value: Any) -> Any:
        """A section as its dataclass; None when it does not fit."""
        if not isinstance(value, Mapping):
            self._complain(path, f"expected a mapping, got {shown(value)}")
            return None
        arguments, problems = signature.check(
            factory, value, name=str(path[0]), where=self._marks.below(path), path=join("", *path)
        )
        self.problems += problems
        return None if problems else self._built(factory, arguments, path)

    def _built(self, factory: type[Any], arguments: Mapping[str, Any], path: Keys) -> Any:
        try:
            return factory(**arguments)
        except ValueError as error:
            self._complain(path, str(error))
            return None

    def _listed(self, key: str) -> list[Any]:
        value = self._tree.get(key)
        if isinstance(value, list):
            return value
        return [] if value is None else [value]

    def _complain(self, path: Keys, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self._marks.where(path), join("", *path), message, hint))


def _named(spec: Any) -> Any:
    return {"name": spec} if isinstance(spec, str) else spec
