"""What sampling holds in memory at its peak, counted without sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from registry import samplers, spacings
from zoo.core.bound import ConditionError
from zoo.core.diffusion import Callback, Diffusion
from zoo.core.errors import ShapeError
from zoo.core.grid import Grid, make_grid
from zoo.core.sampler import Sampler, visited
from zoo.layers.frames import FrameShape
from zoo.peaks import Counts, count, states_of

Precision = Literal["float32", "bf16"]

_ENLARGED = 4
"""How many times larger an upsampler's samples are taken to be than what it enlarges."""


PARTS = {
    "weights": "weights",
    "kernels": "weights as the kernels take them",
    "conditions": "conditions",
    "prepared": "worked out ahead of the walk",
    "state": "state of the sampler",
    "activations": "activations of the network",
}
"""The parts of a footprint, as a reader is told them."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that sampling holds at its peak, by what they are.

    Attributes:
        batch: samples that are walked together.
        rows: that the network is asked about at once: twice as many under classifier-free guidance.
        precision: of the network's arithmetic.
        device: "cpu" or "cuda".
        weights: parameters and buffers.
        kernels: forms of the weights that the walk's kernels take beside them.
        conditions: as they are, and what guidance makes of them.
        prepared: what is worked out once of conditions and times.
        state: of the sampler: the start, x_t, its history, noise, and the sums on the way.
        activations: of the network, at the peak.
    """

    batch: int
    rows: int
    precision: Precision
    device: str
    weights: int
    kernels: int
    conditions: int
    prepared: int
    state: int
    activations: int

    @property
    def total(self) -> int:
        """The sum; every part counts at its own peak."""
        return sum(getattr(self, part) for part in PARTS)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {**asdict(self), "total": self.total}


def footprint(
    model: Diffusion,
    batch: int,
    *,
    shape: tuple[int, ...],
    guided: bool = False,
    precision: Precision = "float32",
    device: str = "cpu",
    cond: Mapping[str, Tensor] | None = None,
) -> Footprint:
    """What ``zoo.sample`` holds for a model with its own sampler, steps and spacing.

    Args:
        model: its weights may be on the meta device.
        batch: samples that are walked together.
        shape: of one sample.
        guided: whether classifier-free guidance asks with and without the conditions at once.
        precision: of the network's arithmetic.
        device: "cpu" or "cuda", which decides about the kernels.
        cond: one row of each condition, of which only the shapes matter; None for those that the network was built
            for.

    Raises:
        ShapeError: a batch below 1, or a guidance without conditions.
    """
    if batch < 1:
        raise ShapeError(f"batch: expected a whole number of samples from 1, got {batch}")
    one = usual_conditions(model, shape) if cond is None else cond
    if guided and not one:
        raise ShapeError("guided: this network takes no conditions that it could be guided by")
    copies = 2 if guided else 1
    rule, grid = model.sampler or samplers.build("ddim"), _grid(model)
    x = torch.empty(1, *shape, dtype=torch.float64 if model.dtype == torch.float64 else torch.float32, device="meta")
    counts = count(
        model.denoiser,
        x,
        one,
        batch * copies,
        labels=_labels(model, rule, grid),
        dtype=torch.bfloat16 if precision == "bf16" else model.dtype or x.dtype,
        kernels=_kernels(model, device) if precision == "float32" else device,
    )
    return Footprint(
        batch=batch,
        rows=batch * copies,
        precision=precision,
        device=device,
        weights=sum(tensor.nbytes for tensor in chain(model.parameters(), model.buffers())),
        kernels=counts.kernels,
        conditions=batch * _held(copies) * sum(value.nbytes for value in one.values()),
        prepared=counts.prepared,
        state=round(batch * _states(model, rule, grid, copies) * x.nbytes),
        activations=counts.activations,
    )


def footprints(
    model: Diffusion, batch: int, *, shape: tuple[int, ...], guided: bool | None = None, device: str, **cond: Tensor
) -> tuple[Footprint, ...]:
    """The footprint in each precision that the network may compute in.

    Args:
        model: its weights may be on the meta device.
        batch: samples that are walked together.
        shape: of one sample.
        guided: whether classifier-free guidance doubles the batch; None for what the model's own does.
        device: "cpu" or "cuda".
        **cond: one row of each condition; none for those that the network was built for.

    Raises:
        ShapeError: a batch below 1, or a guidance without conditions.
    """
    if guided is None:
        guided = any(guidance.copies > 1 for guidance in model.sampling.guidance)
    # a network without weights computes in the precision of the state
    each: tuple[Precision, ...] = get_args(Precision) if model.dtype == torch.float32 else ("float32",)
    return tuple(
        footprint(model, batch, shape=shape, guided=guided, precision=one, device=device, cond=cond or None)
        for one in each
    )


