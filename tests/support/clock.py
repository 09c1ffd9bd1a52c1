"""What two runs that do the same may tell differently."""

from typing import Any

CLOCK: dict[str, Any] = {"examples_per_second": 0, "peak_bytes": 0}
"""Merged over a line of a log, it hides the time and the memory that the line took."""
