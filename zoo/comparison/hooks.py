"""Watching a network run: what went into every module, what came out, in which order."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Call:
    """One call of one module.

    Attributes:
        name: of the module, dotted; empty for the network itself.
        inputs: copies of the tensors that went in, positional ones first.
        outputs: copies of those that came out, as they were then: a caller may change them in place.
        entered: when it began, in ticks of one clock for the whole run.
        left: when it ended.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    entered: int
    left: int

    def holds(self, other: Call) -> bool:
        """Whether the other call happened inside this one."""
        return self.entered < other.entered and other.left < self.left


def record(modules: Mapping[str, nn.Module], run: Callable[[], object]) -> list[Call]:
    """Run, without gradients and in eval mode, and return the calls in the order in which they ended.

    Args:
        modules: those to watch, by name.
        run: calls some of them. Random numbers are those of seed 0; the generators of the caller stay as they are.
    """
    recorder = _Recorder()
    with ExitStack() as undo, torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        undo.enter_context(evaluating(modules.values()))
        for name, module in modules.items():
            before = module.register_forward_pre_hook(recorder.enter(name), with_kwargs=True)
            after = module.register_forward_hook(recorder.leave(name))
            undo.callback(before.remove)
            undo.callback(after.remove)
        run()
    return recorder.calls


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Eval mode for each of these modules, and its own mode back afterwards."""
    modes = [(module, module.training) for module in modules]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class _Recorder:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._clock = 0
        self._open: list[tuple[int, tuple[Tensor, ...]]] = []
        self._copies: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}

    def enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._open.append((self._tick(), self._copied((args, kwargs))))

        return hook

    def leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            entered, inputs = self._open.pop()
            self.calls.append(Call(name, inputs, self._copied(output), entered, self._tick()))

        return hook

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _copied(self, tree: Any) -> tuple[Tensor, ...]:
        return tuple(self._copy(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))

    def _copy(self, tensor: Tensor) -> Tensor:
        """A copy on the CPU; one for all calls that see the same tensor unchanged."""
        known = self._copies.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == tensor._version:
            return known[2]
        copy = tensor.detach().to("cpu", copy=True)
        self._copies[id(tensor)] = (weakref.ref(tensor), tensor._version, copy)
        return copy
