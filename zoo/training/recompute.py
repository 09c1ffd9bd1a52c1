"""Gradient checkpointing: activations inside blocks are made again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from zoo.training.start import StartError


def recompute(model: nn.Module) -> int:
    """Keep only what goes into each block of a network; dropout is the same the second time.

    Blocks are the innermost repeated parts: members of a module list that have parts of their own and no such list.
    Those with running statistics of the batch are left out, which would be counted twice.
    A copy of the model that is made later would still compute with the weights of this one.

    Args:
        model: its blocks are changed in place.

    Returns:
        The number of blocks.

    Raises:
        StartError: the network has no repeated blocks.
    """
    found = list(_blocks(model))
    if not found:
        raise StartError("training.checkpointing: this network has no list of blocks to recompute; leave it out")
    for block in found:
        block.forward = _again(block.forward)
    return len(found)


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    # timm's transformers keep theirs in a Sequential; elsewhere that is a part of a block
    for kind in (nn.ModuleList, nn.Sequential):
        found = [block for module in model.modules() if isinstance(module, kind) for block in module]
        innermost = [block for block in dict.fromkeys(found) if _fit(list(block.modules()), kind)]
        if innermost:
            yield from innermost
            return


def _fit(inside: list[nn.Module], kind: type[nn.Module]) -> bool:
    """Whether a block has parts, none of them a list of blocks, and none that counts how often it was asked."""
    return len(inside) > 1 and not any(isinstance(module, kind | _BatchNorm) for module in inside)


def _again(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return call
