"""One run at a time in a folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from zoo.training.resume import ResumeError


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
        """Keep others out.

        Raises:
            ResumeError: somebody else is at work there.
        """
        if sys.platform == "win32":
            return
        import fcntl

        self._handle = os.open(self._path, os.O_RDONLY)
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
        if sys.platform == "win32" or handle is None:
            return
        import fcntl

        # closing is not enough while readers of the data, forked since, have it open too
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)
