"""Training: the loop, its settings, the running average of the weights, and resuming.

The settings are part of every config's schema and are read without torch; the loop is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.training.settings import Settings

if TYPE_CHECKING:
    from zoo.training.loop import events, train
    from zoo.training.plans import Plan, plan
    from zoo.training.posthoc import synthesize

__all__ = ["Plan", "Settings", "events", "plan", "synthesize", "train"]

_LAZY = {"Plan": "plans", "events": "loop", "plan": "plans", "synthesize": "posthoc", "train": "loop"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"zoo.training.{_LAZY[name]}"), name)
    return found
