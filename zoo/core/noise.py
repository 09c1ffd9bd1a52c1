"""Where randomness comes from: one generator per sample, so that a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from numbers import Integral
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.grid import GridPoint

_MASK = (1 << 64) - 1


class NoiseError(ZooError, ValueError):
    """Seeds or recorded noise that do not fit the samples."""


def seeds(seed: int | Sequence[int], n: int) -> list[int]:
    """The seeds of n samples.

    An int is mixed with each sample's index (the SplitMix64 finalizer), so that sample i of seed s is the same
    whatever n is, and neighbouring seeds share no samples. A sequence is taken as it is, one seed a sample.

    Raises:
        NoiseError: when a sequence has another length than n, or the seed is no whole number.
    """
    if isinstance(seed, int | Integral):  # numpy's too
        return [mixed(int(seed) * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03) for index in range(n)]
    if not hasattr(seed, "__len__"):
        raise NoiseError(f"seed: expected a whole number or one a sample, got {seed}")
    if len(seed) != n:
        raise NoiseError(f"seed: {len(seed)} seeds for {n} samples; give one seed for all or one each")
    return [int(one) for one in seed]


def mixed(z: int) -> int:
    """A seed that looks unrelated to that of any other whole number."""
    z &= _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    # torch seeds are signed 64-bit; 63 bits avoid the sign
    return (z ^ (z >> 31)) >> 1


@runtime_checkable
class ByRow(Protocol):
    """Noise that a batch may be split over: each row has its own, whichever rows are walked with it."""

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint, /) -> Tensor: ...

    def rows(self, start: int, stop: int) -> ByRow:
        """The noise of the samples ``start`` to ``stop``; what is drawn from it is gone here too."""
        ...

    def mark(self) -> Callable[[], None]:
        """A function that returns to this place of the streams."""
        ...


class PerSample:
    """Standard normal noise from one CPU generator a sample, drawn in the order of the calls.

    Draws are float32 whatever x is, so that neither precision nor device moves the stream.

    Args:
        seed: one for all or one each, see :func:`seeds`.
        n: number of samples.
    """

    def __init__(self, seed: int | Sequence[int], n: int) -> None:
        self.generators = [torch.Generator().manual_seed(one) for one in seeds(seed, n)]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """(n, *shape) on the CPU, float32."""
        noise = torch.empty(len(self.generators), *shape)
        if len(self.generators) == 1:
            return noise.normal_(generator=self.generators[0])
        for row, generator in zip(noise, self.generators, strict=True):
            row.normal_(generator=generator)
        return noise

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        return self.draw(x.shape[1:]).to(x.device, x.dtype)

    def rows(self, start: int, stop: int) -> PerSample:
        """The same generators, of some samples."""
        some = copy(self)
        some.generators = self.generators[start:stop]
        return some

    def mark(self) -> Callable[[], None]:
        """Remembers what the generators are at."""
        states = [(one, one.get_state()) for one in self.generators]

        def back() -> None:
            for one, state in states:
                one.set_state(state)

        return back


class Recorded:
    """Noise that was drawn before, handed out in the order of the calls.

    Args:
        draws: (draws, B, ...). Some may be left over; too few is an error.
    """

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws
        self.used = 0
        self._whole: Recorded | None = None

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        if self.used == len(self.draws):
            raise NoiseError(f"noise: {len(self.draws)} recorded draws are too few for this walk")
        draw = self.draws[self.used]
        if draw.shape != x.shape:
            raise NoiseError(f"noise: a recorded draw has shape {tuple(draw.shape)}, the state {tuple(x.shape)}")
        self._use(self.used + 1)
        return draw.to(x.device, x.dtype)

    def rows(self, start: int, stop: int) -> Recorded:
        """The same draws, of some samples; as many are used up here as in the part that has come furthest."""
        some = copy(self)
        some.draws, some._whole = self.draws[:, start:stop], self
        return some

    def mark(self) -> Callable[[], None]:
        """Remembers how many draws are used up."""
        used = self.used

        def back() -> None:
            self.used = used

        return back

    def _use(self, used: int) -> None:
        self.used = used
        if self._whole is not None and self._whole.used < used:
            self._whole._use(used)
