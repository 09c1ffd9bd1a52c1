"""How the size of a network comes about: a table of its parts, counted without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from zoo.core.diffusion import Diffusion
from zoo.core.errors import ShapeError
from zoo.footprint import PARTS, Footprint, footprints
from zoo.layers.levels import Section
from zoo.tracing import REST, trace


@runtime_checkable
class HasSections(Protocol):
    """A denoiser that explains its own structure; others get a row per child module."""

    def sections(self, *size: int) -> list[Section]:
        """The parts of the network, for samples of (C, *size)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One part of a network, or all of it; counts are of one sample, bytes those of float32.

    Attributes:
        name: what the part is called.
        resolution: (height, width) of its maps, (frames,) of a mel; None where there is no map.
        channels: width of its maps; None where several occur.
        mult: channels / base width, where the user chooses it.
        blocks: residual or transformer blocks.
        attention: attention layers.
        heads: heads of each of them.
        parameters: numbers to train; one shared by two parts counts in the first.
        macs: multiply-adds of convolutions, linear layers and attention products.
        saved_bytes: activations that autograd keeps from this part until the backward pass, that is what
            training holds per sample; parameters and dropout masks do not count.
        peak_bytes: the largest sum of activations alive at any moment inside this part in inference, skips
            waiting for the way up included; parameters do not count.
    """

    name: str
    resolution: tuple[int, ...] | None = None
    channels: int | None = None
    mult: float | None = None
    blocks: int = 0
    attention: int = 0
    heads: int = 0
    parameters: int = 0
    macs: int = 0
    saved_bytes: int = 0
    peak_bytes: int = 0

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        width = "" if self.channels is None else str(self.channels)
        if self.channels is not None and self.mult is not None:
            width = f"{self.channels} = {self.channels / self.mult:g} x {self.mult:g}"
        heads = f"{self.attention}, {self.heads} head{'s' * (self.heads > 1)}" if self.attention else ""
        return (
            self.name,
            "" if self.resolution is None else "x".join(map(str, self.resolution)),
            width,
            str(self.blocks or ""),
            heads,
            *self.amounts(),
        )

    def amounts(self) -> tuple[str, str, str, str]:
        """Parameters, multiply-adds and the two memories as short text."""
        return (
            _short(self.parameters),
            _short(self.macs),
            mib(self.saved_bytes),
            mib(self.peak_bytes),
        )


HEADER = ("part", "size", "channels", "blocks", "attention", "params", "MACs", "train act.", "infer act.")


@dataclass(frozen=True)
class Description:
    """The table of one network.

    Attributes:
        name: of the network.
        shape: (C, ...) of the sample that was counted.
        rows: its parts; none shares a parameter, a multiply-add or a kept activation with another.
        total: their sums, and the peak over all of them.
        memory: what sampling a batch holds, one a precision; empty where no batch was asked about.
    """

    name: str
    shape: tuple[int, ...]
    rows: tuple[Row, ...]
    total: Row
    memory: tuple[Footprint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The table as plain data, fit for JSON."""
        whole = asdict(self)
        del whole["memory"]
        return whole | ({"memory": [one.to_dict() for one in self.memory]} if self.memory else {})

    def __str__(self) -> str:
        title = f"{self.name}, one sample of {' x '.join(map(str, self.shape))}"
        table = f"{title}\n{_table([HEADER, *(row.cells() for row in (*self.rows, self.total))])}"
        if not self.memory:
            return table
        (held,), *lines = memory_table(self.memory)
        return f"{table}\n{held}\n{_table(lines)}"


@dataclass(frozen=True)
class SideBySide:
    """Two tables, row beside row."""

    a: Description
    b: Description

    def rows(self) -> list[tuple[Row | None, Row | None]]:
        """Rows of the same name together, in the order of ``a``; None where one network has no such part."""
        of_a, of_b = ({row.name: row for row in side.rows} for side in (self.a, self.b))
        pairs = [(of_a.get(name), of_b.get(name)) for name in _merge(list(of_a), list(of_b))]
        return [*pairs, (self.a.total, self.b.total)]

    def ratios(self) -> dict[str, float]:
        """b / a of the totals; inf where only ``a`` has none of it, 1 where neither has."""
        pairs = {
            name: (getattr(self.a.total, name), getattr(self.b.total, name))
            for name in ("parameters", "macs", "saved_bytes", "peak_bytes")
        }
        return {name: b / a if a else (float("inf") if b else 1.0) for name, (a, b) in pairs.items()}

    def to_dict(self) -> dict[str, Any]:
        """Both tables and the ratios of their totals as plain data."""
        return {"a": self.a.to_dict(), "b": self.b.to_dict(), "ratios": self.ratios()}

    def __str__(self) -> str:
        lines: list[tuple[str, ...]] = [
            ("part", *(f"{head} {side}" for head in HEADER[2:3] + HEADER[5:] for side in "ab"))
        ]
        blank = Row(name="").cells()[:5] + ("",) * 4
        for pair in self.rows():
            cells = [blank if row is None else row.cells() for row in pair]
            name = cells[0][0] or cells[1][0]
            lines.append((name, *(side[column] for column in (2, 5, 6, 7, 8) for side in cells)))
        names = {
            "parameters": "params",
            "macs": "MACs",
            "saved_bytes": "train act.",
            "peak_bytes": "infer act.",
        }
        ratios = ", ".join(f"{names[key]} x {ratio:.3g}" for key, ratio in self.ratios().items())
        return f"a: {self.a.name}\nb: {self.b.name}\n{_table(lines)}\nb / a: {ratios}"


