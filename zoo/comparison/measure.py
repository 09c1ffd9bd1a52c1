"""How far two tensors are apart, whatever the layout each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

NOISE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""What another order of summation may cost, by dtype, as a part of the largest number of a tensor: about a hundred
roundings in float32, where a deep network sums a few hundred numbers at a time."""

_MOST_AXES = 5


@dataclass(frozen=True)
class Difference:
    """The distance of two tensors.

    Attributes:
        max_abs: the largest |a - b|; inf where one has nan or inf and the other has not.
        relative: the same over the largest finite number in either of them.
    """

    max_abs: float
    relative: float

    def within(self, rtol: float, atol: float) -> bool:
        """Whether this is no more than noise."""
        return self.max_abs <= atol or self.relative <= rtol


@dataclass(frozen=True)
class Match:
    """Tensors that came in beside each other, matched by likeness.

    Attributes:
        worst: the largest difference of a matched pair; None where nothing could be matched.
        only_a: how many tensors of ``a`` have no counterpart.
        only_b: how many of ``b``.
        reordered: whether they agree in another order only.
    """

    worst: Difference | None
    only_a: int
    only_b: int
    reordered: bool


def difference(a: Tensor, b: Tensor) -> Difference | None:
    """The distance of two tensors, or None when their shapes cannot hold the same numbers.

    Axes of size 1 do not count; where the shapes still differ, axes in another order, or neighbouring axes joined
    into one, are put into the order of ``a`` that brings them nearest.
    """
    a, b = _plain(a), _plain(b)
    found = [_distance(a, layout) for layout in _layouts(a, b)]
    return min(found, key=lambda one: one.relative) if found else None


def match(a: Sequence[Tensor], b: Sequence[Tensor], rtol: float, atol: float) -> Match:
    """Match the tensors of two calls: those in the same place where they agree, the others by likeness."""
    free_a, free_b = list(range(len(a))), list(range(len(b)))
    taken: list[tuple[int, int, Difference]] = []
    for i in range(min(len(a), len(b))):
        here = difference(a[i], b[i])
        if here is not None and here.within(rtol, atol):
            taken.append((i, i, here))
            free_a.remove(i)
            free_b.remove(i)
    rest = [(i, j, found) for i in free_a for j in free_b if (found := difference(a[i], b[j])) is not None]
    for i, j, found in sorted(rest, key=lambda one: one[2].relative):
        if i in free_a and j in free_b:
            taken.append((i, j, found))
            free_a.remove(i)
            free_b.remove(j)
    order = [j for _, j, _ in sorted(taken)]
    worst = max((found for _, _, found in taken), key=lambda one: one.relative, default=None)
    return Match(worst, len(free_a), len(free_b), reordered=order != sorted(order))


def _plain(tensor: Tensor) -> Tensor:
    """In float64, without axes of size 1."""
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return tensor.detach().to("cpu", torch.float64).squeeze()


def _layouts(a: Tensor, b: Tensor) -> list[Tensor]:
    if a.shape == b.shape:
        return [b]
    if a.ndim == b.ndim <= _MOST_AXES and sorted(a.shape) == sorted(b.shape):
        orders = permutations(range(b.ndim))
        return [b.permute(order) for order in orders if tuple(b.shape[i] for i in order) == tuple(a.shape)]
    if a.numel() == b.numel() and (_joins(a.shape, b.shape) or _joins(b.shape, a.shape)):
        return [b.reshape(a.shape)]
    return []


def _joins(few: Sequence[int], many: Sequence[int]) -> bool:
    """Whether neighbouring axes of ``many`` multiply to ``few``."""
    rest = list(many)
    for size in few:
        product = 1
        while rest and product < size:
            product *= rest.pop(0)
        if product != size:
            return False
    return not rest


def _distance(a: Tensor, b: Tensor) -> Difference:
    same = (a == b) | (a.isnan() & b.isnan())
    gap = (a - b).abs().masked_fill(same, 0.0).nan_to_num(nan=torch.inf, posinf=torch.inf)
    max_abs = float(gap.max()) if gap.numel() else 0.0
    if max_abs == 0.0:
        return Difference(0.0, 0.0)
    finite = torch.cat([a[a.isfinite()], b[b.isfinite()]]).abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return Difference(max_abs, max_abs / scale if scale else torch.inf)
