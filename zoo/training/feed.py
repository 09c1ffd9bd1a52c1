"""Batches: an endless stream of examples whose order is a function of the seed and of what was taken before."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate

from zoo.core.errors import ZooError
from zoo.data.base import DataError, Dataset


def derived_seed(*parts: int | str) -> int:
    """A seed that belongs to its parts, such as (the run's seed, "noise", 17), and to no other."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Order(Sampler[list[int]]):
    """Indices in batches; all examples of a pass, whichever process has them, are of one group.

    Every group is an endless stream of permutations of its own, and passes run on from one permutation into the next.
    The groups take turns in proportion to their sizes. So the order depends on what was taken, and not on how many
    processes took it.

    Args:
        groups: indices of examples that may share a batch.
        batch: how many make a batch of one process.
        seed: of the permutations.
        taken: examples of each group that are done, which is how a resumed run goes on where it was.
        process: the number of this process.
        processes: how many there are; each has a batch in every pass.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        batch: int,
        seed: int,
        *,
        taken: Sequence[int] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.groups, self.batch, self.seed = groups, batch, seed
        self.taken = list(taken or [0] * len(groups))
        self.process, self.processes = process, processes
        # of each group the permutation that it is in, and the next
        self._permutation = lru_cache(maxsize=2 * len(groups))(self._of_epoch)

    @classmethod
    def of(cls, data: Dataset, batch: int, seed: int, **options: Any) -> Order:
        """The order of a dataset, in the groups that it has."""
        return cls(data.groups() or [range(len(data))], batch, seed, **options)

    def _of_epoch(self, group: int, epoch: int) -> list[int]:
        parts = (epoch,) if len(self.groups) == 1 else (epoch, group)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "epoch", *parts))
        indices = self.groups[group]
        return [indices[place] for place in torch.randperm(len(indices), generator=generator).tolist()]

    def move(self, taken: list[int]) -> tuple[int, int]:
        """Count one pass into ``taken``.

        Returns:
            The group whose turn it is, and how many of it were taken before.
        """
        size = self.batch * self.processes
        everything, total = sum(len(group) for group in self.groups), sum(taken) + size
        behind = [len(group) * total - done * everything for group, done in zip(self.groups, taken, strict=True)]
        turn = behind.index(max(behind))
        before = taken[turn]
        taken[turn] += size
        return turn, before

    def __iter__(self) -> Iterator[list[int]]:
        taken = list(self.taken)
        while True:
            group, before = self.move(taken)
            size = len(self.groups[group])
            first = before + self.process * self.batch
            yield [self._permutation(group, place // size)[place % size] for place in range(first, first + self.batch)]


class _Told:
    """Examples of a dataset; in place of one that cannot be had, the error: raised in a reader's process it would
    reach this one as the text of a traceback.

    Args:
        data: its examples are dicts of tensors and numbers.
    """

    def __init__(self, data: Dataset) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> dict[str, Any] | DataError:
        try:
            return self._data[index]
        except ZooError as error:
            return DataError(str(error))


def _collated(examples: Sequence[dict[str, Any] | DataError]) -> Any:
    """A batch, or the first error."""
    return next((one for one in examples if isinstance(one, DataError)), None) or default_collate(list(examples))


def batches(data: Dataset, order: Order, workers: int) -> Iterator[dict[str, Tensor]]:
    """Endless batches of a dataset.

    Args:
        data: its examples are dicts of tensors and numbers.
        order: which examples, and where to begin.
        workers: processes that read them.

    Raises:
        DataError: an example cannot be had, whichever process asked for it.
    """
    # its own generator: the loader's would draw from torch's global one
    loader: DataLoader[Any] = DataLoader(
        _Told(data),  # type: ignore[arg-type]  # it has what a map-style dataset needs
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collated,
        generator=torch.Generator(),
        worker_init_fn=_deaf,
    )
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _deaf(worker: int) -> None:
    """A terminal sends Ctrl-C to the readers, too, and a scheduler its polite kill: they go on, as their examples may
    be needed for the last step, and end with the process that trains."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
