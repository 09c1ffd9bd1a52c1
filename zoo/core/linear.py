"""Walks as tables: most samplers only ever form weighted sums, whose weights are known before the walk begins.

A sampler's ``step`` is run once on symbols instead of tensors. What it does to them is recorded: where it asks the
network, where it draws noise, and the weighted sums it makes of the state, its memory, the network's outputs and the
noises. Repeating the walk then takes one sum an evaluation, with weights that are Python floats. A rule that does
anything else with its tensors cannot be recorded, and is run as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import torch
from torch import Tensor

from zoo.core.grid import Grid, GridPoint, Step
from zoo.core.parameterization import Parameterization, Prediction

if TYPE_CHECKING:
    from zoo.core.sampler import Noise, Sampler


class NotLinearError(Exception):
    """A rule did something with a symbol that is no weighted sum."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotLinearError


class Lin:
    """A weighted sum of symbols: ``+``, ``-``, and ``*`` and ``/`` by numbers; whatever else raises.

    Args:
        weights: of each symbol; the terms keep their order.
    """

    __slots__ = ("weights",)
    # numpy's numbers shall leave the multiplication to us
    __array_ufunc__ = None

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights

    @property
    def symbol(self) -> str | None:
        """The symbol that this is, when it is one as it stands."""
        if len(self.weights) == 1:
            (name, weight), *_ = self.weights.items()
            return name if weight == 1 else None
        return None

    def __add__(self, other: Any) -> Lin:
        return self._plus(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Lin:
        return self._plus(other, -1.0)

    def __rsub__(self, other: Any) -> Lin:
        return (self * -1.0)._plus(other, 1.0)

    def __neg__(self) -> Lin:
        return self * -1.0

    def __mul__(self, factor: Any) -> Lin:
        if not isinstance(factor, Real):
            raise NotLinearError
        return Lin({name: weight * float(factor) for name, weight in self.weights.items()})

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Lin:
        # a tensor would become infinite, and whoever asked for it may well not use it
        if not isinstance(divisor, Real) or divisor == 0:
            raise NotLinearError
        return Lin({name: weight / float(divisor) for name, weight in self.weights.items()})

    def _plus(self, other: Any, factor: float) -> Lin:
        if isinstance(other, Lin):
            total = dict(self.weights)
            for name, weight in other.weights.items():
                total[name] = total.get(name, 0.0) + factor * weight
            return Lin(total)
        if isinstance(other, Real) and other == 0:
            return self
        raise NotLinearError

    __getattr__ = __getitem__ = __iter__ = __len__ = __bool__ = __float__ = __abs__ = __pow__ = __matmul__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __rtruediv__ = __array__ = _refuse
    __torch_function__: Any = classmethod(_refuse)


@dataclass(frozen=True, slots=True)
class Call:
    """Ask the network about the sum ``x`` at a point; ``out`` is its answer."""

    out: str
    x: Lin
    at: GridPoint


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw noise for an interval."""

    out: str
    now: GridPoint
    next: GridPoint


@dataclass(frozen=True, slots=True)
class Row:
    """One step as instructions.

    Args:
        ops: calls and draws, in order.
        x: the state at ``next``.
        slots: what the rule keeps for the next step, by name.
        next: where the step ends.
    """

    ops: tuple[Call | Draw, ...]
    x: Lin
    slots: Mapping[str, Lin]
    next: GridPoint


class Readable(Protocol):
    """A Denoise whose raw output is all there is to know: `parameterization` reads it, and nothing is done after."""

    parameterization: Parameterization

    def output(self, x_t: Tensor, at: GridPoint, /) -> Tensor:
        """The raw output for x_t: (B, C, ...), with twice the channels under a learned variance."""
        ...


def program(sampler: Sampler[Any], parameterization: Parameterization, grid: Grid) -> tuple[Row, ...] | None:
    """A walk as instructions; None for a rule that is more than weighted sums. Kept for parts that can be hashed."""
    try:
        hash((sampler, parameterization, grid))
    except TypeError:
        return _record(sampler, parameterization, grid)
    return _kept(sampler, parameterization, grid)


def _record(sampler: Sampler[Any], parameterization: Parameterization, grid: Grid) -> tuple[Row, ...] | None:
    rows: list[Row] = []
    state = sampler.init()
    try:
        for index in range(len(grid) - 1):
            ops: list[Call | Draw] = []
            step = Step(grid[index], grid[index + 1], index, len(grid) - 1, grid)
            x, state = sampler.step(
                _asking(parameterization, ops), cast(Tensor, Lin({"x": 1.0})), step, state, _drawing(ops)
            )
            slots: dict[str, Lin] = {}
            state = _slotted(state, slots)
            rows.append(Row(tuple(ops), _sum(x), slots, step.next))
    except NotLinearError:
        return None
    return tuple(rows)


_kept = lru_cache(maxsize=64)(_record)


def recorded(sampler: Sampler[Any], denoise: object, grid: Grid) -> tuple[Row, ...] | None:
    """The program of a walk, when the rule, the parameterization and the guidance all allow one."""
    parameterization = getattr(denoise, "parameterization", None)
    if parameterization is None or not hasattr(denoise, "output"):
        return None
    return program(sampler, parameterization, grid)


def run(rows: tuple[Row, ...], denoise: Readable, x: Tensor, noise: Noise) -> Iterator[tuple[Tensor, GridPoint, int]]:
    """Follow the instructions: after every step the state, where it is, and the calls so far."""
    known: dict[str, Tensor] = {}
    nfe = 0
    half = denoise.parameterization.learned_variance
    # never half: numbers () do not decide about the type of a product, and would be rounded
    scales = _scales(rows, torch.promote_types(x.dtype, torch.float32))
    for row in rows:
        known["x"] = x
        for op in row.ops:
            if isinstance(op, Call):
                out = denoise.output(combine(op.x, known, scales), op.at)
                known[op.out] = out.chunk(2, dim=1)[0] if half else out
                nfe += 1
            else:
                known[op.out] = noise(x, op.now, op.next)
        new = combine(row.x, known, scales)
        known = {name: combine(kept, known, scales) for name, kept in row.slots.items()}
        x = new
        yield x, row.next, nfe


def _scales(rows: tuple[Row, ...], dtype: torch.dtype) -> dict[float, Tensor]:
    """The weights that begin a sum, as tensors: a product with a number takes twice as long."""
    sums = [
        total
        for row in rows
        for total in (row.x, *row.slots.values(), *(op.x for op in row.ops if isinstance(op, Call)))
    ]
    numbers = list({next(iter(total.weights.values())) for total in sums})
    return dict(zip(numbers, torch.tensor(numbers, dtype=dtype).unbind(), strict=True))


def combine(total: Lin, known: Mapping[str, Tensor], scales: Mapping[float, Tensor]) -> Tensor:
    """The weighted sum of tensors; a tensor itself where it stands alone. Nothing that is known is written to.

    Args:
        total: the sum.
        known: the tensors of its symbols.
        scales: the first weight of every sum as a tensor () on the CPU, of the tensors' dtype.
    """
    weights = total.weights
    if len(weights) == 1:
        ((name, weight),) = weights.items()
        return known[name] if weight == 1 else known[name] * scales[weight]
    terms = iter(weights.items())
    name, weight = next(terms)
    result = known[name] * scales[weight]
    for name, weight in terms:
        result.add_(known[name], alpha=weight)
    return result


def _asking(parameterization: Parameterization, ops: list[Call | Draw]) -> Callable[[Any, GridPoint], Prediction]:
    """A denoise that notes the question and answers with a symbol."""
    plain = replace(parameterization, learned_variance=False)

    def denoise(x_t: Any, at: GridPoint, /) -> Prediction:
        out = f"out{len(ops)}"
        ops.append(Call(out, _sum(x_t), at))
        read = plain.predict(cast(Tensor, Lin({out: 1.0})), x_t, at)
        # a rule that reads the second half of the channels does more than sums
        read.var = cast(Tensor, Lin({})) if parameterization.learned_variance else None
        return read

    return denoise


def _drawing(ops: list[Call | Draw]) -> Noise:
    def noise(x_t: Any, now: GridPoint, next: GridPoint) -> Tensor:
        ops.append(Draw(f"noise{len(ops)}", now, next))
        return cast(Tensor, Lin({ops[-1].out: 1.0}))

    return noise


def _sum(value: Any) -> Lin:
    """A sum without the terms that weigh nothing."""
    if not isinstance(value, Lin):
        raise NotLinearError
    terms = {name: weight for name, weight in value.weights.items() if weight}
    return Lin(terms or {"x": 0.0})


def _slotted(state: Any, slots: dict[str, Lin]) -> Any:
    """A state whose sums have become symbols of the next step; numbers and points stay."""
    if isinstance(state, Lin):
        slots[f"slot{len(slots)}"] = _sum(state)
        return Lin({f"slot{len(slots) - 1}": 1.0})
    if isinstance(state, tuple):
        parts = [_slotted(part, slots) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if is_dataclass(state) and not isinstance(state, type):
        changes = {one.name: _slotted(getattr(state, one.name), slots) for one in fields(state)}
        return replace(state, **changes)
    if state is None or isinstance(state, Real | str):
        return state
    raise NotLinearError
