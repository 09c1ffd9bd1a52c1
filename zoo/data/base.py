"""What a dataset is: examples by index, all of one shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from zoo.core.errors import ZooError


class DataError(ZooError, ValueError):
    """Data that is not there, cannot be read, or does not fit the model."""


class Dataset(TorchDataset[dict[str, Any]], ABC):
    """A map-style dataset: nothing about it is random, so an index is an example, always the same.

    Attributes:
        classes: number of classes, None for data without labels.
        class_names: by label; empty where classes are numbers.
        copies: how many examples there are of each picture, such as itself and its mirror image; of N pictures those
            of the first are 0, N, 2 N ...
    """

    classes: int | None = None
    class_names: Sequence[str] = ()
    copies: int = 1

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example: ``x_0`` float32, (C, H, W) in [-1, 1] for pictures; what else there is are conditions by name.

        ``labels`` of pictures are their class, or -1 for none.
        """

    @abstractmethod
    def describe(self) -> str:
        """One line: how many, of what, from where."""

    def groups(self) -> Sequence[Sequence[int]] | None:
        """Indices of examples that may share a batch; None when any may."""
        return None

    def preview(self) -> Preview | None:
        """What samples on the way of training are made of; None draws pictures from noise, and labels."""
        return None


class Preview(ABC):
    """Samples that are asked for again and again while a model is trained, and how they are looked at.

    Attributes:
        shape: of one sample.
        conditions: by name, batch first.
    """

    shape: tuple[int, ...]
    conditions: dict[str, Any]

    @abstractmethod
    def write(self, samples: Tensor, stem: Path) -> Path:
        """Write the samples down.

        Args:
            samples: (N, ...) in data space.
            stem: the path of the files without their endings.

        Returns:
            The path of the picture.
        """


class InMemory(Dataset):
    """Examples that are held as one tensor.

    Args:
        x_0: (N, C, H, W) float32 in [-1, 1].
        labels: (N,) classes, or None.
        classes: their number.
        title: what `describe` calls the data.
    """

    def __init__(self, x_0: Tensor, labels: Tensor | None, *, classes: int | None, title: str) -> None:
        self.x_0, self.labels = x_0, None if labels is None else labels.tolist()
        self.classes, self.title = classes, title

    def __len__(self) -> int:
        return len(self.x_0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x_0": self.x_0[index], "labels": -1 if self.labels is None else self.labels[index]}

    def describe(self) -> str:
        size = "x".join(str(side) for side in self.x_0.shape[1:])
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{len(self):,} {self.title}, {size}{classes}"
