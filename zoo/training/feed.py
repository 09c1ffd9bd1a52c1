"""Batches: an endless stream of examples whose order is a function of the seed and the position alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from zoo.data.base import Dataset


def derived_seed(*parts: int | str) -> int:
    """A seed that belongs to its parts, such as (the run's seed, "step", 17), and to no other."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Order(Sampler[list[int]]):
    """Indices in batches: every epoch is a permutation of its own, and batches run on from one into the next.

    Args:
        size: number of examples.
        batch: how many make a batch.
        seed: of the permutations.
        start: batches to leave out, which is how a resumed run goes on where it was.
    """

    def __init__(self, size: int, batch: int, seed: int, start: int = 0) -> None:
        self.size, self.batch, self.seed, self.start = size, batch, seed, start
        self._permutation = lru_cache(maxsize=2)(self._of_epoch)

    def _of_epoch(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "epoch", epoch))
        return torch.randperm(self.size, generator=generator).tolist()

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start * self.batch
        while True:
            places = range(position, position + self.batch)
            yield [self._permutation(place // self.size)[place % self.size] for place in places]
            position += self.batch


def batches(data: Dataset, order: Order, workers: int) -> Iterator[dict[str, Tensor]]:
    """Endless batches of a dataset.

    Args:
        data: its examples are dicts of tensors and numbers.
        order: which examples, and where to begin.
        workers: processes that read them.
    """
    # its own generator: the loader's would draw from torch's global one
    loader: DataLoader[Any] = DataLoader(data, batch_sampler=order, num_workers=workers, generator=torch.Generator())
    yield from loader
