"""Files within a tar, read where they stand."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Member:
    """A file within a tar, which is a piece of it.

    Args:
        shard: the tar.
        name: within it.
        offset: of its first byte.
        size: in bytes.
    """

    shard: Path
    name: str
    offset: int
    size: int

    def open(self) -> IO[bytes]:
        return io.BufferedReader(_Piece(self, self.shard.open("rb", buffering=0)))

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"


class _Piece(io.RawIOBase):
    """A member as a file of its own. Nothing is shared, so that any process may have it open."""

    def __init__(self, member: Member, file: io.RawIOBase) -> None:
        self._member, self._file, self._at = member, file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # whatever a reader hands over
        wanted = max(0, min(len(view), self._member.size - self._at))
        self._file.seek(self._member.offset + self._at)
        found = self._file.readinto(view[:wanted]) or 0
        self._at += found
        return found

    def close(self) -> None:
        self._file.close()
        super().close()
