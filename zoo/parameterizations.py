"""The parameterizations: eps, x0, v, score, flow velocity and EDM's preconditioned output.

Each class is the row of a table: output -> x_0, output -> eps, and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.parameterization import Parameterization, Scales
from zoo.core.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Eps(Parameterization):
    """The network predicts the noise: o = eps (Ho et al. 2020, eq. 12)."""

    from_pure_noise: ClassVar[bool] = False

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t - m.sigma * out) / m.alpha

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return out

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return eps


@dataclass(frozen=True, kw_only=True)
class X0(Parameterization):
    """The network predicts the data: o = x_0."""

    from_clean_data: ClassVar[bool] = False

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return out

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t - m.alpha * out) / m.sigma

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return x_0


@dataclass(frozen=True, kw_only=True)
class V(Parameterization):
    """The network predicts v = alpha eps - sigma x_0 (Salimans & Ho 2022, app. D).

    On a path with alpha^2 + sigma^2 = 1 the inverse is a rotation; elsewhere it is divided by that norm.
    """

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        norm = m.alpha * m.alpha + m.sigma * m.sigma
        return (m.alpha * x_t - m.sigma * out) / norm

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        norm = m.alpha * m.alpha + m.sigma * m.sigma
        return (m.sigma * x_t + m.alpha * out) / norm

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return m.alpha * eps - m.sigma * x_0


@dataclass(frozen=True, kw_only=True)
class Score(Parameterization):
    """The network predicts the score: o = grad log q(x_t) = -eps / sigma (Song et al. 2021, eq. 7)."""

    from_pure_noise: ClassVar[bool] = False
    from_clean_data: ClassVar[bool] = False

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t + m.sigma * m.sigma * out) / m.alpha

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return -m.sigma * out

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return -eps / m.sigma


@dataclass(frozen=True, kw_only=True)
class Flow(Parameterization):
    """The network predicts the velocity of a straight path, u = eps - x_0 (Liu et al. 2023, eq. 1).

    On alpha = 1 - t, sigma = t: x_0 = x_t - t u, eps = x_t + (1 - t) u. On another path both are divided by
    alpha + sigma.

    Args:
        toward: "noise" for a network whose time grows with noise, 0 at data; "data" for one trained the other
            way round: it predicts -u and its time is 1 at data.
        time_scale: the network's label is time_scale times its time (1000 for labels 0..1000).
    """

    toward: Literal["noise", "data"] = "noise"
    time_scale: float = 1.0

    @property
    def _sign(self) -> float:
        return 1.0 if self.toward == "noise" else -1.0

    def c_noise(self, t: Any, m: Scales) -> Any:
        return (t if self.toward == "noise" else 1 - t) * self.time_scale

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        t = label / self.time_scale
        return t if self.toward == "noise" else 1 - t

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t - self._sign * m.sigma * out) / (m.alpha + m.sigma)

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t + self._sign * m.alpha * out) / (m.alpha + m.sigma)

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return self._sign * (eps - x_0)


@dataclass(frozen=True, kw_only=True)
class Edm(Parameterization):
    """EDM's preconditioning: D = c_skip x + c_out F(c_in x; c_noise) (Karras et al. 2022, table 1, "Ours").

    With s = sigma / alpha and x = x_t / alpha: c_skip = sd^2 / (s^2 + sd^2), c_out = s sd / sqrt(s^2 + sd^2),
    c_in = 1 / sqrt(s^2 + sd^2), c_noise = ln(s) / 4.

    Args:
        sigma_data: sd, the standard deviation of the data.
    """

    sigma_data: float = 0.5
    from_clean_data: ClassVar[bool] = False

    def c_in(self, m: Scales) -> Tensor | float:
        # 1 / (alpha sqrt(s^2 + sd^2)) without dividing by alpha
        return (m.sigma * m.sigma + m.alpha * m.alpha * self.sigma_data**2) ** -0.5

    def c_noise(self, t: Any, m: Scales) -> Any:
        nsr = torch.as_tensor(m.sigma, dtype=torch.float64) / torch.as_tensor(m.alpha, dtype=torch.float64)
        label = nsr.log() / 4
        return label if isinstance(t, Tensor) else float(label)

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        return schedule.inverse((4 * label.double()).exp())

    def _scales(self, m: Scales) -> tuple[Any, Any]:
        """c_skip / alpha and c_out, both finite at alpha = 0."""
        norm = m.sigma * m.sigma + m.alpha * m.alpha * self.sigma_data**2
        return m.alpha * self.sigma_data**2 / norm, m.sigma * self.sigma_data * norm**-0.5

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        skip, c_out = self._scales(m)
        x_0: Tensor = skip * x_t + c_out * out
        return x_0

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        # (x_t - alpha x_0) / sigma with sigma cancelled, so that it holds at sigma = 0 too
        norm = m.sigma * m.sigma + m.alpha * m.alpha * self.sigma_data**2
        eps: Tensor = m.sigma / norm * x_t - m.alpha * self.sigma_data * norm**-0.5 * out
        return eps

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        skip, c_out = self._scales(m)
        out: Tensor = (x_0 - skip * (m.alpha * x_0 + m.sigma * eps)) / c_out
        return out
