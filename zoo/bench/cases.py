"""Cases: one model, sampler, spacing and number of steps, walked from the noise that all cases share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from registry import samplers
from registry import spacings as rules
from zoo import factory, loading, sampling
from zoo.bench.suite import IDENTITY, ModelChoice, Reference, Suite
from zoo.core.diffusion import Diffusion, Spacing
from zoo.core.errors import ZooError
from zoo.core.grid import GridPoint
from zoo.core.noise import PerSample, seeds
from zoo.core.sampler import Moment
from zoo.core.sampler import walk as walk_grid

_WEIGHTS = (".safetensors", ".ckpt", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Case:
    """One row of a benchmark.

    Args:
        sampler: its spec.
        spacing: its spec; None for the model's own.
        steps: how many; 0 for as many as the evaluations pay for.
        nfe: how many evaluations there may be; None for any number.
    """

    sampler: Any
    spacing: Any
    steps: int
    nfe: int | None = None

    @property
    def stochastic(self) -> bool:
        """Whether the sampler draws noise on its way, so that no solution of the ODE is its answer."""
        return bool(samplers.build(self.sampler).stochastic)


def cases(suite: Suite) -> list[Case]:
    """Every case of a model, in the order of the table."""
    listed = []
    for choice in suite.samplers:
        spacings = suite.spacings or [None] if choice.spacing is None else [choice.spacing]
        listed += [Case(choice.sampler, spacing, steps) for spacing, steps in product(spacings, suite.steps)]
        listed += [Case(choice.sampler, spacing, 0, nfe) for spacing, nfe in product(spacings, suite.nfe)]
    return listed


def shown(spec: Any) -> str:
    """A spec in one word: ``ddim``, ``ddim(eta=0.5)``; empty for None."""
    if spec is None or isinstance(spec, str):
        return spec or ""
    arguments = ", ".join(f"{key}={_brief(value)}" for key, value in spec.items() if key != "name")
    return f"{spec['name']}({arguments})" if arguments else str(spec["name"])


def _brief(value: Any) -> Any:
    """A long list by its ends."""
    long = isinstance(value, list | tuple) and len(value) > 6
    return f"[{value[0]}, ... {len(value)} ..., {value[-1]}]" if long else value


@dataclass(frozen=True)
class Walked:
    """What a case ended with.

    Args:
        x_0: (B, ...) in data space.
        x_T: (B, ...) where it began, in model space.
        first: where on the schedule it began.
        last: where it ended.
        nfe: how often the model was asked.
    """

    x_0: Tensor
    x_T: Tensor
    first: GridPoint
    last: GridPoint
    nfe: int


class Subject:
    """A model under measurement, with the conditions of the suite.

    Sample i starts from the same noise in every case and at every batch size, and a stochastic sampler goes on in
    the stream that its start was drawn from: what is walked here is what ``zoo.sample`` gives for the same seed.

    Args:
        model: what is walked.
        suite: seed, batch, conditions and precision.
        shape: of one sample.
        conditions: by name, (1 or more, ...), dealt to the samples in turn.
    """

    def __init__(
        self,
        model: Diffusion,
        suite: Suite,
        shape: Sequence[int] | None,
        conditions: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model, self.shape, self._given = model, shape, conditions or {}
        self._suite = suite
        self._dtype = getattr(torch, suite.precision)

    def without_network(self) -> Subject:
        """The same loop around a function that returns its input."""
        model = Diffusion(
            _Identity(doubled=self.model.parameterization.learned_variance),
            self.model.schedule,
            self.model.parameterization,
            scaling=self.model.scaling,
            sampling=self.model.sampling,
            shape=self.model.shape,
        ).to(self.model.device)
        return Subject(model, self._suite, self.shape, self._given)

    def chunks(self, n: int, after: int = 0) -> Iterator[range]:
        """The samples ``after`` to n, a batch at a time."""
        for start in range(after, n, self._suite.batch):
            yield range(start, min(n, start + self._suite.batch))

    def start(self, rows: range) -> Tensor:
        """(B, ...) the start of a walk by the model's own settings."""
        return self._first(rows).x_t

    def begin(self, case: Case, rows: range, *, as_written: bool = False) -> Callable[[], Iterator[Moment]]:
        """A walk that is ready to go, with its start noise drawn: calling it asks the model for the first time.

        Args:
            case: what to walk.
            rows: which samples.
            as_written: run the rule as it is written; without conditions and guidance.
        """
        noise = PerSample(seeds(self._suite.seed, rows.stop)[rows.start :], len(rows))
        settings: dict[str, Any] = {"steps": case.steps, "spacing": case.spacing, "noise": noise}
        x_T = self._first(rows, **settings).x_t.to(self._dtype)
        if as_written:
            grid = sampling.chosen_grid(self.model, case.steps, case.spacing, None)
            rule = sampling.chosen_sampler(self.model, case.sampler)
            return lambda: walk_grid(rule, self.model.bind(), x_T, grid, noise, as_written=True)
        return lambda: sampling.walk(self.model, x_T=x_T, sampler=case.sampler, **settings, **self._conditions(rows))

    def _first(self, rows: range, **settings: Any) -> Moment:
        """The first moment of a walk. DDIM begins anywhere, so it shows where others do."""
        settings = {"seed": seeds(self._suite.seed, rows.stop)[rows.start :], **settings}
        return next(sampling.walk(self.model, len(rows), shape=self.shape, sampler="ddim", **settings))

    def fitted(self, case: Case) -> Case:
        """A case with the most steps that its evaluations pay for, counted on walks of one sample.

        Raises:
            ZooError: not even one step can be paid for.
        """
        if case.nfe is None:
            return case
        for steps in range(case.nfe, 0, -1):
            tried = replace(case, steps=steps)
            if self.walk(tried, range(1)).nfe <= case.nfe:
                return tried
        raise ZooError(f"{shown(case.sampler)} takes more than {case.nfe} evaluations for a single step")

    def walk(self, case: Case, rows: range) -> Walked:
        """Walk a case to its end.

        Raises:
            ZooError: the sampler, the spacing or the model refuses.
        """
        return self._to_the_end(self.begin(case, rows)())

    def solve(self, reference: Reference, steps: int, like: Walked, rows: range) -> Tensor:
        """The fine solution from the same state, at the same time, to the same end as a walk.

        Args:
            reference: how.
            steps: how many steps there would be from the very start of the schedule.
            like: a walk of these samples.
            rows: which samples.

        Returns:
            (B, ...) in data space.
        """
        rule: Spacing = rules.build("trailing")
        if reference.spacing is not None:
            rule = rules.build(reference.spacing)
        elif self.model.sampling.spacing is not None:
            rule = self.model.sampling.spacing
        between = [t for t in rule(self.model.schedule, steps) if like.last.t < t < like.first.t]
        return self.along([like.first.t, *between, like.last.t], reference.sampler, like, rows).x_0

    def along(self, times: Sequence[float], sampler: Any, like: Walked, rows: range) -> Walked:
        """Walk given times from the state that another walk of these samples began in.

        Raises:
            ZooError: the sampler or the model refuses.
        """
        moments = sampling.walk(self.model, x_T=like.x_T, sampler=sampler, times=times, **self._conditions(rows))
        return self._to_the_end(moments)

    def _conditions(self, rows: range) -> dict[str, Any]:
        conditions: dict[str, Any] = {"guidance": self._suite.guidance}
        if self._suite.labels is not None:
            conditions["labels"] = [self._suite.labels[row % len(self._suite.labels)] for row in rows]
        for name, values in self._given.items():
            conditions[name] = values[[row % len(values) for row in rows]]
        return conditions

    def _to_the_end(self, moments: Iterator[Moment]) -> Walked:
        first = next(moments)
        (last,) = deque(moments, maxlen=1)
        return Walked(self.model.scaling.decode(last.x_t), first.x_t, first.at, last.at, last.nfe)


