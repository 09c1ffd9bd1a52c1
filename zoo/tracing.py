"""Counting what a network does, part by part, without doing it.

The network runs on the meta device, where tensors have shapes but no numbers: this takes a fraction of a
second and no memory, whatever the size of its weights.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

REST = "rest"


@dataclass(frozen=True)
class Counts:
    """Numbers by part of the network; what belongs to no part is under `REST`.

    Attributes:
        parameters: numbers to train; one that two parts share counts in the first.
        macs: multiply-adds of convolutions, linear layers and attention products.
        saved_bytes: activations that autograd keeps from the part until the backward pass.
        peak_bytes: the largest sum of activations alive at any moment inside the part, without autograd.
    """

    parameters: Counter[str]
    macs: Counter[str]
    saved_bytes: Counter[str]
    peak_bytes: Counter[str]


def trace(denoiser: nn.Module, shape: tuple[int, ...], owner: Mapping[str, str], cond: Mapping[str, Tensor]) -> Counts:
    """Run ``denoiser(x, t, **cond)`` twice, for inference and for training, and count.

    All floating numbers count as float32, dropout is off. Attention counts by its plain formula, with the
    matrix of scores; a fused kernel holds less. What happens between two parts counts in the earlier one. A
    denoiser without parameters is run for real: nothing of it is large, and it may look at numbers.

    Args:
        denoiser: the network; its weights are neither read nor changed.
        shape: (C, ...) of the one sample.
        owner: the part that each submodule, by dotted name, belongs to; no module inside another.
        cond: keyword arguments of the forward, of batch 1.
    """
    weights = dict(denoiser.named_parameters())
    device = torch.device("meta" if weights else "cpu")
    state = {key: _stand_in(tensor, device) for key, tensor in denoiser.named_buffers()}
    state |= {key: _stand_in(tensor, device, trained=True) for key, tensor in weights.items()}
    args = (torch.zeros(1, *shape, device=device), torch.zeros(1, device=device))
    kwargs = {key: tensor.to(device) for key, tensor in cond.items()}
    given = [*state.values(), *args, *kwargs.values()]

    live, saved = _Live(owner, given), _Saved(owner, given)
    with _evaluating(denoiser):
        with torch.no_grad(), FlopCounterMode(display=False) as flops, live.tracker, live:
            functional_call(denoiser, state, args, kwargs)
        with torch.enable_grad(), saved.tracker, saved_tensors_hooks(saved.pack, lambda tensor: tensor):
            # held to the end: activations that were freed would lend their storages to later ones
            out = functional_call(denoiser, state, args, kwargs)
    del out

    by_module, root = flops.get_flop_counts(), type(denoiser).__name__
    macs = Counter({REST: flops.get_total_flops() // 2})
    for module, part in owner.items():
        amount = sum(by_module.get(f"{root}.{module}", {}).values()) // 2
        macs[part] += amount
        macs[REST] -= amount
    parameters: Counter[str] = Counter()
    for key, tensor in weights.items():
        parameters[_owner_of(key, owner)] += tensor.numel()
    return Counts(parameters, macs, saved.bytes, live.peak)


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of tensors that are made inside the ``with`` and alive after each operation.

    Attributes:
        now: of those alive.
        most: the largest sum there was.

    Args:
        given: tensors that do not count.
    """

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._seen = set(map(_storage_key, given))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and (key := _storage_key(leaf)) not in self._seen:
                storage = leaf.untyped_storage()
                self._seen.add(key)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, key, storage.nbytes())
        self.most = max(self.most, self.now)
        return result

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class _Parts:
    """Knows which part of the network is running, or ran last.

    Args:
        owner: part of each module that has one.
    """

    def __init__(self, owner: Mapping[str, str]) -> None:
        self.tracker = ModuleTracker()
        self.owner, self.last = owner, REST

    def running(self) -> str:
        modules = (name.partition(".")[2] for name in self.tracker.parents)
        self.last = next((self.owner[module] for module in modules if module in self.owner), self.last)
        return self.last


class _Live(Alive):  # type: ignore[no-untyped-call]
    """The same; the peak per part is kept."""

    def __init__(self, owner: Mapping[str, str], given: Iterable[Tensor]) -> None:
        super().__init__(given)
        self._parts = _Parts(owner)
        self.tracker = self._parts.tracker
        self.peak: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        part = self._parts.running()
        self.peak[part] = max(self.peak[part], self.now)
        return result


class _Saved(_Parts):
    """Adds up what autograd keeps for the backward pass, each storage once, per part.

    Args:
        owner: part of each module that has one.
        given: the weights and inputs, which are no activations.
    """

    def __init__(self, owner: Mapping[str, str], given: Iterable[Tensor]) -> None:
        super().__init__(owner)
        self.seen = set(map(_storage_key, given))
        self.bytes: Counter[str] = Counter()

    def pack(self, tensor: Tensor) -> Tensor:
        key, part = _storage_key(tensor), self.running()
        if key not in self.seen:
            self.seen.add(key)
            self.bytes[part] += tensor.untyped_storage().nbytes()
        return tensor


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every submodule's own mode back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _stand_in(tensor: Tensor, device: torch.device, *, trained: bool = False) -> Tensor:
    """On the meta device a float32 shell of the same shape; elsewhere the tensor itself."""
    if device.type != "meta":
        return tensor.to(device)
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    shell = torch.empty_like(tensor, dtype=dtype, device=device)
    return shell.requires_grad_(trained and tensor.is_floating_point())


def _storage_key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _owner_of(parameter: str, owner: Mapping[str, str]) -> str:
    return next((part for module, part in owner.items() if parameter.startswith(f"{module}.")), REST)
