"""What is measured: a row for each cell, and one for each fine solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "refused", "nan", "failed"]


@dataclass(frozen=True)
class Row:
    """What was measured in one cell. Times are those of one batch; what was not measured is None.

    Args:
        model: its title in the suite.
        sampler: as the table calls it.
        spacing: likewise; empty for the model's own.
        steps: N.
        status: "refused" by the zoo, "nan" when a sample is not finite, "failed" in a way nobody foresaw.
        reason: of anything but "ok".
        stochastic: whether the sampler draws noise.
        nfe: how often the model was asked.
        wall: seconds, the median.
        wall_min: seconds, the least.
        cpu: seconds of processor time, the median.
        wall_per_nfe: seconds.
        loop_per_step: seconds of a step without the network, the least over the repeats.
        loop_median: likewise, the median.
        written_per_step: as loop_per_step, with the rule run as it is written.
        written_median: likewise, the median.
        error_rms: of the samples, against the reference; the root mean square over samples and values.
        error_max: likewise, the greatest.
        quality: the distance from real data.
    """

    model: str
    sampler: str
    spacing: str
    steps: int
    status: Status = "ok"
    reason: str = ""
    stochastic: bool | None = None
    nfe: int | None = None
    wall: float | None = None
    wall_min: float | None = None
    cpu: float | None = None
    wall_per_nfe: float | None = None
    loop_per_step: float | None = None
    loop_median: float | None = None
    written_per_step: float | None = None
    written_median: float | None = None
    error_rms: float | None = None
    error_max: float | None = None
    quality: float | None = None


@dataclass(frozen=True)
class ReferenceRow:
    """A fine solution that errors were measured against.

    Args:
        model: whose.
        sampler: as the table calls it.
        steps: of the solution.
        first_t: the time at which the walks that it belongs to began.
        own_rms: its distance from the solution with half as many steps: an upper estimate of its own error.
        own_max: likewise, the greatest.
        reason: why there is none; empty when there is.
    """

    model: str
    sampler: str
    steps: int
    first_t: float
    own_rms: float | None = None
    own_max: float | None = None
    reason: str = ""
