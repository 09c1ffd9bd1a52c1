"""The parameterizations: eps, x0, v, score, flow velocity, and the four preconditioned outputs of EDM.

Each class is the row of a table: output -> x_0, output -> eps, and back. The preconditioned ones also scale the
network's input and label its noise in their own way, so that a network fits any schedule: with s = sigma / alpha and
x = x_t / alpha they are the D = c_skip x + c_out F(c_in x; c_noise) of Karras et al. 2022, table 1.
"""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.parameterization import Parameterization, Scales
from zoo.core.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class _Noise(Parameterization, ABC):
    """The output is eps."""

    from_pure_noise: ClassVar[bool] = False

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t - m.sigma * out) / m.alpha

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return out

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return eps


@dataclass(frozen=True, kw_only=True)
class Eps(_Noise):
    """The network predicts the noise: o = eps (Ho et al. 2020, eq. 12).

    Args:
        first_label: what the network is told at time 0; 1 for networks that count the trained times from 1.
        time_scale: what a time is multiplied by; 1000 / T for networks that know times up to 1000 whatever T is.
    """

    first_label: float = 0.0
    time_scale: float = 1.0

    def c_noise(self, t: Any, m: Scales) -> Any:
        return t * self.time_scale + self.first_label

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        return (label - self.first_label) / self.time_scale


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
        return _like(t, _nsr(m).log() / 4)

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


@dataclass(frozen=True, kw_only=True)
class VPPrecond(_Noise):
    """The noise, from a network of variance-preserving scores (Karras et al. 2022, table 1, "VP").

    D = x - s F(x / sqrt(s^2 + 1); (M - 1) t), t the time at which the linear schedule of score SDEs has s:
    t = (sqrt(b^2 + 2 d ln(1 + s^2)) - b) / d. So F is eps, of an input of unit variance.

    Args:
        beta_d: d, how much beta grows from t = 0 to 1.
        beta_min: b, beta at t = 0.
        steps: M, the number of time labels.
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    steps: int = 1000

    def c_in(self, m: Scales) -> Tensor | float:
        return _unit_variance(m)

    def c_noise(self, t: Any, m: Scales) -> Any:
        # in the order of the original, whose float32 rounding networks were trained with
        time = ((self.beta_min**2 + 2 * self.beta_d * (1 + _nsr(m) ** 2).log()).sqrt() - self.beta_min) / self.beta_d
        return _like(t, (self.steps - 1) * time)

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        t = label.double() / (self.steps - 1)
        return schedule.inverse(torch.expm1(self.beta_d * t**2 / 2 + self.beta_min * t).sqrt())


@dataclass(frozen=True, kw_only=True)
class VEPrecond(Parameterization):
    """The negative noise, from a network of variance-exploding scores (Karras et al. 2022, table 1, "VE").

    D = x + s F(x; ln(s / 2)), so F is -eps.
    """

    from_pure_noise: ClassVar[bool] = False
    from_clean_data: ClassVar[bool] = False

    def c_in(self, m: Scales) -> Tensor | float:
        return 1 / m.alpha

    def c_noise(self, t: Any, m: Scales) -> Any:
        return _like(t, (_nsr(m) / 2).log())

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        return schedule.inverse(2 * label.double().exp())

    def x_0(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return (x_t + m.sigma * out) / m.alpha

    def eps(self, out: Tensor, x_t: Tensor, m: Scales) -> Tensor:
        return -out

    def target(self, x_0: Tensor, eps: Tensor, m: Scales) -> Tensor:
        return -eps


@dataclass(frozen=True, kw_only=True)
class IDDPMPrecond(_Noise):
    """The noise, from a network that knows M noise levels by number (Karras et al. 2022, table 1, "iDDPM").

    D = x - s F(x / sqrt(s^2 + 1); M - 1 - j), u_j the level nearest to s. The levels are those of the capped cosine
    schedule: u_M = 0, u_{j-1}^2 = (u_j^2 + 1) / max(a_{j-1} / a_j, c_1) - 1, a_j = sin^2(pi / 2 j / (M (c_2 + 1))).
    Only the label is rounded; the arithmetic takes s as it is. A checkpoint brings its own levels.

    Args:
        c_1: the cap: alpha_bar falls at most to this part of itself in one step.
        c_2: offset that keeps the least levels apart.
        steps: M.
    """

    c_1: float = 0.001
    c_2: float = 0.008
    steps: int = 1000
    exact_labels: ClassVar[bool] = False
    _levels: ClassVar[Tensor]  # not an argument: each object gets its own

    def __post_init__(self) -> None:
        place = torch.arange(self.steps + 1, dtype=torch.float64) / (self.steps * (self.c_2 + 1))
        alpha_bar = (math.pi / 2 * place).sin() ** 2
        squares = [0.0]
        for ratio in (alpha_bar[:-1] / alpha_bar[1:]).clamp(min=self.c_1).flip(0).tolist():
            squares.append((squares[-1] + 1) / ratio - 1)
        self.load_tensors({"u": torch.tensor(squares, dtype=torch.float64).sqrt().flip(0)})

    def tensors(self) -> dict[str, Tensor]:
        return {"u": self._levels}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the levels from a checkpoint."""
        object.__setattr__(self, "_levels", tensors["u"].to("cpu", torch.float64))

    def c_in(self, m: Scales) -> Tensor | float:
        return _unit_variance(m)

    def c_noise(self, t: Any, m: Scales) -> Any:
        nsr = _nsr(m)
        nearest = (nsr[..., None] - self._levels.to(nsr.device)).abs().argmin(-1)
        return _like(t, (self.steps - 1 - nearest).double())

    def time(self, label: Tensor, schedule: Schedule) -> Tensor:
        nearest = (self.steps - 1 - label.double()).round().long().clamp(0, self.steps)
        return schedule.inverse(self._levels.to(label.device)[nearest])


def _nsr(m: Scales) -> Tensor:
    """sigma / alpha: of tensors in their dtype, of numbers in float64."""
    sigma = m.sigma if isinstance(m.sigma, Tensor) else torch.tensor(m.sigma, dtype=torch.float64)
    return sigma / m.alpha


def _like(t: Any, label: Tensor) -> Any:
    """The label as a tensor for a tensor of times, as a number for a number."""
    return label if isinstance(t, Tensor) else float(label)


def _unit_variance(m: Scales) -> Tensor | float:
    """1 / sqrt(alpha^2 + sigma^2), which brings x_t of data of unit variance back to it."""
    scale: Tensor | float = (m.sigma * m.sigma + m.alpha * m.alpha) ** -0.5
    return scale
