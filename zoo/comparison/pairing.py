"""Which module of one network stands for which of the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from torch import nn

from registry.errors import near_or_known
from zoo.comparison.errors import ComparisonError
from zoo.comparison.hooks import Call

How = Literal["given", "name", "order and shape"]

Signature = tuple[bool, tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
"""Whether a module holds others, and the shapes of its own parameters and of what it puts out, without axes of size 1
and whatever their order."""


@dataclass(frozen=True)
class Pair:
    """Two modules that stand for each other, by their names in ``a`` and ``b``, and how they were found."""

    a: str
    b: str
    how: How


@dataclass(frozen=True)
class Side:
    """One network as pairing sees it: its modules by name, and its calls in the order in which they ended."""

    modules: Mapping[str, nn.Module]
    calls: Sequence[Call]


def pair_modules(a: Side, b: Side, names: Mapping[str, str]) -> list[Pair]:
    """Pair the modules that ran or have parameters.

    First those that ``names`` pairs, with all that lies below them; then those of the same name, also under a prefix
    that one side has before all its names; then those of the same shapes, in the order in which they ran; at last those
    that share the name alone.

    Raises:
        ComparisonError: ``names`` speaks of a module that is not there.
    """
    found = _Found(a, b)
    for ours, theirs in names.items():
        _known(ours, a.modules, "a")
        _known(theirs, b.modules, "b")
        for name in a.modules:
            if name == ours or name.startswith(f"{ours}."):
                found.add(name, theirs + name.removeprefix(ours), "given")
    found.add("", "", "name")
    prefix_a, prefix_b = _prefixes(a.modules, b.modules)
    same = [(name, prefix_b + name.removeprefix(prefix_a)) for name in a.modules if name.startswith(prefix_a)]
    for name, other in same:
        # a name alone is a weak tie: the places of a Sequential shift when one is put in
        if other in b.modules and _has_weights(a.modules[name]) == _has_weights(b.modules[other]):
            found.add(name, other, "name")
    _by_shape(found, a, b)
    for name, other in same:
        found.add(name, other, "name")
    return found.pairs()


class _Found:
    def __init__(self, a: Side, b: Side) -> None:
        self.of_a: dict[str, Pair] = {}
        self.of_b: dict[str, Pair] = {}
        self._a, self._b = set(relevant(a)), set(relevant(b))
        self._order = list(a.modules)

    def add(self, a: str, b: str, how: How) -> None:
        if a in self._a and b in self._b and a not in self.of_a and b not in self.of_b:
            self.of_a[a] = self.of_b[b] = Pair(a, b, how)

    def pairs(self) -> list[Pair]:
        return [self.of_a[name] for name in self._order if name in self.of_a]


def relevant(side: Side) -> list[str]:
    """The modules that ran or have parameters; lists of modules do neither."""
    ran = {call.name for call in side.calls}
    return [name for name, module in side.modules.items() if name in ran or _has_weights(module)]


def _by_shape(found: _Found, a: Side, b: Side) -> None:
    """Pair what is left by signature: one after the other where both have as many, else by the order around them."""
    labels_a, labels_b = _labelled(a), _labelled(b)
    free_a = {name: label for name, label in labels_a.items() if name not in found.of_a}
    free_b = {name: label for name, label in labels_b.items() if name not in found.of_b}
    count_a, count_b = Counter(free_a.values()), Counter(free_b.values())
    for label in count_a:
        if count_a[label] == count_b[label]:
            alike_a = [name for name, other in free_a.items() if other == label]
            alike_b = [name for name, other in free_b.items() if other == label]
            for name, other in zip(alike_a, alike_b, strict=True):
                found.add(name, other, "order and shape")
    # pairs that are known hold the two sequences together
    sequence_a: list[object] = [found.of_a.get(name, label) for name, label in labels_a.items()]
    sequence_b: list[object] = [found.of_b.get(name, label) for name, label in labels_b.items()]
    names_a, names_b = list(labels_a), list(labels_b)
    for block in SequenceMatcher(None, sequence_a, sequence_b, autojunk=False).get_matching_blocks():
        for offset in range(block.size):
            found.add(names_a[block.a + offset], names_b[block.b + offset], "order and shape")


def _labelled(side: Side) -> dict[str, Signature]:
    """The signature of each module that ran, in the order in which they first ended."""
    labels: dict[str, Signature] = {}
    for call in side.calls:
        if call.name not in labels:
            module = side.modules[call.name]
            weights = tuple(sorted(_bare(tuple(weight.shape)) for weight in module.parameters(recurse=False)))
            outputs = tuple(sorted(_bare(tuple(out.shape)) for out in call.outputs))
            labels[call.name] = next(module.children(), None) is not None, weights, outputs
    return labels


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(size for size in shape if size != 1))


def _prefixes(a: Mapping[str, nn.Module], b: Mapping[str, nn.Module]) -> tuple[str, str]:
    """What to take off the names of ``a`` or of ``b`` so that most of them become the same."""
    choices = [("", ""), *((prefix, "") for prefix in _shared(a)), *(("", prefix) for prefix in _shared(b))]

    def common(choice: tuple[str, str]) -> int:
        stripped_a = {name.removeprefix(choice[0]) for name in a if name.startswith(choice[0])}
        stripped_b = {name.removeprefix(choice[1]) for name in b if name.startswith(choice[1])}
        return len(stripped_a & stripped_b)

    return max(choices, key=common)


def _shared(modules: Mapping[str, nn.Module]) -> list[str]:
    """Prefixes of one or two words that more than half of the names have."""
    words = [name.split(".") for name in modules if name]
    counted = Counter(".".join(word[:depth]) + "." for word in words for depth in (1, 2) if len(word) > depth)
    return [prefix for prefix, count in counted.items() if 2 * count > len(words)]


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _known(name: str, modules: Mapping[str, nn.Module], side: str) -> None:
    if name not in modules:
        hint = near_or_known(name, [other for other in modules if other], "its modules")
        raise ComparisonError(f"names: {side} has no module {name!r}" + (f"\n    {hint}" if hint else ""))
