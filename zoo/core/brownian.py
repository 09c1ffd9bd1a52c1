"""Noise that is one Brownian path a sample, whatever the steps: few steps and many see the same path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError
from zoo.core.grid import GridPoint
from zoo.core.noise import PerSample, mixed, seeds

# The places of the tree are spread evenly over lambda = log(alpha / sigma) from -SPAN to SPAN; all beyond is an end.
SPAN = 16.0


class Brownian:
    """The normalised increments of W(u), u = (alpha / sigma)^2, from 0 at pure noise upward.

    The noise of a step that falls from u_1 to u_2 is (W(u_2) - W(u_1)) / sqrt(u_2 - u_1): standard normal, independent
    of that of other steps, and the sum, in these weights, of the noises of shorter steps in its place. In this u the
    noise of the reverse SDE is an increment as it stands, so that for a constant x_0 many steps lead where one does.

    W is a virtual tree: its last value is a draw, and a place between two known ones is drawn given them, with a seed
    that is the sample's own and the place's. Nothing is stored; a step costs as many draws as there are levels. Draws
    are float32 on the CPU, W is float64.

    What does not fall, such as the start of a walk or a jump back up, has fresh noise as from
    :class:`~zoo.core.noise.PerSample` of the same seed.

    Args:
        seed: one for all or one each, see :func:`~zoo.core.noise.seeds`.
        n: number of samples.
        levels: of the tree; lambda is rounded to multiples of 2^(5 - levels).
    """

    def __init__(self, seed: int | Sequence[int], n: int, levels: int = 20) -> None:
        if not 1 <= levels <= 48:
            raise ArgumentValueError(f"levels must be 1 to 48, got {levels}")
        self.seeds = seeds(seed, n)
        self.fresh = PerSample(seed, n)
        self.levels = levels
        self._last: tuple[int, Tensor] | None = None

    def __call__(self, x: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        start, end = self.place(now), self.place(next)
        if start >= end:
            return self.fresh(x, now, next)
        before = self._value(start, x.shape[1:])
        after = self._value(end, x.shape[1:])
        # the next step starts where this one ends
        self._last = (end, after)
        return ((after - before) / math.sqrt(self.time(end) - self.time(start))).to(x.device, x.dtype)

    def rows(self, start: int, stop: int) -> Brownian:
        """The paths of some samples."""
        some = copy(self)
        some.seeds, some.fresh, some._last = self.seeds[start:stop], self.fresh.rows(start, stop), None
        return some

    def mark(self) -> Callable[[], None]:
        """Remembers where the fresh noise is at; a path needs no memory."""
        return self.fresh.mark()

    def place(self, at: GridPoint) -> int:
        """Where a point lies, from 0, pure noise, to 2^levels."""
        part = (min(max(at.lam, -SPAN), SPAN) + SPAN) / (2 * SPAN)
        return round(math.ldexp(part, self.levels))

    def time(self, place: int) -> float:
        """u of a place."""
        return math.exp(2 * (2 * math.ldexp(place, -self.levels) - 1) * SPAN) if place else 0.0

    def _value(self, place: int, shape: Sequence[int]) -> Tensor:
        """W: (n, *shape), float64. Halve the interval around the place until it is an end."""
        if self._last is not None and self._last[0] == place and self._last[1].shape[1:] == tuple(shape):
            return self._last[1]
        low, high = 0, 1 << self.levels
        w_low = torch.zeros(len(self.seeds), *shape, dtype=torch.float64)
        w_high = math.sqrt(self.time(high)) * self._draw(high, shape)
        while low < place < high:
            middle = (low + high) // 2
            left, right = self.time(middle) - self.time(low), self.time(high) - self.time(middle)
            # a Brownian bridge
            share = left / (left + right)
            w_middle = (1 - share) * w_low + share * w_high + math.sqrt(share * right) * self._draw(middle, shape)
            if place < middle:
                high, w_high = middle, w_middle
            else:
                low, w_low = middle, w_middle
        return w_low if place == low else w_high

    def _draw(self, place: int, shape: Sequence[int]) -> Tensor:
        """The draw that belongs to a place of the tree: (n, *shape)."""
        if not self.seeds:
            return torch.empty(0, *shape, dtype=torch.float64)
        generator, rows = torch.Generator(), []
        for seed in self.seeds:
            generator.manual_seed(mixed(mixed(seed) + place * 0x9E3779B97F4A7C15))
            rows.append(torch.randn(tuple(shape), generator=generator))
        return torch.stack(rows).double()
