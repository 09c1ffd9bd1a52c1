"""How a network wants to be called, by its signature and by trying: (B, M, T) or (B, 1, M, T), by name or by place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from zoo.comparison.errors import ComparisonError
from zoo.comparison.hooks import evaluating

ALIASES = {
    "x": ("x", "spec", "sample", "noise", "input", "inputs", "x_t", "xt", "img", "mel"),
    "t": ("t", "diffusion_step", "timesteps", "timestep", "time", "step", "noise_labels", "noise_level"),
    "cond": ("cond", "condition", "conditioner", "encoder_hidden_states", "context"),
    "labels": ("labels", "y", "class_labels", "label", "classes"),
}
"""What the inputs of a denoiser are called elsewhere."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Way:
    """One way to call a network with the same inputs.

    Attributes:
        text: how, for the report.
        taken: the inputs that the network is given; it may have no place for some.
        call: does it.
    """

    text: str
    taken: frozenset[str]
    call: Callable[[], object]


def find_way(network: nn.Module, inputs: Mapping[str, Any]) -> Way:
    """The first way of calling it that gives an output as large as x (or twice, for a learned variance).

    Args:
        network: any module.
        inputs: ``x``: (B, M, T), (B, 1, M, T) or an image, ``t``: (B,), and conditions.

    Raises:
        ComparisonError: none works; the message has what the network said to each.
    """
    complaints: list[str] = []
    with torch.no_grad(), torch.random.fork_rng(), evaluating(network.modules()):
        for way in _ways(network, inputs):
            try:
                out = next((leaf for leaf in tree_leaves(way.call()) if isinstance(leaf, Tensor)), None)
            except Exception as error:  # the network is somebody else's, and may raise anything
                complaints.append(f"{way.text}: {' '.join(str(error).split())[:160] or type(error).__name__}")
                continue
            if out is not None and out.numel() in (inputs["x"].numel(), 2 * inputs["x"].numel()):
                return way
            given = "no tensor" if out is None else f"an output of shape {tuple(out.shape)}"
            complaints.append(f"{way.text}: gave {given}")
    tried = "\n    ".join(dict.fromkeys(complaints))
    raise ComparisonError(
        f"{type(network).__name__} cannot be called with these inputs; pass inputs={{'x': ..., 't': ..., ...}} of the "
        f"shapes it takes. Tried:\n    {tried}"
    )


def canonical(inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """The inputs by our names: what elsewhere is called ``spec`` or ``diffusion_step`` is ``x`` or ``t`` here.

    Args:
        inputs: by any name, or x, t and cond in this order.
    """
    if not isinstance(inputs, Mapping):
        return dict(zip(("x", "t", "cond"), inputs, strict=False))
    ours = {other: name for name, others in ALIASES.items() for other in others}
    return {ours.get(name, name): value for name, value in inputs.items()}


def _ways(network: nn.Module, inputs: Mapping[str, Any]) -> Iterator[Way]:
    places = _places(network, inputs)
    for values in product(*(_layouts(name, inputs[name]) for name, _ in places)):
        by_place = [value for (_, word), value in zip(places, values, strict=True) if word is None]
        by_name = {word: value for (_, word), value in zip(places, values, strict=True) if word is not None}
        shown = ", ".join(f"{word or name} {_shown(one)}" for (name, word), one in zip(places, values, strict=True))
        taken = frozenset(name for name, _ in places)
        yield Way(f"{type(network).__name__}({shown})", taken, partial(network, *by_place, **by_name))


def _places(network: nn.Module, inputs: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Each input that the network takes, and the word it takes it by; None for its place alone."""
    parameters = inspect.signature(network.forward).parameters.values()
    words = [one.name for one in parameters if one.kind in _NAMED]
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return [(name, None) for name in inputs]
    found: dict[str, str] = {}
    for word in words:
        meant = (name for name in inputs if name not in found and word in (name, *ALIASES.get(name, ())))
        if (name := next(meant, None)) is not None:
            found[name] = word
    free = [word for word in words if word not in found.values()]
    for name in inputs:
        if name in found:
            continue
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters) and name not in ("x", "t"):
            found[name] = name
        elif free and name in ALIASES:
            # called as nobody calls it: what is left, in our order
            found[name] = free.pop(0)
    return [(name, found[name]) for name in inputs if name in found]


def _layouts(name: str, value: Any) -> list[Any]:
    """The forms in which networks take an input, that given first."""
    if not isinstance(value, Tensor):
        return [value]
    if name == "x":
        return [value, value[:, None]] if value.ndim == 3 else [value, value[:, 0]] if value.shape[1] == 1 else [value]
    if name == "t":
        whole = not value.is_floating_point()
        return [value, value.float() if whole else value.long(), value.reshape(-1, 1)]
    if name == "cond" and value.ndim == 3:
        return [value, value.transpose(1, 2)]
    return [value]


def _shown(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    dtype = str(value.dtype).removeprefix("torch.")
    return f"({', '.join(map(str, value.shape))}) {dtype}"
