"""Constant work once a run: what a network makes of its conditions and of the times, worked out before it is asked.

A denoiser may offer either method of :class:`Prepares`, or both; what they return comes back to its ``forward`` as
``prepared``. Samplers and guidance never know. What is kept belongs to one walk, since weights may change between two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

KEPT_BYTES = 64 * 2**20
"""How much is kept of what the times alone decide: as many of the coming times as fit are worked out together."""


class Prepares:
    """What a denoiser may offer, as methods with these names; it need not inherit from this class.

    The conditions are those of ``forward``; each method names in its signature the ones that it wants, all optional.
    """

    def prepare_cond(self, **cond: Any) -> Tensors:
        """What the conditions alone decide: tensors (B, ...)."""
        return {}

    def prepare_times(self, times: Tensor, **cond: Any) -> Tensors:
        """What the time decides, with or without conditions: tensors (R, ...) for times (R,), row by row."""
        return {}


def offers(network: object) -> bool:
    """Whether a network prepares anything."""
    return hasattr(network, "prepare_cond") or hasattr(network, "prepare_times")


class Prepared:
    """The conditions of a walk, with all that can be said before x_t is known.

    Args:
        network: offers one of the methods of :class:`Prepares`; a float32 one also for a walk in half precision, since
            what is worked out once can be exact.
        cond: the conditions, (B, ...) each.
        labels: the time labels that will be asked about, in order; others may come.
        like: (B, ...) the state, for the device and the arithmetic of the labels.
        dtype: of the network that is asked; None for that of ``like``.
    """

    def __init__(
        self,
        network: object,
        cond: Mapping[str, Any],
        labels: Sequence[float],
        like: Tensor,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._times = getattr(network, "prepare_times", None)
        self._labels = list(dict.fromkeys(labels))
        self._exact = torch.float64 if like.dtype == torch.float64 else torch.float32
        self._device, self._dtype = like.device, dtype or like.dtype
        self._wanted = _wanted(self._times, cond) if self._times else {}
        of_cond = getattr(network, "prepare_cond", None)
        self._fixed = self._cast(of_cond(**_wanted(of_cond, cond))) if of_cond else {}
        self._known: dict[float, Tensors] = {}
        self._many = 1

    def at(self, label: float) -> Tensors:
        """All that is known ahead at a time: tensors (B, ...), or (1, ...) where all rows share them."""
        if self._times is None:
            return self._fixed
        if label in self._known:
            return self._known[label]
        if label not in self._labels:
            return self._block([label])[label]
        start = self._labels.index(label)
        self._known = {}
        self._known = self._block(self._labels[start : start + self._many])
        return self._known[label]

    def _block(self, labels: Sequence[float]) -> dict[float, Tensors]:
        """Several times in one go."""
        rows = next((len(value) for value in self._wanted.values()), 1)
        times = torch.tensor(labels, dtype=self._exact, device=self._device).repeat_interleave(rows)
        cond = {name: value.repeat(len(labels), *[1] * (value.ndim - 1)) for name, value in self._wanted.items()}
        assert self._times is not None
        made = {
            name: value.reshape(len(labels), rows, *value.shape[1:])
            for name, value in self._cast(self._times(times, **cond)).items()
        }
        size = sum(value.nbytes for value in made.values()) // len(labels)
        self._many = max(1, KEPT_BYTES // max(1, size))
        return {
            label: {**self._fixed, **{name: value[i] for name, value in made.items()}} for i, label in enumerate(labels)
        }

    def _cast(self, tensors: Tensors) -> Tensors:
        return {name: value.to(self._dtype) if value.is_floating_point() else value for name, value in tensors.items()}


def _wanted(method: Callable[..., Tensors], cond: Mapping[str, Any]) -> dict[str, Tensor]:
    """The conditions that a method names."""
    names = inspect.signature(method).parameters
    every = any(one.kind is one.VAR_KEYWORD for one in names.values())
    return {name: value for name, value in cond.items() if (every or name in names) and isinstance(value, Tensor)}
