"""Running a suite: cell by cell, as events, to a card on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from registry import RegistryError
from zoo.bench import cold, fewer, machine, memory, peers
from zoo.bench.cases import Subject, cases, open_model, shown
from zoo.bench.cold import StartupRow
from zoo.bench.fewer import Bar, FewerRow
from zoo.bench.learning import LearningRow, Lesson
from zoo.bench.measure import Bench, in_one_line
from zoo.bench.memory import MemoryRow
from zoo.bench.pairs import PairRow, measured
from zoo.bench.quality import DrawsJudge, Judge, Yardstick, measure
from zoo.bench.reading import Loaded, Source, load
from zoo.bench.report import Card
from zoo.bench.rows import ReferenceRow, Row
from zoo.bench.suite import ModelChoice, Suite
from zoo.core.device import usable
from zoo.core.errors import ZooError


@dataclass(frozen=True)
class Started:
    """The suite was read, and its cells are about to be measured."""

    name: str
    title: str
    cells: int
    device: str
    out: Path


@dataclass(frozen=True)
class Stage:
    """Something else than a cell is being done, for instance a model being built."""

    text: str


@dataclass(frozen=True)
class Measured:
    """A cell is done; ``index`` counts from 1."""

    index: int
    cells: int
    row: Row | LearningRow | StartupRow | MemoryRow | FewerRow | PairRow


@dataclass(frozen=True)
class Finished:
    """The card and its plots were written."""

    card: Card
    files: Sequence[Path]


Event = Started | Stage | Measured | Finished


def run(
    source: Source,
    *,
    out: str | PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
    device: torch.device | str | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Card:
    """Run a benchmark.

    Args:
        source: the name of a suite in ``benchmarks/``, the path of a YAML file, or a mapping.
        out: the folder of the card and the plots; None for ``benchmarks/results/<suite>-<device>``.
        overrides: merged over the suite.
        command_line: ``key.key=value`` arguments over those.
        device: where to walk; None takes the GPU when there is one.
        on_event: called with everything that :func:`events` yields.

    Raises:
        ConfigError: with every problem of the suite at once.
        DeviceError: the device cannot be used.
    """
    for event in events(source, out=out, overrides=overrides, command_line=command_line, device=device):
        if on_event is not None:
            on_event(event)
    assert isinstance(event, Finished)
    return event.card


def events(
    source: Source,
    *,
    out: str | PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
    device: torch.device | str | None = None,
) -> Iterator[Event]:
    """The same as :func:`run`, event by event; nothing is on the disk before the last."""
    loaded = load(source, overrides=overrides, command_line=command_line)
    place = usable(device)
    folder = Path("benchmarks", "results", f"{loaded.name}-{place.type}") if out is None else Path(out)
    suite = loaded.suite
    walks = len(cases(suite)) + len(suite.peers) * len(suite.steps) + len(fewer.cells(suite))
    count = len(suite.models) * (walks + bool(suite.learning)) + (len(suite.startup.titles) if suite.startup else 0)
    count += len(suite.pairs)
    if suite.memory is not None:
        count += len(suite.models) * len(suite.memory.precisions) * len(suite.memory.batches)
    yield Started(loaded.name, suite.title, count, str(place), folder)
    with _threads(suite.threads):
        found = _Found()
        for choice in suite.models if suite.samplers else ():
            yield from _model(choice, suite, place, found, count)
        if suite.learning is not None:
            lesson = Lesson(suite.learning, suite.seed, place)
            for choice in suite.models:
                yield from _learn(lesson, choice, found, count)
        for choice in suite.models if suite.memory is not None else ():
            yield Stage(f"{choice.title}: processes for its memory")
            assert suite.memory is not None
            for one in memory.rows(choice, suite.memory, place, suite.threads):
                found.memory.append(one)
                yield Measured(found.done, count, one)
        for pair in suite.pairs:
            yield Stage(f"{pair.title} beside {pair.peer}")
            paired, problem = PairRow(pair.title, pair.peer), _Problem()
            with _reported(problem):
                paired = measured(pair, repeats=suite.repeats, seed=suite.seed, device=place)
            if problem.status is not None:
                paired = replace(paired, reason=f"{problem.status}: {problem.reason}")
            found.pairs.append(paired)
            yield Measured(found.done, count, paired)
        if suite.startup is not None:
            for started in cold.measured(suite.startup, threads=suite.threads):
                if isinstance(started, str):
                    yield Stage(started)
                    continue
                found.startup.append(started)
                yield Measured(found.done, count, started)
        card = _card(loaded, place, found)
    yield Finished(card, card.save(folder))


class _Found:
    """What a run has found so far."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.references: list[ReferenceRow] = []
        self.yardsticks: list[Yardstick] = []
        self.learning: list[LearningRow] = []
        self.startup: list[StartupRow] = []
        self.memory: list[MemoryRow] = []
        self.bars: list[Bar] = []
        self.fewer: list[FewerRow] = []
        self.pairs: list[PairRow] = []

    @property
    def done(self) -> int:
        """How many cells are measured."""
        kinds = (self.rows, self.learning, self.startup, self.memory, self.fewer, self.pairs)
        return sum(len(rows) for rows in kinds)


