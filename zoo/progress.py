"""What long work tells on its way."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far it is.

    Args:
        stage: what is being done.
        done: how many of what is counted there.
        total: of how many.
    """

    stage: str
    done: int
    total: int


Events: TypeAlias = Generator[Progress, None, T]
"""Tells its progress, and returns its result."""


def result(events: Events[T]) -> T:
    """The result of events whose progress nobody looks at."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            value: T = end.value
            return value
