"""One run at a time in a folder."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

from zoo.training.resume import ResumeError

_HELD: weakref.WeakSet[Claim] = weakref.WeakSet()


class Claim:
    """A lock on a folder, which leaves no file there and is gone when its process is, however that ends.

    On Windows, and on file systems without locks, nothing is kept out.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> None:
        """Keep others out, if that is not done already.

        Raises:
            ResumeError: somebody else is at work there.
        """
        if sys.platform == "win32" or self._handle is not None:
            return
        import fcntl

        self._handle = os.open(self._path, os.O_RDONLY)
        _HELD.add(self)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ResumeError(
                f"another process is training into {self._path}: wait for it, or train into another folder"
            ) from None
        except OSError:
            self.release()

    def release(self) -> None:
        """Let others in."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _leave_to_parent() -> None:
    """In a process that was forked, such as a reader of data: a lock lasts as long as anyone has it open."""
    for claim in list(_HELD):
        claim.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
