"""Guidance within an interval of noise levels only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from registry import guidances
from zoo.core.bound import Bound, Guidance, Mixed
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise


@dataclass(frozen=True, kw_only=True)
class Interval(Guidance):
    """Another guidance where low < sigma / alpha <= high, and the model as it is elsewhere.

    Guidance hurts at high noise, where it narrows the choice of samples, and does nothing at low noise, where it costs
    evaluations (Kynkaanniemi et al. 2024, section 3).

    Args:
        low: noise-to-signal ratio below which, itself included, nothing is guided.
        high: the one above which nothing is guided.
        guidance: the other one, by name or as a mapping with its settings.
    """

    low: float = 0.2
    high: float = 5.0
    guidance: str | Mapping[str, Any] = "cfg"

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ValueError(f"interval needs 0 <= low < high, got {self.low:g} and {self.high:g}")

    @property
    def splits(self) -> bool:  # type: ignore[override]  # the other one decides
        """Whether the other one gives x_0 and eps that do not belong together."""
        return self._inner.splits

    @property
    def copies(self) -> int:  # type: ignore[override]  # the other one decides
        """As many as the other one asks for."""
        return self._inner.copies

    def holds(self, x: Tensor) -> int:
        return self._inner.holds(x)

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        inside = self._inner(denoise, model)

        def chosen(at: GridPoint) -> Denoise:
            return inside if self.low < at.nsr <= self.high else denoise

        if isinstance(denoise, Bound | Mixed) and isinstance(inside, Bound | Mixed):

            def mix(x_t: Tensor, at: GridPoint) -> Tensor:
                return (inside if chosen(at) is inside else denoise).output(x_t, at)

            return Mixed(mix, model.parameterization)

        def guide(x_t: Tensor, at: GridPoint, /) -> Prediction:
            return chosen(at)(x_t, at)

        return guide

    @cached_property
    def _inner(self) -> Guidance:
        built: Guidance = guidances.build(self.guidance, path="guidance.guidance")
        return built

    def __hash__(self) -> int:
        return hash((self.low, self.high, str(self.guidance)))