class _Identity(torch.nn.Module):
    """x as its own prediction; twice, where a network would predict a variance too."""

    def __init__(self, *, doubled: bool) -> None:
        super().__init__()
        self._doubled = doubled
        # a tensor, so that the model knows which device it is on
        self.register_buffer("here", torch.empty(0), persistent=False)

    def forward(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        return torch.cat([x, x], dim=1) if self._doubled else x


def open_model(choice: ModelChoice, suite: Suite, device: torch.device) -> Subject:
    """Build or load what a suite chose.

    Raises:
        ZooError: it cannot be built or loaded.
        RegistryError: its config is wrong.
    """
    if choice.config == IDENTITY:
        model = Diffusion.wrap(_Identity(doubled=False), shape=choice.shape)
    elif choice.config.endswith(_WEIGHTS):
        model = loading.load(choice.config)
    else:
        # an untrained network is drawn from the suite's seed, so that its rows can be had again
        with torch.random.fork_rng([]):
            torch.manual_seed(suite.seed)
            model = factory.build(choice.config, pretrained=choice.pretrained, **choice.overrides)
    if choice.shape is None and (model.shape is None or None in model.shape):
        raise ZooError(f"{choice.title}: the shape of a sample is open: give the model a shape in the suite")
    dtype = torch.float64 if suite.precision == "float64" else None
    conditions = {name: _stored(path, name).to(device, dtype) for name, path in choice.conditions.items()}
    return Subject(model.to(device, dtype).eval(), suite, choice.shape, conditions)


def _stored(path: str, name: str) -> Tensor:
    """The tensor of that name in a file."""
    try:
        with safe_open(path, "pt") as file:
            tensor: Tensor = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise ZooError(f"conditions.{name}: {path}: {error}; paths count from where the command runs") from None
    return tensor
