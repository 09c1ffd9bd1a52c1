"""TCD: jump along the ODE below the next noise level, then up to it, with networks trained for it."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zoo.core.grid import GridPoint, Step
from zoo.core.sampler import Denoise, Noise, Sampler, straight


@dataclass(frozen=True)
class TCD(Sampler[tuple[()]]):
    """Strategic stochastic sampling (Zheng et al. 2024), for trajectory consistency models.

    With s = (1 - gamma) p below the next time p:

        x_s = alpha_s x_0 + sigma_s eps
        x_p = alpha_p / alpha_s x_s + sqrt(sigma_p^2 - (alpha_p sigma_s / alpha_s)^2) z

    Args:
        gamma: from 0, no noise, to 1, where every step goes all the way to the end of the schedule.
        lower: "exact" takes s as it is; "whole", the authors' code, the whole time below it.
    """

    _: KW_ONLY
    gamma: float = 0.3
    lower: Literal["exact", "whole"] = "exact"
    order: ClassVar[int] = 1
    joins: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must lie in 0..1, got {self.gamma:g}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]  # a setting decides
        """Whether noise is drawn: when gamma > 0."""
        return self.gamma > 0

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nowhere to jump to
            return x_t, ()
        prediction = denoise(x_t, now)
        low = self._low(step)
        x_s = straight(prediction, low)
        if low == next:
            return x_s, ()
        scale = next.alpha / low.alpha
        up = math.sqrt(max(0.0, next.sigma**2 - (scale * low.sigma) ** 2))
        return scale * x_s + up * noise(x_t, now, next), ()

    def _low(self, step: Step) -> GridPoint:
        """The point s."""
        next = step.next
        s = (1 - self.gamma) * next.t
        s = float(math.floor(s)) if self.lower == "whole" else s
        # a table's clean data lies at t = -1
        return step.at(t=s) if s < next.t and next.sigma else next
