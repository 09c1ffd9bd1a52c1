"""A spec is how a config names a component: `"ddim"`, or `{"name": "ddim", "eta": 0.5}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.errors import Problem, Where, join
from registry.values import shown


def split(spec: object, kind: str, where: Where, path: str) -> tuple[str, Mapping[str, Any], Problem | None]:
    """The name and the arguments of a spec.

    Args:
        spec: as written.
        kind: what messages call a component, in the singular.
        where: the place of each argument.
        path: what stands before an argument in messages.

    Returns:
        The name, the arguments, and what is wrong with the spec itself, if anything.
    """
    if isinstance(spec, str):
        return spec, {}, None
    if not isinstance(spec, Mapping):
        message = f"expected the name of a {kind}, or a mapping with a name, got {shown(spec)}"
        return "", {}, Problem(where(()), path, message)
    name = spec.get("name")
    if name is None:
        return "", {}, Problem(where(()), join(path, "name"), f"missing: which {kind} is meant?")
    if not isinstance(name, str):
        message = f"expected the name of a {kind}, got {shown(name)}"
        return "", {}, Problem(where(("name",)), join(path, "name"), message)
    return name, {key: value for key, value in spec.items() if key != "name"}, None
