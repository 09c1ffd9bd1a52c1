"""Tensors into a model that waits for them, on the meta device or off it, without a second copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from registry import conditioners, denoisers
from zoo.core.classifier import Classifier
from zoo.core.diffusion import Diffusion
from zoo.header import CheckpointError

_SHOWN = 5


def place(
    diffusion: Diffusion | Classifier, tensors: Mapping[str, Tensor], source: str, *, dtype: torch.dtype | None = None
) -> None:
    """Make these tensors the parameters, buffers and tables of a model; all of them, or none.

    Args:
        diffusion: the model.
        tensors: ``denoiser.*``, ``conditioner.*``, ``schedule.*``, ``parameterization.*``, ``scaling.*``. Of parameters
            that the model ties together one is enough.
        source: what messages call the place they come from.
        dtype: of the floating-point parameters; None for those the model was built with.

    Raises:
        CheckpointError: tensors are missing, unexpected, or of another shape or kind.
    """
    wanted: dict[str, Tensor] = {**diffusion.state_dict(keep_vars=True), **diffusion.part_tensors()}
    tied: dict[int, list[str]] = {}
    for name, tensor in wanted.items():
        tied.setdefault(id(tensor), []).append(name)
    _check(wanted, tied, tensors, source)
    made_by_constructor = _constants(diffusion, wanted)
    found = {names[0]: next(tensors[name] for name in names if name in tensors) for names in tied.values()}
    for room in ("schedule", "parameterization", "scaling"):
        table = {name.removeprefix(f"{room}."): found.pop(name) for name in list(found) if name.startswith(f"{room}.")}
        if table:
            part: Any = getattr(diffusion, room)
            part.load_tensors(table)
    for name, new in found.items():
        old = wanted[name]
        weight = isinstance(old, nn.Parameter)
        to = dtype if weight and dtype is not None and old.is_floating_point() else old.dtype
        new = new.detach().to(device=None if old.is_meta else old.device, dtype=to).contiguous()
        if weight:
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        for alias in tied[id(old)]:
            _set(diffusion, alias, new)
    for name, tensor in made_by_constructor.items():
        _set(diffusion, name, tensor)


def _check(
    wanted: Mapping[str, Tensor],
    tied: Mapping[int, Sequence[str]],
    tensors: Mapping[str, Tensor],
    source: str,
) -> None:
    lines = []
    missing = [names[0] for names in tied.values() if not any(name in tensors for name in names)]
    unexpected = [name for name in tensors if name not in wanted]
    lines += [f"missing: {_listed(missing)}"] if missing else []
    lines += [f"unexpected: {_listed(unexpected)}"] if unexpected else []
    misfits = []
    for name, tensor in tensors.items():
        if name not in wanted:
            continue
        if tensor.shape != wanted[name].shape:
            misfits.append(f"{name}: expected shape {tuple(wanted[name].shape)}, found {tuple(tensor.shape)}")
        elif tensor.is_floating_point() != wanted[name].is_floating_point():
            misfits.append(f"{name}: expected {wanted[name].dtype}, found {tensor.dtype}")
    lines += misfits[:_SHOWN]
    if len(misfits) > _SHOWN:
        lines.append(f"and {len(misfits) - _SHOWN} more tensors of another shape")
    if lines:
        raise CheckpointError(f"{source}: does not fit the model\n    " + "\n    ".join(lines))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _constants(diffusion: Diffusion | Classifier, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Buffers that no file holds because the constructor makes them, for a model that was built on the meta device.

    Only building the network once more gives them; its parameters are let go before any weight is placed.
    """
    if isinstance(diffusion, Classifier):
        return {}
    lost = [name for name, buffer in diffusion.named_buffers() if buffer.is_meta and name not in wanted]
    found: dict[str, Tensor] = {}
    for room, registry in (("denoiser", denoisers), ("conditioner", conditioners)):
        names = [name for name in lost if name.startswith(f"{room}.")]
        if not names:
            continue
        spec = diffusion.config[room]
        if "pretrained" in spec:  # nothing is fetched for weights that are at hand
            spec = {**spec, "pretrained": False}
        with torch.random.fork_rng():
            built = registry.build(
                spec,
                path=room,
                schedule=diffusion.schedule,
                parameterization=diffusion.parameterization,
                shape=diffusion.shape,
            )
        buffers = {f"{room}.{name}": buffer for name, buffer in built.named_buffers()}
        found |= {name: buffers[name] for name in names}
    return found


def _set(diffusion: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(diffusion.get_submodule(owner), attribute, tensor)