def memory_table(memory: Sequence[Footprint]) -> list[tuple[str, ...]]:
    """What sampling holds, as lines of text: a title, the heads, a line for each part, and the total."""
    one = memory[0]
    asked = f", the network asked about {one.rows} rows at once" if one.rows != one.batch else ""
    amounts = [(text, [getattr(each, key) for each in memory]) for key, text in PARTS.items()]
    return [
        (f"memory of sampling {one.batch} together{asked}, {one.device}",),
        ("held", *(each.precision for each in memory)),
        *((text, *map(mib, values)) for text, values in amounts if any(values)),
        ("total", *(mib(each.total) for each in memory)),
    ]


def mib(count: int) -> str:
    """Bytes as text."""
    return f"{count / 2**20:.1f} MiB"


def describe(
    source: Any,
    shape: Sequence[int] | None = None,
    *,
    name: str | None = None,
    batch: int | None = None,
    guided: bool | None = None,
    device: str = "cpu",
    **cond: Tensor,
) -> Description:
    """The table of a model, or of a bare denoiser.

    Args:
        source: anything with ``denoiser`` and ``shape``, or a `torch.nn.Module`.
        shape: (C, ...) of one sample; by default the model's own.
        name: a title; by default the class of the denoiser.
        batch: also tell what sampling so many together holds in memory; a model is needed for it.
        guided: of that, whether classifier-free guidance doubles the batch; None for what the model's own does.
        device: of that, "cpu" or "cuda".
        cond: conditions that the denoiser cannot do without, of batch 1; only their shapes matter.

    Raises:
        ShapeError: when there is no shape, or a side of it is open; for a batch below 1, or a bare denoiser's.
    """
    denoiser = source.denoiser if hasattr(source, "denoiser") else source
    shape = getattr(source, "shape", None) if shape is None else shape
    if shape is None or None in shape:
        raise ShapeError(f"describe needs the shape of one sample, such as (3, 32, 32), got {shape}")
    table = layer_table(denoiser, tuple(shape), name=name, **cond)
    if batch is None:
        return table
    if not isinstance(source, Diffusion):
        raise ShapeError("describe needs a model to tell what sampling holds: a bare denoiser has no sampler")
    return replace(table, memory=footprints(source, batch, shape=table.shape, guided=guided, device=device, **cond))


def compare(a: Description, b: Description) -> SideBySide:
    """Two tables side by side."""
    return SideBySide(a, b)


def layer_table(denoiser: nn.Module, shape: tuple[int, ...], *, name: str | None = None, **cond: Tensor) -> Description:
    """Count a denoiser, part by part, on one sample of ``shape``; no weight is read, copied or changed.

    The parts are those of its ``sections``, else its children. Parameters and multiply-adds of none of them
    are in the row "rest".

    Args:
        denoiser: the network.
        shape: (C, ...) of one sample.
        name: a title; by default the class of the denoiser.
        cond: keyword arguments of its forward, of batch 1; only their shapes matter.
    """
    if isinstance(denoiser, HasSections):
        sections = denoiser.sections(*shape[1:])
    else:
        sections = [Section(child, (child,)) for child, _ in denoiser.named_children()]
    counts = trace(denoiser, shape, {part: row.name for row in sections for part in row.modules}, cond)
    rows = [
        Row(
            name=section.name,
            resolution=section.resolution,
            channels=section.channels,
            mult=section.mult,
            blocks=section.blocks,
            attention=section.attention,
            heads=section.heads,
            parameters=counts.parameters[section.name],
            macs=counts.macs[section.name],
            saved_bytes=counts.saved_bytes[section.name],
            peak_bytes=counts.peak_bytes[section.name],
        )
        for section in [*sections, Section(REST, ())]
    ]
    total = Row(
        name="total",
        blocks=sum(row.blocks for row in rows),
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        saved_bytes=sum(row.saved_bytes for row in rows),
        peak_bytes=max(row.peak_bytes for row in rows),
    )
    shown = tuple(row for row in rows if row.name != REST or row.parameters or row.macs)
    return Description(name or type(denoiser).__name__, shape, shown, total)


def _merge(a: list[str], b: list[str]) -> list[str]:
    """All names, each once, in an order that keeps that of ``a``, and that of ``b`` where it can."""
    merged: list[str] = []
    rest = list(b)
    for name in a:
        if name in rest:
            place = rest.index(name)
            merged += [other for other in rest[:place] if other not in a]
            rest = rest[place + 1 :]
        merged.append(name)
    return merged + [other for other in rest if other not in a]


def _short(number: int) -> str:
    for scale, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= scale:
            return f"{number / scale:.4g}{letter}"
    return str(number)


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, names to the left, a rule above the total."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    rule = "-" * max(map(len, text))
    return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]])
