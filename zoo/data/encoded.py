"""Pictures that are kept somewhere as the bytes of files, and decoded when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from typing import IO

from torch import Tensor

from zoo.data.buckets import Sides
from zoo.data.picture_set import PictureSet
from zoo.data.pictures import UnreadableError, decoded


class Encoded(PictureSet):
    """A set that can open its pictures by number, all cut and resized to the model's shape."""

    @abstractmethod
    def open(self, index: int) -> IO[bytes]:
        """The file of a picture.

        Raises:
            OSError: it is no longer there.
        """

    def sides(self, index: int) -> Sides:
        return self.shape[1:]

    def pixels(self, index: int, sides: Sides | None = None, channels: int | None = None) -> Tensor:
        title = self.title(index)
        try:
            with self.open(index) as file:
                return decoded(file, (channels or self.shape[0], *(sides or self.sides(index))), title)
        except OSError as error:
            raise UnreadableError(title, (error.strerror or str(error)).lower()) from error
