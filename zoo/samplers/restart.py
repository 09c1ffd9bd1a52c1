"""Restart: Heun's rule that jumps back up and comes down again."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


@dataclass(frozen=True)
class Restart(Sampler[tuple[()]]):
    """Heun's rule; at low noise, forward noise that undoes it up to a higher level (Xu et al. 2023).

    With s = sigma / alpha, on arriving at the first level s_min of the grid at or below an interval's lower end,
    ``repeats`` times: x / alpha += s_noise sqrt(s_max^2 - s_min^2) z, and Heun's steps back to s_min, at levels
    equally spaced in s^(1 / rho).

    Args:
        intervals: [s_min, s_max, repeats, steps] each; without any, this is Heun's rule.
        s_noise: factor of the noise.
        rho: of the spacing of the levels within an interval.
    """

    _: KW_ONLY
    intervals: tuple[tuple[float, float, int, int], ...] = ((0.06, 0.3, 2, 2),)
    s_noise: float = 1.0
    rho: float = 7.0
    order: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for low, high, repeats, steps in self.intervals:
            if not 0 <= low < high or repeats < 1 or steps < 1:
                raise ValueError(
                    "an interval is [s_min, s_max, repeats, steps] with 0 <= s_min < s_max and whole numbers from 1, "
                    f"got {[low, high, repeats, steps]}"
                )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when there are intervals."""
        return bool(self.intervals)

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        low = step.next
        x = _heun(denoise, x_t, step.now, low)
        for s_min, s_max, repeats, steps in self.intervals:
            if not low.nsr <= s_min < step.now.nsr or low.nsr >= s_max:
                continue
            levels = [step.at(nsr=nsr) for nsr in self._levels(s_max, low.nsr, steps)]
            high = levels[0]
            for _ in range(repeats):
                spread = high.alpha * self.s_noise * math.sqrt(high.nsr**2 - low.nsr**2)
                x = high.alpha / low.alpha * x + spread * noise(x, low, high)
                for now, next in zip(levels, (*levels[1:], low), strict=True):
                    x = _heun(denoise, x, now, next)
        return x, ()

    def _levels(self, high: float, low: float, steps: int) -> list[float]:
        """The levels from s_max on, all but the last."""
        top, end = high ** (1 / self.rho), low ** (1 / self.rho)
        return [high, *((top + index / steps * (end - top)) ** self.rho for index in range(1, steps))]


def _heun(denoise: Denoise, x_t: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
    """Karras et al. 2022, algorithm 1; Euler's rule onto clean data and from pure noise."""
    prediction = denoise(x_t, now)
    x_s = straight(prediction, next)
    if not next.sigma or not now.alpha:
        return x_s
    gain = (next.sigma - next.alpha * now.nsr) / 2
    return x_s + gain * (denoise(x_s, next).eps - prediction.eps)
