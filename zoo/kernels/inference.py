"""How a network is asked during a walk: in which precision, and through which kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.kernels.graphs import Graphed
from zoo.kernels.twin import twin

Precision = Literal["float32", "bf16", "auto"]
Compile = Literal["off", "step", "graph"]

AUTO_BAR = 5e-4
"""What ``auto`` lets an output differ, relative to the largest value; half of what it promises of a sample."""


class KernelError(ZooError, ValueError):
    """A precision or a way of compiling that does not exist, or not on this machine."""


class Asked:
    """A network ready for a walk: call it as the network itself.

    Attributes:
        dtype: what it computes in, and x is cast to; None for a network that takes anything.
    """

    def __init__(
        self,
        call: Callable[..., Tensor],
        dtype: torch.dtype | None,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._call, self.dtype, self._context = call, dtype, context

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        if self.dtype is not None and x.dtype != self.dtype:
            x, cond = x.to(self.dtype), _in(cond, self.dtype)
        with self._context():
            out = self._call(x, t, **cond)
        # whatever layout is fastest inside, outside there is only one
        return out.contiguous()


class Watched:
    """A fast network that is compared with the exact one now and then, and given up when it is too far off.

    Compared are the calls 0, 1, 3, 7 and so on; their answer is the exact one.

    Args:
        fast: in reduced precision.
        exact: the network that it stands for.
        bar: the largest difference, relative to the largest value.
    """

    def __init__(self, fast: Asked, exact: Asked, bar: float = AUTO_BAR) -> None:
        self._fast, self._exact, self._bar = fast, exact, bar
        self._calls, self._next = 0, 0
        self.dtype = exact.dtype
        self.given_up = False

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        if self.given_up:
            return self._exact(x, t, **cond)
        call, self._calls = self._calls, self._calls + 1
        out = self._fast(x, t, **cond)
        if call < self._next:
            return out.to(x.dtype)
        self._next = 2 * call + 1
        exact = self._exact(x, t, **cond)
        # written so that nan gives up, too
        near = (out.to(exact.dtype) - exact).abs().max() <= self._bar * exact.abs().max()
        self.given_up = not bool(near)
        return exact


def ready(
    network: nn.Module, dtype: torch.dtype | None, device: torch.device, precision: str, compile: str
) -> Asked | Watched:
    """A network as it is asked during a walk.

    Args:
        network: in eval mode; it is not changed.
        dtype: of its parameters; None when it has none.
        device: where it is.
        precision: "float32" asks it as its weights are, with TF32 off; "bf16" rounds weights and activations, but not
            norms' statistics and sums over layers; "auto" tries what is faster, compares as it goes, and takes what
            stays within 1e-3.
        compile: "off"; "step" for kernels made to measure by torch.compile; "graph" for one CUDA graph a shape.

    Raises:
        KernelError: for another word, a graph without CUDA, or bf16 for a network without weights.
    """
    for what, given, known in (("precision", precision, Precision), ("compile", compile, Compile)):
        if given not in get_args(known):
            raise KernelError(f"{what}: expected {', '.join(get_args(known))}, got {given!r}")
    if compile == "graph" and device.type != "cuda":
        raise KernelError(f"compile: a graph needs a CUDA device, the model is on {device}; use off or step")
    if precision == "bf16":
        if dtype is None:
            raise KernelError("precision: a network without weights computes in what it is given; leave bf16 out")
        return _asked(network, torch.bfloat16, device, compile)
    if precision == "float32" or dtype not in (torch.float32, torch.float64):
        return _asked(network, dtype, device, compile, recast=False)
    exact = _asked(network, dtype, device, compile, recast=False)
    return Watched(_asked(network, faster, device, compile), exact) if (faster := _faster(device)) else exact


def as_it_is(network: nn.Module, dtype: torch.dtype | None, device: torch.device) -> nn.Module | Asked:
    """A network that is asked in its own form; without TF32 on CUDA, as any other."""
    return Asked(network, dtype, without_tf32) if device.type == "cuda" else network


def _asked(
    network: nn.Module, dtype: torch.dtype | None, device: torch.device, compile: str, *, recast: bool = True
) -> Asked:
    call: Callable[..., Tensor] = network
    if dtype not in (None, torch.float64) and not isinstance(network, torch.jit.ScriptModule):
        assert dtype is not None
        call = twin(network, dtype, plain=compile == "step", recast=recast)
    if compile == "step":
        call = torch.compile(call, dynamic=False)
    elif compile == "graph":
        call = Graphed(call)
    return Asked(call, dtype, without_tf32 if device.type == "cuda" and dtype == torch.float32 else nullcontext)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Products and convolutions in float32 on CUDA with all of its 23 bits; TF32 keeps 10."""
    cudnn: Any = torch.backends.cudnn
    try:
        owners: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn)
        switch, off = "allow_tf32", cast(bool | str, False)
        before = [getattr(owner, switch) for owner in owners]
    except RuntimeError:
        # PyTorch has two sets of switches, and refuses to read this one when the other was used
        owners = (torch.backends.cuda.matmul, cudnn.conv)
        switch, off = "fp32_precision", "ieee"
        before = [getattr(owner, switch) for owner in owners]
    for owner in owners:
        setattr(owner, switch, off)
    try:
        yield
    finally:
        for owner, value in zip(owners, before, strict=True):
            setattr(owner, switch, value)


def _faster(device: torch.device) -> torch.dtype | None:
    """A reduced precision that this device computes faster in and that may stay within the bar; None for none."""
    if device.type == "cuda":
        # 10 bits against bfloat16's 7; what overflows becomes inf and is given up
        return torch.float16
    # without these instructions a product in bfloat16 takes five times as long as in float32
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.bfloat16
    return None


def _in(cond: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Prepared tensors in the precision of the network that is asked; networks cast their conditions themselves."""
    if (prepared := cond.get("prepared")) is None:
        return cond
    cast = {name: one.to(dtype) if one.is_floating_point() else one for name, one in prepared.items()}
    return {**cond, "prepared": cast}
