"""The result of a benchmark: a card as JSON, a table as text, and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from zoo.bench import curves, standings
from zoo.bench.cold import StartupRow
from zoo.bench.fewer import Bar, FewerRow
from zoo.bench.learning import LearningRow
from zoo.bench.memory import MemoryRow
from zoo.bench.pairs import PairRow
from zoo.bench.peers import LIBRARIES as PEERS
from zoo.bench.quality import Yardstick
from zoo.bench.rows import ReferenceRow, Row
from zoo.core.errors import ZooError
from zoo.files import write_atomically

FORMAT = 1


class CardError(ZooError):
    """A file that is no result card, or one of another time."""


@dataclass(frozen=True)
class Card:
    """Everything that a benchmark found, and what is needed to run it again.

    Args:
        name: of the suite.
        title: likewise.
        date: when it ended, UTC.
        command: how it was started.
        hardware: what it ran on.
        versions: what it ran with.
        suite: the whole suite, with every default.
        rows: one a cell.
        references: what errors were measured against.
        yardsticks: what distances are to be compared with, one a model.
        learning: what came of training, one a model.
        startup: how long processes took to start.
        memory: what sampling held, one a batch.
        bars: errors to come up to, one a model.
        fewer: evaluations that samplers need for that, one for each spacing.
        pairs: our runs beside those of others.
    """

    name: str
    title: str
    date: str
    command: str
    hardware: Mapping[str, Any]
    versions: Mapping[str, Any]
    suite: Mapping[str, Any]
    rows: Sequence[Row] = ()
    references: Sequence[ReferenceRow] = ()
    yardsticks: Sequence[Yardstick] = ()
    learning: Sequence[LearningRow] = ()
    startup: Sequence[StartupRow] = ()
    memory: Sequence[MemoryRow] = ()
    bars: Sequence[Bar] = ()
    fewer: Sequence[FewerRow] = ()
    pairs: Sequence[PairRow] = ()

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write ``card.json``, ``table.txt`` and the plots; each file is the old or the new one, never half of it.

        Returns:
            What was written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_plain({"format": FORMAT, **asdict(self)}), indent=1, allow_nan=False) + "\n"
        for name, content in (("card.json", text), ("table.txt", self.table() + "\n")):
            write_atomically(folder / name, lambda beside, content=content: beside.write_text(content))  # type: ignore[misc]
        drawn = [*curves.draw(self.rows, self.yardsticks, folder), *curves.draw_learning(self.learning, folder)]
        drawn += curves.draw_fewer(self.bars, self.fewer, folder)
        return [folder / "card.json", folder / "table.txt", *drawn]

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Card:
        """Read a card.

        Raises:
            CardError: it is no card, or one in another format.
        """
        try:
            tree = json.loads(Path(path).read_text())
            found = tree.pop("format")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CardError(f"{path}: is not a result card ({error})") from None
        if found != FORMAT:
            raise CardError(f"{path}: is a card in format {found!r}; this version reads format {FORMAT}")
        parts: dict[str, Callable[..., Any]] = {
            "rows": Row,
            "references": ReferenceRow,
            "yardsticks": Yardstick,
            "learning": LearningRow,
            "startup": StartupRow,
            "memory": MemoryRow,
            "bars": Bar,
            "fewer": FewerRow,
            "pairs": PairRow.read,
        }
        try:
            return cls(**tree | {key: [part(**one) for one in tree.get(key, ())] for key, part in parts.items()})
        except (KeyError, TypeError) as error:
            raise CardError(f"{path}: is not a result card ({error})") from None

    def columns(self) -> dict[str, list[str]]:
        """The cells of the table as text, by column; columns in which nothing was measured are left out.

        Of a suite that only starts processes, these are its rows.
        """
        if not self.rows and self.learning:
            return self._learned()
        if not self.rows and self.startup:
            return self._processes()
        if not self.rows and self.pairs:
            return standings.beside(self.pairs, _number)
        if not self.rows and self.memory:
            return self._held()
        if not self.rows and self.fewer:
            return standings.columns(self.fewer, _number)
        measure = self.yardsticks[0].measure if self.yardsticks else "quality"
        shown: dict[str, list[str]] = {
            "model": [row.model for row in self.rows],
            "sampler": [row.sampler for row in self.rows],
            "spacing": [row.spacing for row in self.rows],
            "steps": [str(row.steps) for row in self.rows],
            "NFE": [_number(row.nfe) for row in self.rows],
            "wall ms": [_number(row.wall, 1e3) for row in self.rows],
            "min ms": [_number(row.wall_min, 1e3) for row in self.rows],
            "CPU ms": [_number(row.cpu, 1e3) for row in self.rows],
            "ms/NFE": [_number(row.wall_per_nfe, 1e3) for row in self.rows],
            "loop us/step": [_number(row.loop_per_step, 1e6) for row in self.rows],
            "median": [_number(row.loop_median, 1e6) for row in self.rows if self.suite.get("as_written")],
            "as written us/step": [_number(row.written_per_step, 1e6) for row in self.rows],
            "median as written": [_number(row.written_median, 1e6) for row in self.rows],
            "error RMS": [_number(row.error_rms) for row in self.rows],
            "error max": [_number(row.error_max) for row in self.rows],
            measure: [_number(row.quality) for row in self.rows],
            "note": [f"{row.status}: {row.reason}" if row.status != "ok" else "" for row in self.rows],
        }
        return {name: cells for name, cells in shown.items() if any(cells)}

    def notes(self) -> list[str]:
        """What a reader of the table must know, a line each."""
        hardware, versions = self.hardware, self.versions
        place = hardware["gpu"] or f"{hardware['cpu']}, {hardware['threads']} of {hardware['cores']} cores"
        lines = [
            f"{self.date}, {place}; torch {versions['torch']}, zoo {versions['zoo']}, commit {versions['commit']}",
        ]
        if self.pairs:
            lines += standings.said_of(self.pairs, versions.get("diffusers"), int(self.suite["repeats"]))
        if self.suite.get("peers"):
            lines.append("peers: " + ", ".join(f"{name} {versions.get(name, 'not installed')}" for name in PEERS))
        if self.rows and self.suite["repeats"]:
            lines.append(
                f"times of a batch of {self.suite['batch']} in {self.suite['precision']}, "
                f"over {self.suite['repeats']} repeats; all cells start from the noise of seed {self.suite['seed']}"
            )
        if self.learning:
            how = self.suite["learning"]
            lines += [
                f"{how['steps']} updates of {how['batch']} examples, fresh weights, AdamW at {how['learning_rate']:g}",
                f"examples, times and noise are those of seed {self.suite['seed']} for every model",
                f"times are medians of one update; losses are means over {how['held_out']} examples, not trained on",
            ]
        for one in self.references:
            told = one.reason or f"own error below {_number(one.own_rms)} RMS, {_number(one.own_max)} at most"
            lines.append(f"{one.model}: reference {one.sampler}, {one.steps} steps, from t = {one.first_t:g}: {told}")
        for bound in self.yardsticks:
            lines.append(f"{bound.model}: {bound.measure}: {bound.reason or _bounds(bound)}")
            lines += _shortest(bound, [row for row in self.rows if row.model == bound.model])
        return [*lines, *standings.notes(self.bars, self.fewer, _number)]

    def table(self) -> str:
        """The table and its notes as plain text."""
        parts = []
        if self.rows:
            parts.append(_aligned(self.columns()))
        if self.learning:
            parts.append(_aligned(self._learned()))
        if self.startup:
            parts.append(_aligned(self._processes()))
        if self.memory:
            parts.append(_aligned(self._held()))
        if self.pairs:
            parts.append(_aligned(standings.beside(self.pairs, _number)))
        if self.fewer:
            parts.append(_aligned(standings.columns(self.fewer, _number)))
        return "\n\n".join([*parts, "\n".join(self.notes())])

    def _learned(self) -> dict[str, list[str]]:
        """The same for models that were trained; times are also told as multiples of the first model's."""
        rows = self.learning
        base = rows[0].step_cpu
        ratios = [None if row.step_cpu is None or not base else row.step_cpu / base for row in rows]
        shown = {
            "model": [row.model for row in rows],
            "parameters": [
                _number(row.parameters and row.parameters / 1e6) + "M" * bool(row.parameters) for row in rows
            ],
            "MACs": [_number(row.macs and row.macs / 1e6) + "M" * bool(row.macs) for row in rows],
            "step wall ms": [_number(row.step_wall, 1e3) for row in rows],
            "step CPU ms": [_number(row.step_cpu, 1e3) for row in rows],
            "CPU ratio": [_number(ratio) for ratio in ratios],
            "loss before": [_number(row.first_loss) for row in rows],
            "loss after": [_number(row.loss) for row in rows],
            "note": [row.reason for row in rows],
        }
        return {name: cells for name, cells in shown.items() if any(cells)}

    def _held(self) -> dict[str, list[str]]:
        """The same for memory, in MiB; what was measured is also told as a multiple of what was stated."""
        rows = self.memory
        ratios = [None if not row.stated or row.measured is None else row.measured / row.stated for row in rows]
        shown = {
            "model": [row.model for row in rows],
            "batch": [str(row.batch) for row in rows],
            "precision": [row.precision for row in rows],
            "activations MiB": [_number(row.activations and row.activations / 2**20) for row in rows],
            "stated MiB": [_number(row.stated and row.stated / 2**20) for row in rows],
            "measured MiB": [_number(row.measured and row.measured / 2**20) for row in rows],
            "ratio": [_number(ratio) for ratio in ratios],
            "note": [row.reason for row in rows],
        }
        return {name: cells for name, cells in shown.items() if any(cells)}

    def _processes(self) -> dict[str, list[str]]:
        """The same for processes; the whole time, Python's own start included, counts against the budget."""
        rows, budgets = self.startup, self.suite["startup"]["budgets"]
        python = rows[0].seconds or 0.0
        added = [None if row.seconds is None else row.seconds - python for row in rows]
        loaded = {None: "", False: "not loaded", True: "loaded"}
        limits = [None if row.seconds is None else budgets.get(row.command) for row in rows]
        within = [
            "" if limit is None else "yes" if row.seconds <= limit else "no"
            for row, limit in zip(rows, limits, strict=True)
        ]
        shown = {
            "process": [row.command for row in rows],
            "ms": [_number(row.seconds, 1e3) for row in rows],
            "min ms": [_number(row.seconds_min, 1e3) for row in rows],
            "CPU ms": [_number(row.cpu, 1e3) for row in rows],
            "beyond Python, ms": [_number(one, 1e3) for one in added],
            "step ms": [_number(row.step, 1e3) for row in rows],
            "peak MiB": [_number(row.peak and row.peak / 2**20) for row in rows],
            "torch": [loaded[row.loads_torch] for row in rows],
            "budget ms": [_number(limit, 1e3) for limit in limits],
            "within": within,
            "note": [row.reason for row in rows],
        }
        return {name: cells for name, cells in shown.items() if any(cells)}


