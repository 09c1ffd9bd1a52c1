"""Plain values against type annotations: what fits, what is converted, and how to say what does not."""

from __future__ import annotations

import collections.abc as abc
import reprlib
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, NewType, Union, get_args, get_origin

from registry.errors import Key, suggest

_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)


class Fault(NamedTuple):
    """One misfit inside a value: the keys that lead to it, what is wrong, and a hint."""

    keys: tuple[Key, ...]
    message: str
    hint: str | None = None


Coerced = tuple[Any, list[Fault]]


def coerce(value: object, kind: Any) -> Coerced:
    """Fit a plain value to an annotation.

    An int becomes a float and a list becomes a tuple where the annotation asks for it; nothing else is
    converted. An annotation that says nothing about plain values, such as `Any`, takes everything.

    Args:
        value: numbers, strings, None, lists and mappings.
        kind: the annotation, evaluated.

    Returns:
        The fitted value and every misfit; the value is only meaningful when there is none.
    """
    kind = _bare(kind)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _coerce_union(value, kind)
    if origin is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in get_args(kind))
        return value, [] if fits else [_misfit(value, kind)]
    outer = origin or kind
    if outer is Any or not isinstance(outer, type):
        return value, []
    if outer is float:
        return _coerce_float(value)
    if outer is tuple or outer in _LISTS:
        return _coerce_items(value, kind, outer)
    if outer in _MAPPINGS:
        return _coerce_mapping(value, kind)
    return value, [] if _is(value, outer) else [_misfit(value, kind)]


def _bare(kind: Any) -> Any:
    """The annotation below `Annotated`, `NewType` and `type X = ...`."""
    if kind is None:
        return NoneType
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if isinstance(kind, NewType):
        return _bare(kind.__supertype__)
    return _bare(kind.__value__) if type(kind).__name__ == "TypeAliasType" else kind


def _is(value: object, outer: type) -> bool:
    if isinstance(value, bool) and outer is int:
        return False
    try:
        return isinstance(value, outer)
    except TypeError:  # a protocol that cannot be asked at run time
        return True


def _coerce_float(value: object) -> Coerced:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value, [_misfit(value, float)]
    try:
        return float(value), []
    except OverflowError:
        return value, [Fault((), f"expected float, got {shown(value)}, which is too large")]


def _coerce_items(value: object, kind: Any, outer: type) -> Coerced:
    if not isinstance(value, list | tuple):
        return value, [_misfit(value, kind)]
    args = get_args(kind)
    if outer is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(value):
            return value, [_misfit(value, kind)]
        pairs = [coerce(item, arg) for item, arg in zip(value, args, strict=True)]
    else:
        pairs = [coerce(item, args[0] if args else Any) for item in value]
    items = [item for item, _ in pairs]
    return tuple(items) if outer is tuple else items, _below(enumerate(faults for _, faults in pairs))


def _coerce_mapping(value: object, kind: Any) -> Coerced:
    if not isinstance(value, abc.Mapping):
        return value, [_misfit(value, kind)]
    key_kind, item_kind = get_args(kind) or (Any, Any)
    pairs = {key: coerce(item, item_kind) for key, item in value.items()}
    faults = _below((key, coerce(key, key_kind)[1] + found) for key, (_, found) in pairs.items())
    return {key: item for key, (item, _) in pairs.items()}, faults


def _below(found: abc.Iterable[tuple[Key, list[Fault]]]) -> list[Fault]:
    return [fault._replace(keys=(key, *fault.keys)) for key, faults in found for fault in faults]


def _coerce_union(value: object, kind: Any) -> Coerced:
    """The member that takes the value as it is, else the first that takes it converted."""
    tried = [coerce(value, member) for member in get_args(kind)]
    fitting = [result for result, faults in tried if not faults]
    for result in fitting:
        if type(result) is type(value) and result == value:
            return result, []
    if fitting:
        return fitting[0], []
    # The one member whose outside fits is the one that was meant: then its inner misfits say more.
    inner = [faults for _, faults in tried if all(fault.keys for fault in faults)]
    return value, inner[0] if len(inner) == 1 else [_misfit(value, kind)]


def _misfit(value: object, kind: Any) -> Fault:
    hint = None
    if isinstance(value, str) and (near := suggest(value, _words(kind))):
        hint = f"did you mean {near!r}?"
    elif kind is int and isinstance(value, float) and value.is_integer():
        hint = f"write {int(value)}"
    elif isinstance(value, str) and "," in value and described(kind).startswith("list"):
        hint = f"write [{value}]"
    return Fault((), f"expected {described(kind)}, got {shown(value)}", hint)


def _words(kind: Any) -> list[str]:
    """The strings that a `Literal`, alone or in a union, allows."""
    kind = _bare(kind)
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if isinstance(choice, str)]
    if get_origin(kind) in (Union, UnionType):
        return [word for member in get_args(kind) for word in _words(member)]
    return []


def described(kind: Any) -> str:
    """An annotation in the words of a config: `list of int`, `[float, float]`, `'a' or 'b'`."""
    kind = _bare(kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(described(member) for member in args)
    if origin is Literal:
        return " or ".join(map(repr, args))
    outer = origin or kind
    if outer is tuple and args and args[-1] is not Ellipsis:
        return f"[{', '.join(map(described, args))}]"
    if outer is tuple or outer in _LISTS:
        item = described(args[0]) if args else "any"
        return "list" if item == "any" else f"list of {f'({item})' if ' or ' in item else item}"
    if outer in _MAPPINGS:
        return "mapping"
    if outer is Any:
        return "any"
    return "None" if outer is NoneType else getattr(outer, "__name__", str(outer))


def shown(value: object) -> str:
    """A value as messages show it: its type and a short form of it, such as `str 'big'`."""
    return "None" if value is None else f"{type(value).__name__} {_short.repr(value)}"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 40
