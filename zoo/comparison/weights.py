"""The weights of two networks, module by module: which differ, are missing, or have another shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.comparison.measure import Difference, difference
from zoo.comparison.pairing import Pair, Side, relevant

State = Literal["differs", "other shape", "only in a", "only in b"]


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer that is not the same on both sides.

    Attributes:
        a: its name in ``a``; None where it is missing.
        b: its name in ``b``.
        state: what is wrong with it.
        shape_a: its shape in ``a``.
        shape_b: its shape in ``b``.
        difference: how far the numbers are apart, where that can be said.
        note: what would make them equal, or what it is.
        counts: whether the networks are different for it: a buffer that one side alone keeps is told, no more.
    """

    a: str | None
    b: str | None
    state: State
    shape_a: tuple[int, ...] | None
    shape_b: tuple[int, ...] | None
    difference: Difference | None
    note: str
    counts: bool


def compare_weights(a: Side, b: Side, pairs: Iterable[Pair], rtol: float, atol: float) -> tuple[list[Weight], int]:
    """The weights that are not the same to the last bit, and the number of weights that were compared."""
    found: list[Weight] = []
    compared = 0
    left_a, left_b = _all(a), _all(b)
    for pair in pairs:
        own_a, own_b = _own(a.modules[pair.a], pair.a), _own(b.modules[pair.b], pair.b)
        for ours, theirs in _partners(own_a, own_b, pair):
            compared += 1
            found += _differing(ours, theirs, own_a[ours], own_b[theirs], rtol, atol)
            left_a.pop(ours)
            left_b.pop(theirs)
    found += [_lonely(name, tensor, "only in a") for name, tensor in left_a.items()]
    found += [_lonely(name, tensor, "only in b") for name, tensor in left_b.items()]
    return found, compared


def compare_tensors(a: Mapping[str, Tensor], b: Mapping[str, Tensor], rtol: float, atol: float) -> list[Weight]:
    """Tensors by equal names: what models hold outside the network."""
    found: list[Weight] = []
    for name in dict.fromkeys([*a, *b]):
        if name in a and name in b:
            found += _differing(name, name, a[name], b[name], rtol, atol)
        else:
            found.append(_lonely(name, a[name] if name in a else b[name], "only in a" if name in a else "only in b"))
    return found


def _own(module: nn.Module, name: str) -> dict[str, Tensor]:
    """Parameters and saved buffers of the module itself."""
    hidden = module._non_persistent_buffers_set
    own = {**module._parameters, **{key: value for key, value in module._buffers.items() if key not in hidden}}
    return {f"{name}.{key}" if name else key: value for key, value in own.items() if value is not None}


def _all(side: Side) -> dict[str, Tensor]:
    """All weights; those of modules that neither ran nor have parameters are buffers nobody reads."""
    names = set(relevant(side))
    buffers = {name for name, module in side.modules.items() if module._buffers}
    return {
        key: tensor
        for name, module in side.modules.items()
        if name in names | buffers
        for key, tensor in _own(module, name).items()
    }


def _partners(a: Mapping[str, Tensor], b: Mapping[str, Tensor], pair: Pair) -> list[tuple[str, str]]:
    """Weights of two modules by their own names, else by shape."""
    local_b = {key.removeprefix(pair.b).removeprefix("."): key for key in b}
    partners: dict[str, str] = {}
    for key in a:
        local = key.removeprefix(pair.a).removeprefix(".")
        if local in local_b:
            partners[key] = local_b.pop(local)
    for key in a:
        alike = (local for local, other in local_b.items() if _squeezed(a[key]) == _squeezed(b[other]))
        if key not in partners and (found := next(alike, None)) is not None:
            partners[key] = local_b.pop(found)
    return list(partners.items())


def _squeezed(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)


def _differing(name_a: str, name_b: str, a: Tensor, b: Tensor, rtol: float, atol: float) -> list[Weight]:
    shapes = tuple(a.shape), tuple(b.shape)
    if _squeezed(a) != _squeezed(b):
        note = "the same numbers, transposed" if _transposed(a, b) else ""
        return [Weight(name_a, name_b, "other shape", *shapes, None, note, counts=True)]
    found = difference(a, b)
    if found is None or found.max_abs == 0:
        return []
    note = _explained(a, b)
    if not note and found.within(rtol, atol):
        note = "no more than rounding"
    return [Weight(name_a, name_b, "differs", *shapes, found, note, counts=not found.within(rtol, atol))]


def _lonely(name: str, tensor: Tensor, state: Literal["only in a", "only in b"]) -> Weight:
    trained = isinstance(tensor, nn.Parameter)
    ours, shape = state == "only in a", tuple(tensor.shape)
    return Weight(
        name if ours else None,
        None if ours else name,
        state,
        shape if ours else None,
        None if ours else shape,
        None,
        "" if trained else "not trained",
        counts=trained,
    )


def _transposed(a: Tensor, b: Tensor) -> bool:
    a, b = a.detach().squeeze().cpu(), b.detach().squeeze().cpu()
    return a.ndim == b.ndim == 2 and a.shape == b.shape[::-1] and torch.equal(a, b.T.to(a.dtype))


def _explained(a: Tensor, b: Tensor) -> str:
    """What was done to the weight, for the mistakes that are made most."""
    if _transposed(a, b):
        return "the same numbers, transposed"
    a, b = a.detach().squeeze().cpu(), b.detach().squeeze().cpu().to(a.dtype)
    if a.ndim and len(a) % 2 == 0 and torch.equal(a, b.roll(len(b) // 2, 0)):
        return "the same rows, both halves swapped"
    if torch.equal(a, -b):
        return "the same numbers, other sign"
    return ""
