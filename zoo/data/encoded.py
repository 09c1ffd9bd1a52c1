"""Pictures that are kept somewhere as the bytes of files, and decoded when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import IO, Any

from zoo.data.base import DataError, Dataset
from zoo.data.pictures import UnreadableError, as_floats, decoded


class Encoded(Dataset):
    """A set that can open its pictures by number. In place of one that cannot be decoded, the next that can is given.

    Args:
        name: of the kind of set, for messages.
        shape: of the model, (1 or 3, H, W); pictures are cut and resized to it.
        labels: the class of each picture, -1 for none.
        classes: their number, None for data without.
        horizontal_flip: whether every picture is there twice, as it is and mirrored.

    Raises:
        DataError: there are no pictures, or a label is not a class.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int, int],
        labels: Sequence[int],
        classes: int | None,
        *,
        horizontal_flip: bool,
    ) -> None:
        self.name, self.shape, self.labels = name, shape, list(labels)
        self.horizontal_flip = horizontal_flip
        if not self.labels:
            raise DataError(f"{name}: there is nothing to train on: no picture can be read")
        known = [label for label in self.labels if label != -1]
        self.classes = max(known) + 1 if known and classes is None else classes
        wrong = [label for label in known if not 0 <= label < (self.classes or 0)]
        if wrong:
            raise DataError(f"{name}: label {wrong[0]} is none of the {self.classes} classes, which count from 0")

    @abstractmethod
    def open(self, index: int) -> IO[bytes]:
        """The file of a picture."""

    @abstractmethod
    def title(self, index: int) -> str:
        """What messages call it."""

    def __len__(self) -> int:
        return len(self.labels) * (2 if self.horizontal_flip else 1)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)} pictures")
        mirrored, index = divmod(index, len(self.labels))
        for offset in range(len(self.labels)):
            here = (index + offset) % len(self.labels)
            try:
                with self.open(here) as file:
                    pixels = decoded(file, self.shape, self.title(here))
            except UnreadableError:
                continue
            return {"x_0": as_floats(pixels.flip(-1) if mirrored else pixels), "labels": self.labels[here]}
        raise DataError(f"{self.name}: none of the pictures can be read any more")

    def looks(self) -> str:
        """The end of what `describe` says."""
        size = "x".join(str(side) for side in self.shape)
        mirrored = " and their mirror images" if self.horizontal_flip else ""
        return f"{mirrored}, {size}" + (f", {self.classes} classes" if self.classes else "")
