"""Pictures that are read by number, some of which may turn out to be broken."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.data.base import DataError, Dataset
from zoo.data.buckets import Sides
from zoo.data.pictures import UnreadableError, as_floats

_LOG = logging.getLogger(__name__)
_ASKED, _SIDE = 64, 16
_TINGE = 16
"""Levels of 255 that channels of a grey picture differ by: what a warm or cold scan of paper has."""

GREY = (
    "the model is grey and pictures have colours, which it will not see: set shape=[3,height,width] and "
    "denoiser.in_channels=3"
)
"""What to say where colours are lost."""


class PictureSet(Dataset):
    """A set of pictures with numbers. In place of one that cannot be read, the next that can is given, cut alike.

    So what is broken shifts nothing: whoever asks for an index is given the same, on whatever process and after a
    resume. What could not be read is counted, and told of in the log as it is found.

    Args:
        name: of the kind of set, for messages.
        shape: of the model, (1 or 3, H, W).
        labels: the class of each picture, -1 for none.
        classes: their number; None for one more than the largest label, where there are any.
        class_names: by label; empty where classes are numbers.
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
        class_names: Sequence[str] = (),
        horizontal_flip: bool,
    ) -> None:
        self.name, self.shape, self.labels = name, shape, list(labels)
        self.class_names, self.horizontal_flip = list(class_names), horizontal_flip
        self.copies = 2 if horizontal_flip else 1
        if not self.labels:
            raise DataError(f"{name}: there is nothing to train on: no picture can be read")
        known = [label for label in self.labels if label != -1]
        self.classes = max(known) + 1 if known and classes is None else classes
        wrong = [label for label in known if not 0 <= label < (self.classes or 0)]
        if wrong:
            raise DataError(f"{name}: label {wrong[0]} is none of the {self.classes} classes, which count from 0")
        # in memory that the processes of a loader share: what one of them finds, all know
        self._lost = torch.zeros(len(self.labels), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    @abstractmethod
    def pixels(self, index: int, sides: Sides | None = None, channels: int | None = None) -> Tensor:
        """A picture as the model sees it, not mirrored: (C, H, W) bytes.

        Args:
            index: its number.
            sides: what it is cut and resized to; None for its own.
            channels: 1 or 3; None for the model's.

        Raises:
            UnreadableError: it cannot be read.
        """

    @abstractmethod
    def sides(self, index: int) -> Sides:
        """What a picture is cut and resized to."""

    @abstractmethod
    def title(self, index: int) -> str:
        """What messages call it."""

    @abstractmethod
    def left_out(self) -> Mapping[str, str]:
        """What was no picture from the start, and has no number: name -> why."""

    def loses_colours(self) -> bool:
        """Whether the model is grey and pictures have colours, as far as a few of them tell."""
        if self.shape[0] == 3:
            return False
        for index in range(0, len(self.labels), max(1, len(self.labels) // _ASKED))[:_ASKED]:
            try:
                pixels = self.pixels(index, (_SIDE, _SIDE), 3).short()
            except UnreadableError:
                continue
            if (pixels.amax(0) - pixels.amin(0)).amax() > _TINGE:
                return True
        return False

    def lost(self) -> int:
        """How many pictures could not be read when they were asked for, until now."""
        return int(self._lost.sum())

    def __len__(self) -> int:
        return len(self.labels) * self.copies

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)} pictures")
        mirrored, index = divmod(index, len(self.labels))
        pixels, index = self._read(index)
        return {"x_0": as_floats(pixels.flip(-1) if mirrored else pixels), "labels": self.labels[index]}

    def _read(self, index: int, sides: Sides | None = None) -> tuple[Tensor, int]:
        """The picture, or the next one that can be read, cut to these sides or its own, with its number."""
        sides = sides or self.sides(index)
        for other in (*range(index, len(self.labels)), *range(index)):
            try:
                return self.pixels(other, sides), other
            except UnreadableError as error:
                self._note(other, error)
        raise DataError(f"{self.name}: none of the pictures can be read any more")

    def _note(self, index: int, error: UnreadableError) -> None:
        """Count a picture that cannot be read; of the first, second, fourth, eighth ... it is said."""
        if self._lost[index]:
            return
        self._lost[index] = True
        count = self.lost()
        if count & (count - 1) == 0:
            _LOG.warning("%s: %s; the next takes its place (unreadable until now: %d)", self.name, error, count)

    def _looks(self, size: str = "") -> str:
        """The end of what `describe` says, before what is left out."""
        mirrored = " and their mirror images" if self.horizontal_flip else ""
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{mirrored}, {size or 'x'.join(str(side) for side in self.shape)}{classes}"

    def _losses(self) -> str:
        lost = self.lost()
        return f"; {lost} more found unreadable since" if lost else ""