def per_sample(
    model: Diffusion,
    rule: Sampler[Any],
    grid: Grid,
    x: Tensor,
    cond: Mapping[str, Any],
    *,
    copies: int = 1,
    precision: str = "float32",
) -> tuple[int, int]:
    """What a walk takes beside the weights: bytes whatever the batch, and bytes of each sample.

    What cannot be counted, such as a network that is a function of the user's, is left out. The rest is counted once
    for each network and shape.

    Args:
        model: what is walked.
        rule: makes the steps.
        grid: its points.
        x: (1, ...) one sample's state.
        cond: its conditions, one row.
        copies: rows that the guidance asks of the network at once for each sample.
        precision: of the network's arithmetic, as ``zoo.sample`` takes it.
    """
    own, labels, full = _own(model, cond), _labels(model, rule, grid), model.dtype or x.dtype
    # auto asks in both
    dtypes = {"float32": [full], "bf16": [torch.bfloat16]}.get(precision, [full, torch.bfloat16])
    each = [_network(model, x, own, copies, labels, full if model.dtype is None else dtype) for dtype in dtypes]
    kernels, prepared, activations = (max(counts) for counts in zip(*each, strict=True))
    conditions = _held(copies) * sum(value.nbytes for value in own.values())
    state = round(_states(model, rule, grid, copies) * x.nbytes)
    return kernels, prepared + activations + conditions + state


def _network(
    model: Diffusion, x: Tensor, cond: Mapping[str, Tensor], copies: int, labels: Sequence[float], dtype: torch.dtype
) -> Counts:
    """The counts of a network for one sample, kept for as long as it lives; nothing where it cannot be counted."""
    if isinstance(model.denoiser, Callback):
        # may do anything, such as count its calls
        return Counts(0, 0, 0)
    kernels = _kernels(model, x.device.type) if dtype == model.dtype else x.device.type
    shapes = tuple((name, value.shape) for name, value in cond.items())
    key = (x.shape, x.dtype, shapes, copies, len(labels), model.dtype, dtype, kernels)
    kept = _known.setdefault(model.denoiser, {})
    if key not in kept:
        try:
            kept[key] = count(model.denoiser, x, cond, copies, labels=labels, dtype=dtype, kernels=kernels)
        except Exception:  # a network that looks at its numbers may fail in any way where there are none
            kept[key] = Counts(0, 0, 0)
    return kept[key]


def usual_conditions(model: Diffusion, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """A row of the conditions that a network was built for, by what the networks of the zoo say of themselves."""
    denoiser, cond = model.denoiser, dict[str, Tensor]()
    frames, low_res = getattr(denoiser, "frames", None), getattr(denoiser, "low_res_channels", None)
    if getattr(denoiser, "classes", None):
        cond["labels"] = torch.zeros(1, dtype=torch.int64, device="meta")
    if isinstance(frames, FrameShape):
        cond["cond"] = torch.zeros(1, frames.cond_channels, shape[-1], device="meta")
    if low_res:
        sides = [max(1, side // _ENLARGED) for side in shape[1:]]
        cond["low_res"] = torch.zeros(1, low_res, *sides, device="meta")
    return cond


def _own(model: Diffusion, cond: Mapping[str, Any]) -> dict[str, Tensor]:
    """The conditions as the network takes them; none where some are for a guidance alone, whose network knows none."""
    try:
        own = model.conditions(**cond)
    except ConditionError:
        own = {}
    return {name: value for name, value in own.items() if isinstance(value, Tensor)}


def _held(copies: int) -> int:
    """How often a condition lies in memory: as it is, and under guidance its null and both together."""
    return 1 if copies == 1 else 2 + copies


def _kernels(model: Diffusion, device: str) -> str | None:
    """Whose kernels a walk in full precision takes; None for a network that the zoo did not build."""
    return device if model.config else None


def _grid(model: Diffusion) -> Grid:
    spacing = model.sampling.spacing or spacings.build("trailing")
    return make_grid(model.schedule, spacing(model.schedule, model.sampling.steps))


def _labels(model: Diffusion, rule: Sampler[Any], grid: Grid) -> list[float]:
    """The times as the network will be told them."""
    points = visited(rule, model.parameterization, grid)
    return [float(model.parameterization.c_noise(point.t, point)) for point in points]


def _states(model: Diffusion, rule: Sampler[Any], grid: Grid, copies: int) -> float:
    """What a walk holds beside what is the network's, in sizes of x_t: state, history, noise, sums, guidance."""
    states = states_of(rule, model.parameterization, grid, copies)
    # the last estimate of x_0, and what the network is shown of it
    return states + (1 + copies if model.self_conditioned else 0)


_known: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], Counts]] = WeakKeyDictionary()
