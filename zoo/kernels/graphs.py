"""CUDA graphs: all kernels of a network launched as one, for nets whose launches cost more than their work."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass
class _Capture:
    """One graph, for inputs of one structure.

    Args:
        graph: replays the network on ``inputs`` and leaves the result in ``out``.
        inputs: where a call's tensors are copied to.
        out: where the result is.
        last: the tensors that were copied last, with their versions: what is the same need not be copied again.
    """

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    out: Tensor
    last: list[tuple[Tensor, int] | None]


class Graphed:
    """A network on a CUDA device, captured once for each structure of its inputs and replayed from then on.

    Args:
        network: does the same kernels whenever shapes and settings are the same.
    """

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self._network = network
        self._captures: dict[Hashable, _Capture] = {}

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        # streams and graphs belong to the current device, which need not be the model's
        with torch.cuda.device(x.device):
            return self._replayed(x, t, cond)

    def _replayed(self, x: Tensor, t: Tensor, cond: dict[str, Any]) -> Tensor:
        leaves, structure = pytree.tree_flatten(((x, t), cond))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        rest = tuple(repr(leaf) for leaf in leaves if not isinstance(leaf, Tensor))
        shapes = tuple((one.shape, one.stride(), one.dtype) for one in tensors)
        key = (str(structure), rest, shapes)
        if key not in self._captures:
            self._captures[key] = self._capture(leaves, structure)
        capture = self._captures[key]
        for i, (static, given) in enumerate(zip(capture.inputs, tensors, strict=True)):
            last = capture.last[i]
            if last is None or last[0] is not given or last[1] != given._version:
                static.copy_(given)
                # tensors of inference mode count no versions
                capture.last[i] = None if given.is_inference() else (given, given._version)
        capture.graph.replay()
        # the next replay writes over it
        return capture.out.clone()

    def _capture(self, leaves: list[Any], structure: Any) -> _Capture:
        static = [_like(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        (x, t), cond = pytree.tree_unflatten(static, structure)
        inputs = [leaf for leaf in static if isinstance(leaf, Tensor)]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # libraries choose their algorithms and workspaces before the capture
            for _ in range(3):
                self._network(x, t, **cond)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = self._network(x, t, **cond)
        return _Capture(graph, inputs, out, [None] * len(inputs))


def _like(tensor: Tensor) -> Tensor:
    """A copy with the same layout, also of a tensor that was expanded."""
    return tensor.clone(memory_format=torch.preserve_format)
