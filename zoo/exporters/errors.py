"""What exporters refuse."""

from zoo.core.errors import ZooError


class ExportError(ZooError, ValueError):
    """A part of a model that the other project has no words for; the message names it."""
