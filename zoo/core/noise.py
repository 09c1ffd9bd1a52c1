"""Where randomness comes from: one generator per sample, so that a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

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
        if not self.generators:
            return torch.empty(0, *shape)
        return torch.stack([torch.randn(tuple(shape), generator=one) for one in self.generators])

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        return self.draw(x.shape[1:]).to(x.device, x.dtype)


class Recorded:
    """Noise that was drawn before, handed out in the order of the calls.

    Args:
        draws: (draws, B, ...). Some may be left over; too few is an error.
    """

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws
        self.used = 0

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        if self.used == len(self.draws):
            raise NoiseError(f"noise: {len(self.draws)} recorded draws are too few for this walk")
        draw = self.draws[self.used]
        if draw.shape != x.shape:
            raise NoiseError(f"noise: a recorded draw has shape {tuple(draw.shape)}, the state {tuple(x.shape)}")
        self.used += 1
        return draw.to(x.device, x.dtype)
