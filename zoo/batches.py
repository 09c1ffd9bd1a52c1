"""Batches larger than memory: a walk in parts, with the results of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.core.bound import Guidance
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ShapeError, ZooError
from zoo.core.grid import Grid
from zoo.core.memory import available
from zoo.core.noise import ByRow
from zoo.core.sampler import Denoise, Moment, Noise, Sampler, walk
from zoo.footprint import per_sample

_GROWTH = 10_000
"""No network holds so many times its input: where that would fit, nothing is estimated."""

SURE = 2**30
"""Bytes that there always are: where that many times the input fits into them, nobody looks how much there is."""


class BatchError(ZooError, ValueError):
    """Samples that can only be walked all together."""


class Bind(Protocol):
    """The model under conditions and guidance; asked for once for each part of a batch."""

    def __call__(self, conditions: Mapping[str, Any], /, *, ahead: bool) -> Denoise:
        """``ahead``: whether what the conditions and the times decide is worked out once and kept."""
        ...


@dataclass(frozen=True)
class Walk:
    """A walk that has not begun.

    Args:
        rule: makes the steps.
        model: what is walked.
        bind: the model under conditions and guidance.
        guidance: what ``bind`` puts the model under.
        precision: in which it has the network asked.
        conditions: tensors are (B, ...).
        x: (B, ...) the start.
        grid: the points.
        noise: of all samples.
    """

    rule: Sampler[Any]
    model: Diffusion
    bind: Bind
    guidance: Sequence[Guidance]
    precision: str
    conditions: Mapping[str, Any]
    x: Tensor
    grid: Grid
    noise: Noise

    def rows(self, start: int, stop: int) -> Walk:
        """The samples ``start`` to ``stop``."""
        if (start, stop) == (0, len(self.x)):
            return self
        return replace(
            self,
            rule=self.rule.rows(start, stop),
            conditions=_rows(self.conditions, start, stop),
            x=self.x[start:stop],
            noise=self.noise.rows(start, stop) if isinstance(self.noise, ByRow) else self.noise,
        )

    def parts(self, size: int) -> list[Walk]:
        """All samples, no more than ``size`` in each part."""
        n = len(self.x)
        return [self.rows(start, min(start + size, n)) for start in range(0, max(1, n), size)]

    def moments(self, *, ahead: bool = True) -> Iterator[Moment]:
        """All samples together; see :class:`Bind`."""
        return walk(self.rule, self.bind(self.conditions, ahead=ahead), self.x, self.grid, self.noise)


def together(whole: Walk, batch: int | None) -> Iterator[Moment]:
    """Moments of all samples, no more than ``batch`` of which are asked of the network at once.

    The parts go side by side, and what their conditions decide is not kept, so that memory is bounded by the batch
    but for states. A GPU without enough memory has the walk begin anew with half the batch; what was yielded is not
    yielded again.

    Raises:
        ShapeError: a batch of less than one.
        BatchError: a batch of samples that cannot be split.
    """
    size, yielded = _size(whole, batch), -1
    while True:
        back = _mark(whole)
        try:
            for moment in _lockstep(whole, size):
                if moment.index > yielded:
                    yielded = moment.index
                    yield moment
            return
        except torch.OutOfMemoryError:
            if back is None or size < 2:
                raise
        size = _halved(whole, size, back)


def one_after_another(whole: Walk, batch: int | None) -> Tensor:
    """Where all samples end, (B, ...), walked no more than ``batch`` at a time, so that no more memory is needed.

    Raises:
        ShapeError: a batch of less than one.
        BatchError: a batch of samples that cannot be split.
    """
    ends, parts = list[Tensor](), whole.parts(_size(whole, batch))
    while parts:
        back = _mark(parts[0])
        try:
            for moment in parts[0].moments():
                last = moment
            ends.append(last.x_t)
            del parts[0]
            continue
        except torch.OutOfMemoryError:
            if back is None:
                raise
        size = _halved(parts[0], len(parts[0].x), back)
        parts = [smaller for part in parts for smaller in part.parts(size)]
    return ends[0] if len(ends) == 1 else torch.cat(ends)


def _lockstep(whole: Walk, size: int) -> Iterator[Moment]:
    parts = whole.parts(size)
    if len(parts) == 1:
        yield from whole.moments()
        return
    # nothing is worked out ahead: each part would hold its own all the time
    walks = [part.moments(ahead=False) for part in parts]
    for moments in zip(*walks, strict=True):
        first = moments[0]
        # walked one by one, samples differ in how often they ask
        nfe = sum(moment.nfe for moment in moments) if whole.rule.one_by_one else first.nfe
        yield Moment(torch.cat([moment.x_t for moment in moments]), first.at, first.index, first.total, nfe)


def _size(whole: Walk, batch: int | None) -> int:
    """How many samples are walked together."""
    n = len(whole.x)
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise ShapeError(f"batch: expected a whole number of samples from 1, or None, got {batch}")
    if whole.rule.one_by_one:
        return 1
    if not _splits(whole):
        if batch is not None and batch < n:
            raise BatchError(f"batch: {n} samples cannot be walked {batch} at a time {_reason(whole)}")
        return max(1, n)
    return max(1, _fitting(whole) if batch is None else min(batch, n))


def allowed(device: torch.device) -> float:
    """The bytes that a batch may take there by the estimate, which sees no scratch space of kernels.

    A GPU's allocator finds use for what was freed: 70 % of what is available. The C library's, on the CPU, holds up to
    half as much again as is alive, measured on networks for images: half of what is available.
    """
    return (0.7 if device.type == "cuda" else 0.5) * available(device)


def _splits(whole: Walk) -> bool:
    """Whether a part of the samples is walked as it is with the others."""
    return isinstance(whole.noise, ByRow) and not whole.rule.all_at_once


def _reason(whole: Walk) -> str:
    if whole.rule.all_at_once:
        return f"by {type(whole.rule).__name__}, whose steps depend on the whole batch; leave batch out"
    return (
        "with a noise function of your own, which may give a part of them other noise; leave batch out, or give noise "
        "as a tensor (draws, n, ...)"
    )


def _fitting(whole: Walk) -> int:
    """As many as memory holds by the estimate, in parts of about one size."""
    n = len(whole.x)
    if n < 2 or _GROWTH * whole.x.nbytes < SURE:
        return n
    # less the results of all parts, which are joined in the end
    room = allowed(whole.x.device) - 2 * whole.x.nbytes
    if _GROWTH * whole.x.nbytes < room:
        return n
    one = _rows(whole.conditions, 0, 1)
    copies = max((guidance.copies for guidance in whole.guidance), default=1)
    fixed, each = per_sample(
        whole.model, whole.rule, whole.grid, whole.x[:1], one, copies=copies, precision=whole.precision
    )
    each += sum(_held(guidance, whole.x[:1]) for guidance in whole.guidance)
    fitting = max(1, min(n, int((room - fixed) // max(1, each))))
    return -(-n // -(-n // fitting))


def _held(guidance: Guidance, x: Tensor) -> int:
    try:
        return guidance.holds(x)
    except Exception:  # a network of the user's may fail in any way where there are no numbers
        return 0


def _mark(walk: Walk) -> Callable[[], None] | None:
    """The way back to this place of the noise; None where a batch cannot be halved."""
    if len(walk.x) < 2 or not _splits(walk) or not isinstance(walk.noise, ByRow):
        return None
    return walk.noise.mark() if walk.rule.stochastic else lambda: None


def _halved(whole: Walk, size: int, back: Callable[[], None]) -> int:
    back()
    if whole.x.is_cuda:
        # blocks of the old size are of no use to the new one
        torch.cuda.empty_cache()
    return size // 2


def _rows(conditions: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: value[start:stop] if isinstance(value, Tensor) else value for name, value in conditions.items()}
