"""A foreign config: read, looked up by its own field names, and compared with what the weights say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from registry.errors import near_or_known
from registry.values import coerce
from zoo.config.read import MAX_VALUES, Loader
from zoo.header import CheckpointError

T = TypeVar("T")


class MissingField(CheckpointError):
    """Something that neither the weights nor the given config tell."""


class _Loader(Loader):
    """Our dialect of YAML, and the two tags that plain data has when a project dumps its arguments from Python."""


def _namespace(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
    return loader.construct_mapping(node, deep=True)


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Any:
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/object:argparse.Namespace", _namespace)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)


def read_fields(config: Mapping[str, Any] | str | PathLike[str] | None) -> Fields:
    """A foreign config from a mapping, or the path of a YAML or JSON file.

    Raises:
        CheckpointError: the file cannot be read, or is not a mapping of plain values.
    """
    if config is None or isinstance(config, Mapping):
        return Fields(config)
    path = Path(config).expanduser()
    try:
        text = path.read_text("utf-8-sig")
        # the loader makes mappings, lists, strings and numbers only
        tree = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: is no config of plain values: {reason}") from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"{path}: is no config: expected field names with values")
    return Fields(tree)


@dataclass
class Fields:
    """A foreign config by dotted field names, and what was found out while it was read.

    Args:
        tree: nested mappings, or dotted names, or both; None when there is no config.
    """

    tree: Mapping[str, Any] | None
    assumed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    _contradictions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._flat = dict(islice(_flat(self.tree or {}), MAX_VALUES + 1))
        if len(self._flat) > MAX_VALUES:
            raise CheckpointError(f"the config holds more than {MAX_VALUES} values: this is not a config")
        self._written: dict[str, str] = {}

    def alias(self, theirs: str, ours: str) -> None:
        """Read ``theirs`` as ``ours`` where the latter is not given; names that end in a dot stand for all below."""
        for name, value in list(self._flat.items()):
            if name == theirs or (theirs.endswith(".") and name.startswith(theirs)):
                known_as = ours + name.removeprefix(theirs)
                if known_as not in self._flat:
                    self._flat[known_as], self._written[known_as] = value, self._written.get(name, name)

    def part(self, prefix: str, others: Sequence[str]) -> Fields:
        """The fields that begin with ``prefix``, without it, and some others: a config of its own that reports here."""
        names = {name: name.removeprefix(prefix) for name in self._flat if name.startswith(prefix)}
        names |= {name: name for name in others if name in self._flat and name not in names.values()}
        part = Fields({new: self._flat[name] for name, new in names.items()}, self.assumed, self.remarks)
        part._contradictions, part._written = self._contradictions, {new: name for name, new in names.items()}
        return part

    def __contains__(self, name: str) -> bool:
        return name in self._flat

    def get(self, name: str, kind: type[T], default: T) -> T:
        """The value of a field that is a matter of taste, or the default."""
        value = self._typed(name, kind)
        return default if value is None else value

    def assume(self, name: str, kind: type[T], default: T, why: str) -> T:
        """The value of a field, or the default, which is reported with its reason."""
        value = self._typed(name, kind)
        if value is None:
            self.assumed.append(f"{name} = {_shown(default)}: {why}")
            return default
        return value

    def agree(self, name: str, found: T, because: str) -> T:
        """What the weights say; a field that says something else is a contradiction."""
        value = self._typed(name, type(found))
        if value is not None and value != found:
            self.contradict(name, f"the weights say {_shown(found)} ({because})")
        return found

    def contradict(self, name: str, message: str) -> None:
        """Note that a field cannot be true."""
        written = self._written.get(name, name)
        self._contradictions.append(f"{written} is {_shown(self._flat[name])} in the config, {message}")

    def need(self, name: str, kind: type[T], example: T) -> T:
        """The value of a field that nothing else tells.

        Raises:
            MissingField: it is not given.
        """
        value = self._typed(name, kind)
        if value is not None:
            return value
        last = name.rpartition(".")[2]
        nearby = near_or_known(name, sorted(self._flat), "given") if self._flat else None
        raise MissingField(
            f"{name} cannot be read from the weights: pass config={{{name!r}: {example!r}}} with the right {last}, "
            "or the path of the YAML or JSON config that the network was trained with"
            + (f"\n    {nearby}" if nearby else "")
        )

    def settle(self) -> None:
        """Complain of every contradiction at once.

        Raises:
            CheckpointError: config and weights do not belong together.
        """
        if self._contradictions:
            raise CheckpointError(
                "the config does not belong to these weights\n    " + "\n    ".join(self._contradictions)
            )

    def _typed(self, name: str, kind: type[T]) -> T | None:
        value = self._flat.get(name)
        if value is None:
            return None
        fitted, faults = coerce(value, kind)
        if faults:
            self._contradictions.append(f"{self._written.get(name, name)}: {faults[0].message}")
            return None
        return cast(T, fitted)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value)
