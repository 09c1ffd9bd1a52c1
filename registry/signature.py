"""A factory's signature is the schema of its arguments: unknown, missing and mistyped ones are found here."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple, get_type_hints

from registry.errors import Problem, RegistryError, Where, join, near_or_known, nowhere
from registry.values import coerce, described

Factory = Callable[..., Any]


class Parameter(NamedTuple):
    """One argument of a factory.

    Args:
        name: as written in configs.
        kind: its annotation, evaluated; `Any` when it has none or it cannot be evaluated.
        required: whether there is no default.
        default: the default, a fresh one when it is made by a factory.
    """

    name: str
    kind: Any
    required: bool
    default: Any = None


def parameters(factory: Factory) -> dict[str, Parameter]:
    """The arguments of a class or function.

    Args:
        factory: what will be called.

    Returns:
        The arguments by name, in the order of the signature.

    Raises:
        RegistryError: the factory cannot be called by named arguments alone, or hides which ones it takes.
    """
    made = _default_factories(factory)
    return {name: one._replace(default=made[name]()) if name in made else one for name, one in _read(factory).items()}


@lru_cache(maxsize=1024)
def _read(factory: Factory) -> Mapping[str, Parameter]:
    """The arguments as the signature says them; evaluating annotations takes longer than most parts take to build."""
    made = _default_factories(factory)
    namespaces = _namespaces(factory)
    found = {}
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise RegistryError(f"{_title(factory)} takes {parameter}", "a registered factory names each argument")
        if parameter.name == "name":
            raise RegistryError(f"{_title(factory)} takes 'name'", "a config keeps that key for the component")
        required = parameter.default is parameter.empty
        default = None if required or parameter.name in made else parameter.default
        kind = _evaluated(parameter.annotation, namespaces)
        found[parameter.name] = Parameter(parameter.name, kind, required, default)
    return found


def check(
    factory: Factory,
    arguments: Mapping[str, Any],
    *,
    name: str,
    where: Where = nowhere,
    path: str = "",
    context: Collection[str] = (),
) -> tuple[dict[str, Any], list[Problem]]:
    """Compare arguments with a factory's signature, and find everything that is wrong with them.

    Args:
        factory: what will be called.
        arguments: plain values by name.
        name: what messages call the factory.
        where: the place of each argument.
        path: what stands before the argument in messages, such as `denoiser`.
        context: parameters that the caller supplies, which arguments may not set.

    Returns:
        The converted arguments with the defaults filled in, without those of the context, and the problems.

    Raises:
        RegistryError: the factory cannot be called by named arguments alone.
    """
    known = parameters(factory)
    fitted: dict[str, Any] = {}
    problems = []

    for key, value in arguments.items():
        at, place = join(path, key), where((key,))
        if key not in known:
            free = [word for word in known if word not in context]
            hint = near_or_known(key, free, "it takes") or "it takes none"
            problems.append(Problem(place, at, f"{name!r} takes no such argument", hint))
        elif key in context:
            hint = "leave this argument out"
            problems.append(Problem(place, at, "is supplied by the zoo and cannot be set here", hint))
        else:
            fitted[key], faults = coerce(value, known[key].kind)
            problems += [Problem(where((key, *f.keys)), join(at, *f.keys), f.message, f.hint) for f in faults]

    for parameter in known.values():
        if parameter.name in context or parameter.name in arguments:
            continue
        if parameter.required:
            message = f"{name!r} needs this argument ({described(parameter.kind)})"
            problems.append(Problem(where(()), join(path, parameter.name), message))
        fitted[parameter.name] = parameter.default

    return {key: fitted[key] for key in known if key in fitted}, problems


def _title(factory: Factory) -> str:
    return f"{factory.__module__}:{getattr(factory, '__qualname__', type(factory).__qualname__)}"


def _default_factories(factory: Factory) -> dict[str, Callable[[], Any]]:
    if not (isinstance(factory, type) and dataclasses.is_dataclass(factory)):
        return {}
    fields = dataclasses.fields(factory)
    return {f.name: f.default_factory for f in fields if f.default_factory is not dataclasses.MISSING}


def _namespaces(factory: Factory) -> list[dict[str, Any]]:
    """Where the names of annotations live: an inherited dataclass field was written in its base's module."""
    if not isinstance(factory, type):
        return [getattr(inspect.unwrap(factory), "__globals__", {})]
    return [vars(sys.modules[base.__module__]) for base in factory.__mro__ if base.__module__ in sys.modules]


def _evaluated(annotation: Any, namespaces: list[dict[str, Any]]) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": annotation})
    for namespace in namespaces:
        try:
            return get_type_hints(holder, namespace)["it"]
        except Exception:  # an annotation is any expression; the next module may know its names
            continue
    return Any
