"""Fewer evaluations for the same error: the least with which a sampler is as near to the fine solution as one walk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from registry import RegistryError
from registry import spacings as rules
from zoo.bench.cases import Case, Subject, Walked, shown
from zoo.bench.measure import distance, in_one_line
from zoo.bench.suite import Suite
from zoo.core.errors import ZooError
from zoo.core.schedule import Marginal, Schedule

_REFUSALS = (ZooError, RegistryError)

_EVERY, _NEAR = 30, 4.0
"""Up to how many steps none is passed over, and which errors are near to the bar: those within so many times of it."""


@dataclass(frozen=True)
class Bar:
    """The error to come up to.

    Args:
        model: its title in the suite.
        sampler: of the walk, as the table calls it.
        spacing: likewise; empty for the model's own.
        nfe: evaluations of the walk.
        first_t: the time at which it begins, and with it all others.
        last_t: the time at which they end.
        error_rms: of its samples, against the fine solution.
        solution_rms: of the fine solution itself: what the errors are to be compared with.
        own_rms: distance of the fine solution from one with half as many steps: an upper estimate of its own error.
        reason: why there is none; empty when there is.
    """

    model: str
    sampler: str
    spacing: str
    nfe: int | None = None
    first_t: float | None = None
    last_t: float | None = None
    error_rms: float | None = None
    solution_rms: float | None = None
    own_rms: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class FewerRow:
    """What one sampler needs on one spacing.

    Args:
        model: its title in the suite.
        sampler: as the table calls it.
        spacing: likewise; empty for the model's own.
        nfe: the least evaluations with an error at most that of the bar; None for never.
        steps: what the spacing was asked for to get them.
        error_rms: with so many; where it never comes up to the bar, the least that was found.
        curve: (evaluations, error) of all that was tried.
        reason: why nothing was tried; empty when it was.
    """

    model: str
    sampler: str
    spacing: str
    nfe: int | None = None
    steps: int | None = None
    error_rms: float | None = None
    curve: Sequence[Sequence[float]] = ()
    reason: str = ""


def cells(suite: Suite) -> list[tuple[Any, Any]]:
    """Every sampler with every spacing, in the order of the table."""
    if suite.fewer is None:
        return []
    return [
        (choice.sampler, spacing)
        for choice in suite.samplers
        for spacing in (suite.spacings or [None] if choice.spacing is None else [choice.spacing])
    ]


def search(title: str, subject: Subject | None, suite: Suite, problem: str = "") -> Iterator[Bar | FewerRow]:
    """The bar of a model, then a row for each of :func:`cells`.

    Args:
        title: of the model.
        subject: the model; None when it could not be opened.
        suite: with its ``fewer`` and ``reference``.
        problem: why it could not be opened.
    """
    fewer = suite.fewer
    assert fewer is not None
    bar, race = Bar(title, shown(fewer.sampler), shown(fewer.spacing), reason=problem), None
    if subject is not None:
        with torch.no_grad():
            try:
                race = Race(subject, suite)
                bar = replace(bar, **race.bar)
            except _REFUSALS as error:
                bar = replace(bar, reason=in_one_line(error))
    yield bar
    for sampler, spacing in cells(suite):
        row = FewerRow(title, shown(sampler), shown(spacing), reason="there is no bar")
        if race is not None:
            try:
                row = replace(row, reason="", **race.least(sampler, spacing))
            except _REFUSALS as error:
                row = replace(row, reason=in_one_line(error))
            except Exception as error:  # a plug-in may fail in any way
                row = replace(row, reason=f"failed: {type(error).__name__}: {in_one_line(error)}")
        yield row


class Race:
    """The walk that sets the bar, its fine solution, and others from the same start to the same end.

    Args:
        subject: the model.
        suite: with its ``fewer`` and ``reference``.

    Raises:
        ZooError: the walk or the fine solution is refused, or not finite.
    """

    def __init__(self, subject: Subject, suite: Suite) -> None:
        fewer, reference = suite.fewer, suite.reference
        assert fewer is not None
        assert reference is not None
        self._subject, self.most, self._loop = subject, fewer.most, subject.without_network()
        case = Case(fewer.sampler, fewer.spacing, fewer.steps)
        self._walks = [(rows, subject.walk(case, rows)) for rows in subject.chunks(suite.n)]
        fine, half = (
            torch.cat([subject.solve(reference, steps, walked, rows) for rows, walked in self._walks])
            for steps in (reference.steps, reference.steps // 2)
        )
        self._fine = fine
        found = self._error([walked for _, walked in self._walks])
        if not math.isfinite(found):
            raise ZooError(f"the walk of {shown(fewer.sampler)} or its fine solution is not finite")
        like = self._walks[0][1]
        self.limit = found
        self.bar: Mapping[str, Any] = {
            "nfe": like.nfe,
            "first_t": like.first.t,
            "last_t": like.last.t,
            "error_rms": found,
            "solution_rms": distance(fine, torch.zeros_like(fine))[0],
            "own_rms": distance(fine, half)[0],
        }

    def least(self, sampler: Any, spacing: Any) -> dict[str, Any]:
        """The least evaluations with which a sampler comes up to the bar, as arguments of a row.

        Errors need not fall steadily. Numbers of steps are tried with gaps that grow; up to 30 steps every number of a
        gap is tried where an end of it is near to the bar, above it the gap before the first that will do is halved.

        Raises:
            ZooError: the sampler draws noise, or no number of steps goes with it.
        """
        if Case(sampler, spacing, 1).stochastic:
            raise ZooError("draws noise, so that no solution of the ODE is its answer")
        tries = _Tries(self, sampler, spacing)
        hit = tries.first()
        if not tries.curve:
            raise ZooError(tries.refused or f"takes more than {self.most} evaluations for a single step")
        told = sorted((nfe, error) for nfe, error in tries.curve.values() if math.isfinite(error))
        nfe, error = tries.curve[hit] if hit else (None, min((error for _, error in told), default=None))
        return {"nfe": nfe, "steps": hit, "error_rms": error, "curve": [list(point) for point in told]}

    def tried(self, sampler: Any, spacing: Any, steps: int) -> tuple[int, float]:
        """Evaluations and error of a walk.

        Raises:
            ZooError: the sampler, the spacing or the model refuses.
        """
        times = self.times(spacing, steps)
        walks = [self._subject.along(times, sampler, walked, rows) for rows, walked in self._walks]
        return walks[0].nfe, self._error(walks)

    def times(self, spacing: Any, steps: int) -> list[float]:
        """A spacing between the ends of the walk that sets the bar, both among the times.

        Raises:
            ZooError: the spacing refuses.
        """
        model, like = self._subject.model, self._walks[0][1]
        first, last = like.first.t, like.last.t
        rule = rules.build(spacing) if spacing is not None else model.sampling.spacing or rules.build("trailing")
        # a time that is an end up to rounding would cost an evaluation for a step that goes nowhere
        slack = 1e-6 * (first - last)
        between = {t for t in rule(_Cut(model.schedule, first, last), steps) if last + slack < t < first - slack}
        return [first, *sorted(between, reverse=True), last]

    def _error(self, walks: Sequence[Walked]) -> float:
        return distance(torch.cat([walked.x_0 for walked in walks]), self._fine)[0]

    def cost(self, sampler: Any, spacing: Any, steps: int) -> int:
        """Evaluations of a walk, counted on one sample without the network; 0 where it is refused."""
        like = self._walks[0][1]
        one = replace(like, x_T=like.x_T[:1])
        try:
            return self._loop.along(self.times(spacing, steps), sampler, one, range(1)).nfe
        except _REFUSALS:
            return 0


class _Tries:
    """The errors of one sampler on one spacing, as they become known.

    Attributes:
        curve: number of steps -> (evaluations, error).
        refused: why a number of steps was refused, the last of them.
    """

    def __init__(self, race: Race, sampler: Any, spacing: Any) -> None:
        self._race, self._sampler, self._spacing = race, sampler, spacing
        self.curve: dict[int, tuple[int, float]] = {}
        self.refused = ""

    def first(self) -> int | None:
        """The least number of steps that comes up to the bar; None for never."""
        for before, rung in pairwise(_rungs(self._race.most)):
            top = rung
            while top > before and self._cost(top) > self._race.most:
                top -= 1
            if top == before:
                return None
            hit = self._reached(top)
            if top <= _EVERY and min(self._error(before), self._error(top)) <= _NEAR * self._race.limit:
                within = next(filter(self._reached, range(before + 1, top)), None)
                if within is not None:
                    return within
            if hit:
                return top if top <= _EVERY else self._halved(before, top)
            if top < rung:
                return None
        return None

    def _halved(self, missed: int, reached: int) -> int:
        while reached - missed > 1:
            middle = (missed + reached) // 2
            missed, reached = (missed, middle) if self._reached(middle) else (middle, reached)
        return reached

    def _reached(self, steps: int) -> bool:
        try:
            self.curve[steps] = self._race.tried(self._sampler, self._spacing, steps)
        except _REFUSALS as error:
            self.refused = in_one_line(error)
        return self._error(steps) <= self._race.limit

    def _error(self, steps: int) -> float:
        return self.curve[steps][1] if steps in self.curve else math.inf

    def _cost(self, steps: int) -> int:
        return self._race.cost(self._sampler, self._spacing, steps)


class _Cut(Schedule):
    """A schedule between two of its times, as if it went no further: where a spacing lays its times."""

    def __init__(self, whole: Schedule, first: float, last: float) -> None:
        self._whole = whole
        self.t_max, self.t_clean = first, last
        self.steps = None if whole.steps is None else math.floor(first) + 1

    @property
    def t_min(self) -> float:
        return max(self._whole.t_min, self.t_clean)

    def shifted(self, t: Tensor) -> Tensor:
        return self._whole.shifted(t)

    def __call__(self, t: Tensor) -> Marginal:
        return self._whole(t)

    def inverse(self, nsr: Tensor) -> Tensor:
        return self._whole.inverse(nsr)


def _rungs(most: int) -> Iterator[int]:
    """0, then numbers of steps, each up to two fifths above the last, to the first above ``most``."""
    steps = 0
    yield steps
    # a spacing may have a number of its own, and a rule may refuse every number: no evaluations tell when to stop
    while steps <= most:
        steps = max(steps + 1, int(steps * 1.4))
        yield steps
