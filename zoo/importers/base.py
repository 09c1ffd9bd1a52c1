"""What an importer promises, and what is told of its work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from torch import Tensor

from zoo.importers.fields import Fields
from zoo.importers.source import Source

Copy = Literal["raw", "ema", "unknown"]
"""What a set of weights is: as trained, their moving average, or one of the two and the file does not say which."""


@dataclass(frozen=True)
class Report:
    """What became of a foreign file.

    Args:
        importer: its name.
        weights: which copy of the weights was taken.
        step: the training step, where the file tells it.
        kept: our names of the tensors.
        dropped: the foreign keys that were left behind, as they are known to be useless.
        assumed: what the file did not tell and was taken as usual, a sentence each.
        remarks: what was unusual about the file, or did not agree with it.
    """

    importer: str
    weights: Copy
    step: int | None
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    assumed: tuple[str, ...]
    remarks: tuple[str, ...]


class Importer(ABC):
    """One foreign format.

    Key names and shapes say most of what a network is; the config in its own field names says the rest. Tensors may be
    renamed, merged, split, permuted or folded on the way.
    """

    dropped: ClassVar[tuple[str, ...]] = ()
    """Patterns of keys that are known to be useless here: whole keys, or those within the copy of the weights."""

    configs: ClassVar[tuple[str, ...]] = ()
    """Names under which the foreign project writes its config into the folder of the weights."""

    beside: ClassVar[bool] = False
    """Whether the config that lies in the folder of a single file is that file's."""

    @abstractmethod
    def matches(self, source: Source) -> bool:
        """Whether these are weights of this format, from file names, key names and shapes; no tensor is read."""

    def copies(self, source: Source) -> dict[Copy, Source]:
        """The sets of weights in there; at least one for a source that matches."""
        return {"unknown": source}

    def step(self, source: Source) -> int | None:
        """The training step, where the file tells it."""
        return None

    @abstractmethod
    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        """The config of the zoo that builds this network.

        Args:
            weights: one of ``copies``.
            fields: the foreign config, which also collects what is missing, assumed or contradictory.

        Raises:
            MissingField: neither tells.
        """

    @abstractmethod
    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        """Our names, such as ``denoiser.conv_in.weight`` or ``schedule.alphas_cumprod``, and the tensors."""

    def leftover(self, source: Source, taken: Copy) -> tuple[list[str], list[str]]:
        """The keys that were not read: those known to be useless or of another copy, and those nobody knows."""
        copies = self.copies(source)
        others = tuple(copy.prefix for name, copy in copies.items() if name != taken and copy.prefix)
        known: list[str] = []
        unknown: list[str] = []
        for key in source.unread():
            words = (key, key.removeprefix(copies[taken].prefix))
            useless = key.startswith(others) or any(
                fnmatchcase(word, pattern) for word in words for pattern in self.dropped
            )
            (known if useless else unknown).append(key)
        return known, unknown