def _shortest(bound: Yardstick, rows: Sequence[Row]) -> list[str]:
    """The least NFE with which each sampler comes near the best distance."""
    found = [(row.quality, row.nfe, row) for row in rows if row.quality is not None and row.nfe is not None]
    if not found:
        return []
    limit = 1.1 * min(quality for quality, _, _ in found)
    least: dict[str, int | None] = {}
    for quality, nfe, row in found:
        name, before = f"{row.sampler} {row.spacing}".rstrip(), least.get(f"{row.sampler} {row.spacing}".rstrip())
        near = nfe if quality <= limit else None
        least[name] = near if before is None else before if near is None else min(before, near)
    listed = ", ".join(f"{name} {'never' if nfe is None else nfe}" for name, nfe in least.items())
    return [f"{bound.model}: least NFE within a tenth of the best {bound.measure} ({_number(limit / 1.1)}): {listed}"]


def _plain(value: Any) -> Any:
    """As JSON has it, which knows no infinite numbers: a setting may be one, and is written as a word."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _bounds(bound: Yardstick) -> str:
    low, high = bound.floor_range or (None, None)
    floor = f"{_number(bound.floor)}, {_number(low)} to {_number(high)}; start noise {_number(bound.noise)}"
    if bound.facts is None:  # draws are made as they are needed
        return f"{bound.samples} samples against {bound.data}; floor (as many others) {floor}"
    facts = ", ".join(f"{key} {_number(value)}" for key, value in bound.facts.items())
    return f"{bound.samples} samples against half of {bound.data}; floor (other half) {floor}; {facts}"


def _number(value: float | int | None, scale: float = 1) -> str:
    """Three significant digits; empty for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    scaled = value * scale
    if scaled == 0 or not 1e-3 <= abs(scaled) < 1e5:
        return f"{scaled:.2e}" if scaled else "0"
    return f"{scaled:.{max(0, 2 - math.floor(math.log10(abs(scaled))))}f}"


def _aligned(columns: Mapping[str, Sequence[str]]) -> str:
    """Columns side by side, numbers to the right."""
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    right = [all(cell[:1] in "-0123456789" for cell in cells if cell) for cells in columns.values()]
    padded = [
        [cell.rjust(width) if end else cell.ljust(width) for cell, width, end in zip(line, widths, right, strict=True)]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in [padded[0], ["-" * width for width in widths], *padded[1:]])