def _model(choice: ModelChoice, suite: Suite, device: torch.device, found: _Found, count: int) -> Iterator[Event]:
    """All cells of one model; one that cannot be opened refuses each of them."""
    yield Stage(f"opening {choice.title}")
    subject, bench, problem = None, None, _Problem()
    with _reported(problem):
        subject = open_model(choice, suite, device)
        judge = None
        if suite.quality is not None:
            yield Stage(f"{choice.title}: real data and features for {measure(suite.quality)}")
        if suite.quality is not None or suite.draws is not None:
            judge = _judge(choice, suite, subject, found)
        bench = Bench(choice.title, subject, suite, device, judge)
    for case in cases(suite):
        row = Row(choice.title, shown(case.sampler), shown(case.spacing), case.steps)
        if bench is not None:
            problem = _Problem()
            with _reported(problem):
                row = bench.measure(case, row)
        if problem.status is not None:
            row = replace(row, status=problem.status, reason=problem.reason)
        found.rows.append(row)
        yield Measured(found.done, count, row)
    for title, steps in product(suite.peers, suite.steps):
        row, problem = Row(choice.title, title, "", steps), _Problem()
        if bench is not None:
            with _reported(problem):
                row = bench.peer(title, steps, row)
        if problem.status is not None:
            row = replace(row, status=problem.status, reason=problem.reason)
        found.rows.append(row)
        yield Measured(found.done, count, row)
    if bench is not None:
        found.references += bench.references
    if suite.fewer is not None:
        yield Stage(f"{choice.title}: the bar and its fine solution")
        for one in fewer.search(choice.title, subject, suite, problem.reason):
            if isinstance(one, Bar):
                found.bars.append(one)
                continue
            found.fewer.append(one)
            yield Measured(found.done, count, one)


def _learn(lesson: Lesson, choice: ModelChoice, found: _Found, count: int) -> Iterator[Event]:
    """Train one model; one that cannot be trained says why."""
    row, problem = LearningRow(choice.title), _Problem()
    with _reported(problem):
        for event in lesson.train(choice):
            if isinstance(event, LearningRow):
                row = event
            else:
                yield Stage(f"{choice.title}: step {event} of {lesson.learning.steps}")
    if problem.status is not None:
        row = replace(row, reason=f"{problem.status}: {problem.reason}")
    found.learning.append(row)
    yield Measured(found.done, count, row)


def _judge(choice: ModelChoice, suite: Suite, subject: Subject, found: _Found) -> Judge | DrawsJudge | None:
    """The judge of a model's samples; where the data cannot be had, the card says why."""
    judge: Judge | DrawsJudge
    try:
        if suite.draws is not None:
            judge = DrawsJudge(suite.draws, subject.model.denoiser, suite.seed)
        else:
            assert suite.quality is not None
            judge = Judge(suite.quality, subject.model.shape, suite.seed, suite.labels)
    except (ZooError, RegistryError) as error:
        name, count = "SW2", suite.draws.samples if suite.draws else 0
        if suite.quality is not None:
            name, count = measure(suite.quality), suite.quality.samples
        found.yardsticks.append(Yardstick(choice.title, name, count, reason=f"refused: {in_one_line(error)}"))
        return None
    some = range(judge.samples)
    noise = torch.cat([subject.start(rows) for rows in subject.chunks(len(some))])
    found.yardsticks.append(judge.yardstick(choice.title, subject.model.scaling.decode(noise)))
    return judge


class _Problem:
    """What kept something from being measured."""

    status: Literal["refused", "failed"] | None = None
    reason: str = ""


@contextmanager
def _reported(problem: _Problem) -> Iterator[None]:
    """Whatever goes wrong inside is noted: the other cells are worth having."""
    try:
        yield
    except (ZooError, RegistryError) as error:
        problem.status, problem.reason = "refused", in_one_line(error)
    except Exception as error:  # a plug-in may fail in any way
        problem.status, problem.reason = "failed", f"{type(error).__name__}: {in_one_line(error)}"


def _card(loaded: Loaded, device: torch.device, found: _Found) -> Card:
    return Card(
        name=loaded.name,
        title=loaded.suite.title,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=machine.command(),
        hardware=machine.hardware(device),
        versions={
            **machine.versions(),
            **peers.versions((*loaded.suite.peers, *(pair.peer for pair in loaded.suite.pairs))),
        },
        suite=loaded.resolved,
        rows=found.rows,
        references=found.references,
        yardsticks=found.yardsticks,
        learning=found.learning,
        startup=found.startup,
        memory=found.memory,
        bars=found.bars,
        fewer=found.fewer,
        pairs=found.pairs,
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
