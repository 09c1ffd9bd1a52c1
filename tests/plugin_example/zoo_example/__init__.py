"""Three parts for diffusion-zoo that live in a package of their own; its setup.cfg names them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler, transfer
from zoo.core.schedule import Marginal, Schedule


@dataclass(frozen=True)
class Midpoint(Sampler[tuple[()]]):
    """The explicit midpoint rule on the probability-flow ODE, with the middle halfway in log(sigma / alpha).

    x_m = tr(x_t, eps(x_t), m), then x_s = tr(x_t, eps(x_m), s) with tr the exact solution for a constant eps. Two
    evaluations a step, one where the step begins at pure noise or ends on clean data.
    """

    order: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x_t: Tensor, step: Step, state: tuple[()], noise: Noise
    ) -> tuple[Tensor, tuple[()]]:
        now, next = step.now, step.next
        prediction = denoise(x_t, now)
        if not now.alpha or not next.sigma:
            return next.alpha * prediction.x_0 + (next.sigma * prediction.eps if next.sigma else 0.0), ()
        middle = step.at(nsr=math.sqrt(now.nsr * next.nsr))
        x_m = transfer(x_t, prediction.eps, now, middle)
        return transfer(x_t, denoise(x_m, middle).eps, now, next), ()


class Logit(Schedule):
    """sigma / alpha = (t / (1 - t))^power on the circle alpha^2 + sigma^2 = 1, t in [0, 1].

    Args:
        power: how fast noise comes; 1 makes log(sigma / alpha) the logit of t.
    """

    t_clean, t_max = 0.0, 1.0

    def __init__(self, *, power: float = 1.0) -> None:
        if not power > 0:
            raise ValueError(f"power must be positive, got {power:g}")
        self.power = power

    def __call__(self, t: Tensor) -> Marginal:
        t = t.double()
        signal, noise = (1 - t) ** self.power, t**self.power
        norm = torch.hypot(signal, noise)
        return Marginal(signal / norm, noise / norm)

    def inverse(self, nsr: Tensor) -> Tensor:
        odds = nsr.double() ** (1 / self.power)
        return torch.where(odds.isinf(), 1.0, odds / (1 + odds))


class MLP(nn.Module):
    """Two layers over the flattened sample and its time.

    Args:
        shape: of one sample; supplied by the zoo.
        width: of the hidden layer.
    """

    TINY: ClassVar[dict[str, Any]] = {"width": 8}

    def __init__(self, *, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        size = math.prod(shape)
        self.inner = nn.Linear(size + 1, width)
        self.outer = nn.Linear(width, size)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's output, read by a parameterization.

        Args:
            x: (B, *shape).
            t: (B,), on any scale.
        """
        time = t.asinh().to(x.dtype).expand(len(x))
        hidden = torch.cat([x.flatten(1), time[:, None]], dim=1)
        out: Tensor = self.outer(torch.tanh(self.inner(hidden)))
        return out.view_as(x)
