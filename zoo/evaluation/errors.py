"""What goes wrong when a model is judged."""

from __future__ import annotations

from zoo.core.errors import ZooError


class EvaluationError(ZooError, ValueError):
    """A model and data that cannot be compared, or samples that cannot be drawn."""
