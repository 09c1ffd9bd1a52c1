"""Long work, watched."""

from __future__ import annotations

from typing import TypeVar

from zoo.cli.output import bar, note
from zoo.progress import Events

T = TypeVar("T")


def watched(events: Events[T]) -> T:
    """The result, with a bar on the way, or the stages where no terminal shows it."""
    with bar() as progress:
        task, stage = progress.add_task("", total=None), ""
        while True:
            try:
                told = next(events)
            except StopIteration as end:
                found: T = end.value
                return found
            progress.update(task, description=told.stage, completed=told.done, total=told.total)
            if progress.disable and told.stage != stage:
                note(told.stage)
            stage = told.stage
