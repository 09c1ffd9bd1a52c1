"""Ctrl-C and a polite kill, put off until the weights are in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether somebody asked to stop.

    Args:
        echo: seconds in which further signals are taken for the first one.

    Attributes:
        asked: true from the first signal on; the next one is no longer put off.
    """

    def __init__(self, echo: float) -> None:
        self.asked = False
        self._echo, self._first = echo, 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        now = time.monotonic()
        if not self.asked:
            self.asked, self._first = True, now
        elif now - self._first > self._echo:
            raise KeyboardInterrupt


@contextmanager
def deferred(*, echo: float = 0.0) -> Iterator[Interrupt]:
    """Note signals instead of dying of them; outside the main thread, where Python allows no handlers, do nothing.

    Args:
        echo: seconds in which further signals are taken for the first one.
    """
    interrupt = Interrupt(echo)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.note) for number in _SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
