"""Files that are either the old or the new one, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, make sure that it is on the disk, and put it in place.

    Args:
        path: the file; its folder exists.
        write: called with the path of a file that does not exist, in the same folder.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    # a killed process of the same number may have left one
    beside.unlink(missing_ok=True)
    try:
        write(beside)
        sync(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and writes their entries by itself
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
