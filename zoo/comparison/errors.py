"""What goes wrong when two networks are compared."""

from zoo.core.errors import ZooError


class ComparisonError(ZooError, ValueError):
    """Two things that cannot be compared, or an old class that cannot be used."""
