"""Samplers: frozen records of settings with a pure ``step``, and the one loop that walks them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, cast

from torch import Tensor

from zoo.core import linear
from zoo.core.grid import Grid, GridPoint, Step
from zoo.core.parameterization import Parameterization, Prediction

State = TypeVar("State")

Noise = Callable[[Tensor, GridPoint, GridPoint], Tensor]
"""Standard normal noise like x_t for the interval between two points: ``noise(x_t, now, next)``."""


class Denoise(Protocol):
    """The network with its conditions and guidance closed over. Samplers see nothing else of the model."""

    def __call__(self, x_t: Tensor, at: GridPoint, /) -> Prediction:
        """What x_t: (B, ...) at the point ``at`` is made of. ``at`` may lie off the grid."""
        ...


class Sampler(ABC, Generic[State]):
    """One rule for going from x_t at ``step.now`` to x at ``step.next``.

    Concrete samplers are frozen dataclasses. Formulas are written in alpha and sigma, not in their ratio,
    wherever alpha = 0 or sigma = 0 can occur.

    Attributes:
        order: of the rule, as its paper counts it.
        stochastic: whether the rule draws noise; a property where it depends on the settings.
        from_pure_noise: whether a step may start at alpha = 0.
        reads_score: whether the rule uses ``Prediction.score`` itself; for others the walk folds it into eps.
        joins: whether the rule sets the next state together from x_0 and eps, so that a guidance may give two that do
            not belong together.
        climbs: whether a rule that draws noise knows what to do on a step up.
        one_by_one: whether a batch is walked sample by sample, since the rule looks at the values to choose its steps.
        all_at_once: whether the steps of a sample depend on the others of its batch, so that a part of it would go
            another way.
    """

    order: ClassVar[int]
    stochastic: ClassVar[bool] = False
    from_pure_noise: ClassVar[bool] = True
    reads_score: ClassVar[bool] = False
    joins: ClassVar[bool] = False
    climbs: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = False
    all_at_once: ClassVar[bool] = False

    def init(self) -> State:
        """The state before the first step; nothing for single-step rules."""
        return ()  # type: ignore[return-value]

    def rows(self, start: int, stop: int) -> Sampler[State]:
        """The rule for some samples of a batch: one that holds tensors of the batch slices them."""
        return self

    @property
    def convergence(self) -> int:
        """The global order with which the result approaches the exact solution; a test measures it."""
        return self.order

    @abstractmethod
    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: State, noise: Noise) -> tuple[Tensor, State]:
        """One step.

        Args:
            denoise: the model.
            x_t: (B, ...) at ``step.now``.
            step: both rows of the grid.
            state: what the last step, or ``init``, returned.
            noise: gives standard normal noise when asked.

        Returns:
            x at ``step.next`` and the new state.
        """


@dataclass(slots=True)
class Moment:
    """A walk after so many steps; the first moment is the start.

    Args:
        x_t: (B, ...) the state, in model space.
        at: where it is.
        index: how many steps were taken.
        total: how many steps the walk has.
        nfe: how often the model was asked so far.
    """

    x_t: Tensor
    at: GridPoint
    index: int
    total: int
    nfe: int


class Counted:
    """A denoise that counts its calls (NFE). A guided call counts once, however many forwards it takes."""

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise
        self.nfe = 0

    def __call__(self, x_t: Tensor, at: GridPoint, /) -> Prediction:
        self.nfe += 1
        return self._denoise(x_t, at)


def walk(
    sampler: Sampler[Any], denoise: Denoise, x: Tensor, grid: Grid, noise: Noise, *, as_written: bool = False
) -> Iterator[Moment]:
    """Walk a grid: the only sampling loop there is.

    A rule that only forms weighted sums is run once on symbols, and the walk follows the table of weights that comes
    of it (:mod:`zoo.core.linear`); other rules, and all under a guidance that is more than a mixture of outputs, are
    run as written. Progress bars, previews and early stops are the caller's business. ``x`` is never written to.

    Args:
        sampler: the rule.
        denoise: the model.
        x: (B, ...) the state at ``grid[0]``.
        grid: N + 1 points for N steps.
        noise: noise for stochastic rules.
        as_written: run any rule as it is written.

    Yields:
        N + 1 moments, the start first.
    """
    total = len(grid) - 1
    yield Moment(x, grid[0], 0, total, 0)
    rows = None if as_written else linear.recorded(sampler, denoise, grid)
    if rows is not None:
        states = linear.run(rows, cast(linear.Readable, denoise), x, noise)
        for index, (x_t, at, nfe) in enumerate(states, start=1):
            yield Moment(x_t, at, index, total, nfe)
        return
    counted = Counted(denoise if sampler.reads_score else _folding(denoise))
    state = sampler.init()
    for index in range(total):
        step = Step(grid[index], grid[index + 1], index, total, grid)
        x, state = sampler.step(counted, x, step, state, noise)
        yield Moment(x, step.next, index + 1, total, counted.nfe)


def visited(sampler: Sampler[Any], parameterization: Parameterization, grid: Grid) -> list[GridPoint]:
    """Where a walk asks the model, in order: exactly for a rule with a table, else the points of the grid."""
    rows = linear.program(sampler, parameterization, grid)
    if rows is None:
        return list(grid.points[:-1])
    return [op.at for row in rows for op in row.ops if isinstance(op, linear.Call)]


def _folding(denoise: Denoise) -> Denoise:
    """A guidance gradient as part of eps: eps - sigma score, and its x_0 (Dhariwal & Nichol 2021, eq. 14)."""

    def folded(x_t: Tensor, at: GridPoint, /) -> Prediction:
        raw = denoise(x_t, at)
        if raw.score is None:
            return raw
        eps = raw.eps - at.sigma * raw.score
        return Prediction(lambda: (x_t - at.sigma * eps) / at.alpha, lambda: eps, raw.var)

    return folded


def transfer(x_t: Tensor, eps: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
    """The exact solution of the probability-flow ODE for a constant eps (DDIM; PNDM's transfer, eq. 11).

    x_s = (alpha_s / alpha_t) x_t + (sigma_s - (alpha_s / alpha_t) sigma_t) eps
    """
    scale = next.alpha / now.alpha
    return scale * x_t + (next.sigma - scale * now.sigma) * eps


def straight(prediction: Prediction, next: GridPoint) -> Tensor:
    """alpha_s x_0 + sigma_s eps: the step of first order (DDIM), as it holds from alpha = 0 and onto sigma = 0 too."""
    if not next.sigma:
        return next.alpha * prediction.x_0
    return next.alpha * prediction.x_0 + next.sigma * prediction.eps


def adams_bashforth(e: Tensor, history: Sequence[Tensor]) -> Tensor:
    """The Adams-Bashforth mean of up to four outputs at equal steps, newest first.

    e;  (3 e - e_1) / 2;  (23 e - 16 e_1 + 5 e_2) / 12;  (55 e - 59 e_1 + 37 e_2 - 9 e_3) / 24
    """
    if not history:
        return e
    if len(history) == 1:
        return (3 * e - history[0]) / 2
    if len(history) == 2:
        return (23 * e - 16 * history[0] + 5 * history[1]) / 12
    return (55 * e - 59 * history[0] + 37 * history[1] - 9 * history[2]) / 24


def mixable(prediction: Prediction, at: GridPoint, history: Literal["eps", "v"]) -> Tensor:
    """The quantity that a pseudo-linear multistep rule mixes: eps, or v = alpha eps - sigma x_0."""
    if history == "eps":
        return prediction.eps
    return at.alpha * prediction.eps - at.sigma * prediction.x_0


def as_eps(mixed: Tensor, x_t: Tensor, at: GridPoint, history: Literal["eps", "v"]) -> Tensor:
    """eps = (sigma x_t + alpha v) / (alpha^2 + sigma^2), or the mixed eps as it is."""
    return mixed if history == "eps" else (at.sigma * x_t + at.alpha * mixed) / (at.alpha**2 + at.sigma**2)
