"""Two recorded runs, row beside row, and the place where they part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from zoo.comparison.hooks import Call
from zoo.comparison.measure import Difference, Match, match
from zoo.comparison.pairing import Pair, Side
from zoo.comparison.weights import Weight

State = Literal["equal", "parts here", "holds it", "follows", "drifts", "only in a", "only in b"]

_GAIN = 4
"""A module whose output is not much further off than its input passes on noise and makes none."""


@dataclass(frozen=True)
class Row:
    """One call of one pair of modules.

    Attributes:
        a: name of the module in ``a``; None where ``b`` alone has it.
        b: name of the module in ``b``.
        kind: class of the module, of both where they differ.
        call: how many times it had been called before.
        input: the largest difference among the inputs; None where nothing could be compared.
        output: the largest difference among the outputs; None where nothing could be compared.
        state: "parts here" for the deepest module whose inputs agree and whose output differs, "holds it" for those
            around it, "follows" for those that get different inputs already, "drifts" for noise that grew too large.
        note: what else is to be seen here.
    """

    a: str | None
    b: str | None
    kind: str
    call: int
    input: Difference | None
    output: Difference | None
    state: State
    note: str


@dataclass(frozen=True)
class Origin:
    """Where two networks part.

    Attributes:
        a: the module in ``a``, the deepest whose inputs agree and whose output differs; empty for the network.
        b: the module in ``b``.
        after: the last module inside it, by its name in ``a``, whose output agrees; None if the difference is not
            between modules inside.
        before: the first module inside it whose input differs.
        output: how far its outputs are apart; None where their shapes are.
        text: all of it in a sentence.
    """

    a: str
    b: str
    after: str | None
    before: str | None
    output: Difference | None
    text: str


@dataclass(frozen=True)
class _Both:
    pair: Pair
    a: Call
    b: Call
    call: int
    input: Match
    output: Match
    same_input: bool
    same_output: bool

    @property
    def grows(self) -> bool:
        """Whether the difference comes about in here, and is not handed on."""
        if self.output.worst is None or self.input.worst is None:
            return True
        return self.output.worst.relative > _GAIN * self.input.worst.relative


def compare_layers(
    a: Side, b: Side, pairs: Iterable[Pair], weights: Sequence[Weight], rtol: float, atol: float
) -> tuple[list[Row], list[Origin]]:
    """The rows in the order in which the modules of ``a`` ended, and the places where the difference comes about."""
    calls_a, calls_b = _by_name(a.calls), _by_name(b.calls)
    both: dict[int, _Both] = {}
    taken_b: set[int] = set()
    for pair in pairs:
        ours, theirs = calls_a.get(pair.a, []), calls_b.get(pair.b, [])
        for number, (call, other) in enumerate(zip(ours, theirs, strict=False)):
            both[call.left] = _judged(pair, call, other, number, rtol, atol)
            taken_b.add(other.left)
    ordered = sorted(both.values(), key=lambda one: one.a.left)
    origins = _origins(ordered)
    rows = [
        _row(a, b, both[call.left], origins) if call.left in both else _lonely(a, call, "only in a") for call in a.calls
    ]
    rows += [_lonely(b, call, "only in b") for call in b.calls if call.left not in taken_b]
    return rows, [_explained(a, b, one, ordered, weights) for one in origins]


def settings(a: nn.Module, b: nn.Module) -> str:
    """How two modules without modules inside were made, where that differs: other arguments, or another class."""
    if next(a.children(), None) is not None or next(b.children(), None) is not None:
        return ""
    if type(a).__name__ != type(b).__name__:
        return f"{type(a).__name__} in a, {type(b).__name__} in b"
    words_a, words_b = (re.split(r", (?=\w+=)", one.extra_repr()) for one in (a, b))
    only_a, only_b = ([word for word in words if word not in others] for words, others in _each(words_a, words_b))
    if not only_a and not only_b:
        return ""
    return f"{', '.join(only_a) or 'the default'} in a, {', '.join(only_b) or 'the default'} in b"


def _each(a: list[str], b: list[str]) -> list[tuple[list[str], list[str]]]:
    return [(a, b), (b, a)]


def _by_name(calls: Iterable[Call]) -> Mapping[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.name, []).append(call)
    return found


def _judged(pair: Pair, a: Call, b: Call, number: int, rtol: float, atol: float) -> _Both:
    inputs, outputs = match(a.inputs, b.inputs, rtol, atol), match(a.outputs, b.outputs, rtol, atol)
    # what one side alone is given, a mask for instance, may be nothing to the other; not so where both have such
    same_input = not (inputs.only_a and inputs.only_b) and (inputs.worst is None or inputs.worst.within(rtol, atol))
    whole = not outputs.only_a and not outputs.only_b and not outputs.reordered
    same_output = whole and (outputs.worst is None or outputs.worst.within(rtol, atol))
    return _Both(pair, a, b, number, inputs, outputs, same_input, same_output)


def _origins(ordered: Sequence[_Both]) -> list[_Both]:
    """The deepest calls whose inputs agree and whose output differs, in the order in which they ended."""
    origins: list[_Both] = []
    for one in ordered:
        if one.same_output or not one.same_input or not one.grows:
            continue
        if not any(one.a.holds(other.a) or one.b.holds(other.b) for other in origins):
            origins.append(one)
    return origins


def _row(a: Side, b: Side, one: _Both, origins: Sequence[_Both]) -> Row:
    module_a, module_b = a.modules[one.pair.a], b.modules[one.pair.b]
    kinds = dict.fromkeys((type(module_a).__name__, type(module_b).__name__))
    state = _state(one, origins)
    notes = [settings(module_a, module_b)]
    if one.input.reordered and state == "parts here":
        notes.append("the same inputs in another order")
    if one.output.worst is None and (one.a.outputs or one.b.outputs):
        notes.append(f"outputs of shapes {_shapes(one.a)} and {_shapes(one.b)}")
    return Row(
        one.pair.a,
        one.pair.b,
        " | ".join(kinds),
        one.call,
        one.input.worst,
        one.output.worst,
        state,
        "; ".join(note for note in notes if note),
    )


def _state(one: _Both, origins: Sequence[_Both]) -> State:
    if one.same_output:
        return "equal"
    if one in origins:
        return "parts here"
    if not one.same_input:
        return "follows"
    return "holds it" if any(one.a.holds(other.a) or one.b.holds(other.b) for other in origins) else "drifts"


def _lonely(side: Side, call: Call, state: Literal["only in a", "only in b"]) -> Row:
    kind, ours = type(side.modules[call.name]).__name__, state == "only in a"
    return Row(call.name if ours else None, None if ours else call.name, kind, 0, None, None, state, "")


def _shapes(call: Call) -> str:
    return ", ".join(str(tuple(out.shape)) for out in call.outputs)


def _explained(a: Side, b: Side, one: _Both, ordered: Sequence[_Both], weights: Sequence[Weight]) -> Origin:
    """In words: in the module itself, or between two modules inside it."""
    inside = [other for other in ordered if one.a.holds(other.a)]
    late = [other for other in inside if not other.same_input]
    before = min(late, key=lambda other: other.a.entered, default=None)
    done = [other for other in inside if before is None or other.a.left < before.a.entered]
    after = max(done, key=lambda other: other.a.left, default=None)
    name = one.pair.a or "the network itself"
    size = "" if one.output.worst is None else f" by {one.output.worst.max_abs:.3g} ({_percent(one.output.worst)})"
    reasons = [settings(a.modules[one.pair.a], b.modules[one.pair.b])]
    reasons += [_why(weight) for weight in weights if _belongs(weight, one.pair)]
    because = "; ".join(reason for reason in reasons if reason)
    text = f"{name}: the inputs agree, the output differs{size}"
    if not inside:
        text += f": {because}" if because else ""
        return Origin(one.pair.a, one.pair.b, None, None, one.output.worst, text)
    place = _place(_below(after, one), _below(before, one))
    text += f", and no module inside makes the difference: it arises {place}" + (f" ({because})" if because else "")
    names = [None if other is None else other.pair.a for other in (after, before)]
    return Origin(one.pair.a, one.pair.b, names[0], names[1], one.output.worst, text)


def _below(inner: _Both | None, outer: _Both) -> str | None:
    return None if inner is None else inner.pair.a.removeprefix(outer.pair.a).removeprefix(".")


def _place(after: str | None, before: str | None) -> str:
    if after and before:
        return f"between {after}'s output and {before}'s input"
    return f"after {after}'s output" if after else f"before {before}'s input"


def _belongs(weight: Weight, pair: Pair) -> bool:
    """Whether this is a weight of the module itself, not of one inside it."""
    owner_a, owner_b = ((name or "?").rpartition(".")[0] for name in (weight.a, weight.b))
    return weight.counts and (owner_a == pair.a if weight.a else owner_b == pair.b)


def _why(weight: Weight) -> str:
    own = (weight.a or weight.b or "").rpartition(".")[2]
    if weight.state == "other shape":
        return f"its {own} has another shape{_noted(weight)}"
    return f"its {own} {'differs' if weight.state == 'differs' else f'is {weight.state}'}{_noted(weight)}"


def _noted(weight: Weight) -> str:
    return f", {weight.note}" if weight.note else ""


def _percent(difference: Difference) -> str:
    return f"{difference.relative:.1e} of the largest number"
