"""Measuring a cell: walks, clocks, the distance to a fine solution and that to real data."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from registry import RegistryError
from zoo.bench import peers
from zoo.bench.cases import Case, Subject, Walked, shown
from zoo.bench.quality import DrawsJudge, Judge
from zoo.bench.rows import ReferenceRow, Row
from zoo.bench.suite import Suite
from zoo.bench.timing import Timing, timed
from zoo.core.errors import ZooError
from zoo.core.sampler import Moment


class Bench:
    """Measures the cells of one model.

    Args:
        title: of the model.
        subject: the model.
        suite: what to measure, and how often.
        device: where.
        judge: of quality; None leaves it out.
    """

    def __init__(
        self, title: str, subject: Subject, suite: Suite, device: torch.device, judge: Judge | DrawsJudge | None
    ) -> None:
        self._title, self._subject, self._suite = title, subject, suite
        self._device, self._judge = device, judge
        self._loop = subject.without_network()
        self._solutions: dict[tuple[float, float], Tensor | None] = {}
        self.references: list[ReferenceRow] = []

    def measure(self, case: Case, blank: Row) -> Row:
        """The row of a case.

        Args:
            case: what to measure.
            blank: its row, before anything is known.
        """
        suite = self._suite
        if case.nfe is not None:
            case = self._loop.fitted(case)
            blank = replace(blank, steps=case.steps)
        stochastic = case.stochastic
        count = max(suite.n, self._judge.samples if self._judge else 0)
        chunks = [*self._subject.chunks(suite.n), *self._subject.chunks(count, after=suite.n)]
        walks = [(rows, self._subject.walk(case, rows)) for rows in chunks]
        nfe = walks[0][1].nfe
        samples = torch.cat([walked.x_0 for _, walked in walks])
        row = replace(blank, stochastic=stochastic, nfe=nfe)
        if suite.repeats:
            row = self._timed(case, row)
        if not samples.isfinite().all():
            bad = int((~samples.flatten(1).isfinite().all(1)).sum())
            return replace(row, status="nan", reason=f"{bad} of {len(samples)} samples are not finite")
        if suite.reference is not None and not stochastic:
            row = self._against_reference(row, walks, samples[: suite.n])
        if self._judge is not None:
            quality = self._judge.distance(samples[: self._judge.samples])
            if not math.isfinite(quality):
                return replace(row, status="nan", reason="the features of its samples are not finite")
            row = replace(row, quality=quality)
        return row

    def _timed(self, case: Case, row: Row) -> Row:
        rows, suite = range(self._suite.batch), self._suite
        whole = timed(
            lambda: self._subject.begin(case, rows),
            lambda begin: deque(begin(), maxlen=0),
            repeats=suite.repeats,
            device=self._device,
        )

        loop = self._loop_timed(case)
        written = self._loop_timed(case, as_written=True) if suite.as_written else None
        assert row.nfe is not None
        return replace(
            row,
            wall=whole.wall,
            wall_min=whole.wall_min,
            cpu=whole.cpu,
            wall_per_nfe=whole.wall / row.nfe,
            loop_per_step=loop.wall_min / case.steps,
            loop_median=loop.wall / case.steps,
            written_per_step=None if written is None else written.wall_min / case.steps,
            written_median=None if written is None else written.wall / case.steps,
        )

    def peer(self, title: str, steps: int, blank: Row) -> Row:
        """The row of another library's loop.

        Args:
            title: the library and the sampler.
            steps: of the walk.
            blank: its row, before anything is known.

        Raises:
            ZooError: the library is not installed.
        """
        loop = peers.peer(title, steps)
        x = self._subject.start(range(self._suite.batch))
        took = timed(lambda: x, loop, repeats=self._suite.repeats, device=self._device)
        return replace(blank, loop_per_step=took.wall_min / steps, loop_median=took.wall / steps)

    @torch.no_grad()
    def _loop_timed(self, case: Case, *, as_written: bool = False) -> Timing:
        """The steps of a walk without the network; the start and what is made ready before it do not count."""

        def at_first_step() -> Iterator[Moment]:
            moments = self._loop.begin(case, range(self._suite.batch), as_written=as_written)()
            next(moments)
            return moments

        return timed(
            at_first_step, lambda moments: deque(moments, maxlen=0), repeats=self._suite.repeats, device=self._device
        )

    def _against_reference(self, row: Row, walks: Sequence[tuple[range, Walked]], samples: Tensor) -> Row:
        solution = self._solution(walks)
        if solution is None:
            return row
        rms, largest = distance(samples, solution)
        return replace(row, error_rms=rms, error_max=largest)

    def _solution(self, walks: Sequence[tuple[range, Walked]]) -> Tensor | None:
        """The fine solution from where these walks began; solved once for each such place."""
        like = walks[0][1]
        key = (like.first.t, like.last.t)
        if key not in self._solutions:
            self._solutions[key] = self._solve(walks)
        return self._solutions[key]

    def _solve(self, walks: Sequence[tuple[range, Walked]]) -> Tensor | None:
        reference = self._suite.reference
        assert reference is not None
        entry = ReferenceRow(self._title, shown(reference.sampler), reference.steps, walks[0][1].first.t)
        walks = [(rows, walked) for rows, walked in walks if rows.stop <= self._suite.n]
        try:
            fine, half = (
                torch.cat([self._subject.solve(reference, steps, walked, rows) for rows, walked in walks])
                for steps in (reference.steps, reference.steps // 2)
            )
        except (ZooError, RegistryError) as error:
            self.references.append(replace(entry, reason=f"refused: {in_one_line(error)}"))
            return None
        if not fine.isfinite().all():
            self.references.append(replace(entry, reason="not finite"))
            return None
        rms, largest = distance(fine, half) if half.isfinite().all() else (None, None)
        self.references.append(replace(entry, own_rms=rms, own_max=largest))
        return fine


def distance(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The root mean square and the greatest absolute value of a - b, in float64."""
    off = a.double() - b.double()
    return float(off.square().mean().sqrt()), float(off.abs().max())


def in_one_line(error: Exception) -> str:
    """The message of an error without its line breaks."""
    return "; ".join(line.strip() for line in str(error).splitlines())
