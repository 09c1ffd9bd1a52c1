"""Recorded runs of reference samplers: what is in a file, and how settings of ours are written down.

A case is one safetensors file: the exact posterior of a Gaussian mixture as the network, every call of it, every state,
and in the header what the reference was told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from zoo.core.grid import Grid, GridPoint
from zoo.core.parameterization import Parameterization
from zoo.core.schedule import Marginal, Schedule
from zoo.parameterizations import X0

# Everything is float64 on both sides; what differs is the order of sums: 1e-12 is reached nearly everywhere.
TOLERANCE = 1e-10

# The length of an adaptive step follows the difference of two nearly equal states, which magnifies its rounding.
ADAPTIVE = 1e-8


@dataclass(frozen=True)
class Case:
    """One recorded run."""

    name: str
    tensors: dict[str, Tensor]
    args: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Case:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return cls(path.stem, tensors, json.loads(file.metadata()["args"]))

    @property
    def noise_levels(self) -> list[float]:
        """What the reference calls sigmas."""
        levels: list[float] = self.tensors["sigmas"].tolist()
        return levels


@dataclass(frozen=True)
class Recipe:
    """Our settings for a case.

    Args:
        sampler: as in a config.
        walk: spacing and steps, or times.
        schedule: None for the table in the file.
        parameterization: as in a config, or one of ours.
        predicts: what the network's output is; None for the name of the parameterization.
        variance: what the second half of the channels says, if there is one.
        guidance: applied in order.
        start: the start state; None for the recorded one.
        noise: None for the recorded draws in their order.
        labels: what our network is told in each call; None for the reference's own labels.
        ve: the reference keeps x / alpha as its state.
        states: whether the recorded states are those at the ends of steps.
        every: of the reference's states, one in so many is the end of a step.
        repeats: the reference asks the network again what it was told before it refused a step; we do not.
        denoise: end with a step onto clean data that is not part of the method.
        tolerance: of the states.
    """

    sampler: Any
    walk: dict[str, Any]
    schedule: Any = None
    parameterization: Any = field(default_factory=lambda: {"name": "eps"})
    predicts: str | None = None
    variance: str | None = None
    guidance: tuple[Any, ...] = ()
    start: Tensor | None = None
    noise: Any = None
    labels: Tensor | None = None
    ve: bool = False
    states: bool = True
    every: int = 1
    repeats: bool = False
    denoise: bool = False
    tolerance: float = TOLERANCE


Family = Callable[[Case], Recipe]


@dataclass(frozen=True, kw_only=True)
class Scaled(X0):
    """A data prediction from x_t / alpha: the reference keeps every path as if alpha were 1."""

    def c_in(self, m: Any) -> Any:
        return 1 / m.alpha


class Path1(Schedule):
    """A path with alpha = 1 whose noise level is a function of a time that our schedules do not have."""

    t_clean, t_max = 0.0, float("inf")

    def __init__(self, sigma: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor]) -> None:
        self.sigma, self._inverse = sigma, inverse

    def __call__(self, t: Tensor) -> Marginal:
        return Marginal(torch.ones_like(t), self.sigma(t))

    def inverse(self, nsr: Tensor) -> Tensor:
        return self._inverse(nsr)


def ve_rows(levels: list[float]) -> Grid:
    """Rows with alpha = 1, labelled by their noise."""
    return Grid(tuple(GridPoint(sigma, 1.0, sigma) for sigma in levels))


def draws_where(case: Case, levels: list[float], active: Callable[[float], bool]) -> Tensor:
    """The recorded draws of those steps that use theirs: many references draw in every step."""
    kept = [index for index, level in enumerate(levels[:-1]) if active(level)]
    return case.tensors["noise"][kept]


def parts(case: Case, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
    """V_k and d_k of x: (B, ...) -> (B, K, D)."""
    spread = alpha**2 * case.tensors["gm.var"] + sigma**2
    return spread, x.reshape(len(x), 1, -1) - alpha * case.tensors["gm.mu"]


def shares(case: Case, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """The posterior probability of each component: (B, K)."""
    spread, off = parts(case, x, alpha, sigma)
    return torch.softmax(case.tensors["gm.w"].log() - 0.5 * (off**2 / spread + spread.log()).sum(-1), -1)


def posterior(case: Case, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
    """x_0 and eps of the recorded network."""
    spread, off = parts(case, x, alpha, sigma)
    share = shares(case, x, alpha, sigma)[..., None]
    x_0 = (share * (case.tensors["gm.mu"] + alpha * case.tensors["gm.var"] * off / spread)).sum(1)
    return x_0.reshape(x.shape), (share * (sigma * off / spread)).sum(1).reshape(x.shape)


class Network:
    """The recorded network. It knows the scales of the times the reference asked about, and no other time."""

    def __init__(self, case: Case, recipe: Recipe) -> None:
        named = recipe.parameterization
        self.predicts = recipe.predicts or ("x0" if isinstance(named, Parameterization) else named["name"])
        self.case, self.variance = case, recipe.variance
        self.calls: list[tuple[float, Tensor]] = []
        self.labels = case.tensors["nfe.t"] if recipe.labels is None else recipe.labels

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        label = float(t[0])
        self.calls.append((label, x.clone()))
        near = int((self.labels - label).abs().argmin())
        # labels up to 1000 are found by inverting a schedule
        assert abs(float(self.labels[near]) - label) < 1e-8, f"the reference never asked the network about t = {label}"
        alpha, sigma = (float(self.case.tensors[f"nfe.{scale}"][near]) for scale in ("alpha", "sigma"))
        out = self._output(x, alpha, sigma)
        second = {"range": torch.tanh, "log": _log_variance, "value": lambda x: _log_variance(x).exp()}
        return out if self.variance is None else torch.cat([out, second[self.variance](x)], 1)

    def _output(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        if self.predicts == "edm":
            # F of EDM's preconditioning with sigma_data = 0.5, whose input is not x / sqrt(1 + sigma^2)
            nsr, norm = sigma / alpha, ((sigma / alpha) ** 2 + 0.25) ** 0.5
            x_0, _ = posterior(self.case, x * norm, 1.0, nsr)
            return (x_0 - 0.25 / norm**2 * (x * norm)) * norm / (0.5 * nsr)
        x_0, eps = posterior(self.case, x, alpha, sigma)
        return {"eps": eps, "x0": x_0, "v": alpha * eps - sigma * x_0, "flow": eps - x_0}[self.predicts]


def _log_variance(x: Tensor) -> Tensor:
    return torch.tanh(x) - 3
