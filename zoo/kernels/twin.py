"""A network's twin for inference: the same forward over the same weights, with faster forms of some layers.

Nothing of the network is changed. Layers that stay as they are, and all weights that need no other form or precision,
are shared between the two: the twin is good for one walk, as long as nobody trains the network meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.kernels.convolutions import FrameConv, FrameLinear, PixelLinear
from zoo.kernels.winograd import Scratch, WinogradConv1d, WinogradConv2d, pays

Swap = Callable[[nn.Module], nn.Module | None]

_TABLES = frozenset(nn.Module().__dict__)
"""What every module has: parameters, children, hooks."""


def twin(
    network: nn.Module,
    dtype: torch.dtype,
    *,
    plain: bool = False,
    on_cpu: bool | None = None,
    recast: bool = True,
) -> nn.Module:
    """A network that computes the same, faster, in a precision, where the network is.

    Args:
        network: on any device; in eval mode.
        dtype: float32, bfloat16 or float16.
        plain: leave the layers their form and change the precision only, as for a compiler.
        on_cpu: whether it is asked there; None for where the network is.
        recast: bring all weights to dtype; else those of another one keep theirs.
    """
    if on_cpu is None:
        on_cpu = all(tensor.is_cpu for tensor in (*network.parameters(), *network.buffers()))

    scratch = Scratch()
    known: dict[nn.Module, nn.Module] = {}

    def swap(module: nn.Module) -> nn.Module | None:
        form = None if plain else _form(module, dtype, on_cpu)
        cast = _in_precision(module, dtype) if recast else None
        if form is None or (not recast and module.weight.dtype != dtype):
            return cast
        faster = cast or shallow(module)
        faster.__class__ = form
        if isinstance(faster, WinogradConv1d | WinogradConv2d):
            faster.transform(scratch)
        if isinstance(faster, nn.Conv2d):
            _own(faster, _channels_last)
        return faster

    root = rebuilt(network, swap, known)
    for new in known.values():
        _follow(new, known)
    return root


def _follow(module: nn.Module, known: dict[nn.Module, nn.Module]) -> None:
    """Let lists and the like, in which a twin holds modules once more, hold the new ones."""
    if known.get(module) is module:
        return
    for name, value in module.__dict__.items():
        if name in _TABLES:
            continue
        if type(value) in (list, tuple):
            module.__dict__[name] = type(value)(
                known.get(one, one) if isinstance(one, nn.Module) else one for one in value
            )
        elif type(value) is dict:
            module.__dict__[name] = {
                key: known.get(one, one) if isinstance(one, nn.Module) else one for key, one in value.items()
            }


def rebuilt(module: nn.Module, swap: Swap, known: dict[nn.Module, nn.Module] | None = None) -> nn.Module:
    """A tree of modules with some exchanged; a branch in which nothing changes is the branch itself.

    Args:
        module: the root.
        swap: gives the module that takes another's place, with the children of the old one; None to leave it.
        known: what has been rebuilt already: a module may stand in several places.
    """
    known = {} if known is None else known
    if module in known:
        return known[module]
    own = swap(module)
    children = {name: None if child is None else rebuilt(child, swap, known) for name, child in module._modules.items()}
    if own is None and all(child is module._modules[name] for name, child in children.items()):
        new = module
    else:
        new = own if own is not None else shallow(module)
        # the copy shares the table of children, too
        new._modules = children
    known[module] = new
    return new


def _form(module: nn.Module, dtype: torch.dtype, on_cpu: bool) -> type[nn.Module] | None:
    """The faster form of a layer, if there is one; none for a layer whose weights a hook makes before each call."""
    if module._forward_pre_hooks:
        return None
    if type(module) is nn.Conv1d and _plain(module) and module.stride == (1,):
        if module.kernel_size == (1,) and module.padding == (0,):
            return FrameLinear
        if _keeps_length(module):
            if on_cpu and dtype == torch.float32:
                return WinogradConv1d if module.kernel_size == (3,) else None
            return FrameConv
    if type(module) is nn.Conv2d and _plain(module):
        if module.kernel_size == (1, 1) and module.stride == (1, 1) and module.padding == (0, 0):
            return PixelLinear
        same = module.kernel_size == (3, 3) and module.padding == (1, 1) and module.dilation == (1, 1)
        if on_cpu and dtype == torch.float32 and same and module.stride == (1, 1) and pays(module):
            return WinogradConv2d
        return nn.Conv2d
    return None


def shallow(module: nn.Module) -> nn.Module:
    """A module of its own with everything that the other has.

    Not copy.copy, which refuses parametrizations, and shares tables: what a network keeps in one of its own, such as
    frequencies in some precision, must not come back to the network from its twin.
    """
    new = module.__class__.__new__(module.__class__)
    new.__dict__ = {
        name: value.copy() if type(value) in (dict, list, set) else value for name, value in module.__dict__.items()
    }
    return new


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _plain(conv: nn.Conv1d | nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _keeps_length(conv: nn.Conv1d) -> bool:
    (taps,), (dilation,) = conv.kernel_size, conv.dilation
    return taps % 2 == 1 and conv.padding == (dilation * (taps // 2),)


def _in_precision(module: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """A copy of a module whose own weights are of this precision; None where they are already."""
    own = [*module._parameters.values(), *module._buffers.values()]
    if all(tensor is None or not tensor.is_floating_point() or tensor.dtype == dtype for tensor in own):
        return None
    new = shallow(module)
    _own(new, lambda tensor: tensor)
    # by the module's own rules: some keep numbers that must not be rounded
    new._apply(lambda one: one.to(dtype) if one.is_floating_point() else one, recurse=False)  # type: ignore[no-untyped-call]
    return new


def _own(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Parameters and buffers of its own for a copy; those of the module it was copied from stay as they are."""
    module._parameters = {
        name: None if value is None else nn.Parameter(change(value.detach()), requires_grad=False)
        for name, value in module._parameters.items()
    }
    module._buffers = dict(module._buffers)
