"""Benchmarks: suites of models, samplers and steps, walked from the same noise, timed and compared."""

from __future__ import annotations

from zoo.bench.reading import load, suites_dir
from zoo.bench.report import Card
from zoo.bench.rows import Row
from zoo.bench.run import Event, Finished, Measured, Stage, Started, events, run
from zoo.bench.suite import Suite

__all__ = [
    "Card",
    "Event",
    "Finished",
    "Measured",
    "Row",
    "Stage",
    "Started",
    "Suite",
    "events",
    "load",
    "run",
    "suites_dir",
]
