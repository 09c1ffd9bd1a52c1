"""Parameterizations: what a network's output means.

With x_t = alpha x_0 + sigma eps, an output that gives one of (x_0, eps) gives the other exactly. A sampler
asks for the one it integrates; the other is never computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from zoo.core.schedule import Schedule


class Scales(Protocol):
    """Anything with alpha and sigma: a GridPoint of floats, or a Marginal shaped like x."""

    @property
    def alpha(self) -> Tensor | float: ...
    @property
    def sigma(self) -> Tensor | float: ...


class Prediction:
    """What a network says about x_t: x_0 and eps, each made when first asked for.

    Attributes:
        var: the raw second half of the channels of a network that also learns its variance, else None.
        score: a guidance gradient, grad log p(y | x_t), that ancestral samplers add to the mean, else None.
    """

    __slots__ = ("_eps", "_make_eps", "_make_x_0", "_x_0", "score", "var")

    def __init__(
        self,
        make_x_0: Callable[[], Tensor],
        make_eps: Callable[[], Tensor],
        var: Tensor | None = None,
        score: Tensor | None = None,
    ) -> None:
        self._make_x_0, self._make_eps = make_x_0, make_eps
        self._x_0: Tensor | None = None
        self._eps: Tensor | None = None
        self.var, self.score = var, score

    @property
    def x_0(self) -> Tensor:
        """The posterior mean E[x_0 | x_t], of the shape of x_t."""
        if self._x_0 is None:
            self._x_0 = self._make_x_0()
        return self._x_0

    @property
    def eps(self) -> Tensor:
        """The noise that goes with x_0: (x_t - alpha x_0) / sigma."""
        if self._eps is None:
            self._eps = self._make_eps()
        return self._eps


@dataclass(frozen=True, kw_only=True)
class Parameterization(ABC):
    """The dictionary between (x_0, eps) and the network's output.

    Args:
        learned_variance: whether the network has twice the channels, the second half of which describes
            the variance of the reverse step (Nichol & Dhariwal 2021); the ``ddpm`` sampler reads it.
    """

    learned_variance: bool = False
    from_pure_noise: ClassVar[bool] = True
    """Whether the output tells x_0 at alpha = 0."""
    from_clean_data: ClassVar[bool] = True
    """Whether the output tells eps at sigma = 0."""
    exact_labels: ClassVar[bool] = True
    """Whether ``time`` gives back the time that a label was made of, and not one nearby."""

    def c_in(self, m: Scales) -> Tensor | float:
        """The scale of the network's input: the network sees c_in x_t."""
        return 1.0

    def c_noise(self, t: Any, m: Scales) -> Any:
        """The label that the network gets as its ``t``."""
        return t

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        """The schedule time that belongs to a label: the inverse of ``c_noise``."""
        return label

    def tensors(self) -> dict[str, Tensor]:
        """Tables that a checkpoint must carry because no formula gives them back; usually none."""
        return {}

    @abstractmethod
    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        """x_0 from the network's output."""

    @abstractmethod
    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        """eps from the network's output."""

    @abstractmethod
    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        """The output that a perfect network would give."""

    def predict(self, out: Tensor, x_t: Tensor, m: Scales) -> Prediction:
        """Read an output: (B, C, ...), or (B, 2C, ...) when the variance is learned."""
        var = None
        if self.learned_variance:
            out, var = out.chunk(2, dim=1)
        return Prediction(lambda: self.x_0(out, x_t, m), lambda: self.eps(out, x_t, m), var)
