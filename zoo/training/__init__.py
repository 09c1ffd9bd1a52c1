"""Training: the loop, its settings, the running average of the weights, and resuming.

The settings are part of every config's schema and are read without torch; the loop is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.training.settings import Settings

if TYPE_CHECKING:
    from zoo.training.loop import events, train

__all__ = ["Settings", "events", "train"]


def __getattr__(name: str) -> Any:
    if name not in ("events", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo.training import loop

    return getattr(loop, name)
