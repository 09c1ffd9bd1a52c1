"""The model: denoiser + schedule + parameterization + scaling, joined in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from registry import parameterizations, schedules
from zoo.core.bound import UNGUIDED, Bound, ConditionError, Guidance, Network, SelfConditioned, ask, guided, null_of
from zoo.core.conditioner import Conditioner
from zoo.core.errors import ShapeError
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Parameterization, Prediction
from zoo.core.prepared import offers
from zoo.core.sampler import Denoise, Sampler
from zoo.core.scaling import Identity, Scaling
from zoo.core.schedule import Marginal, Schedule
from zoo.core.variational import bound


class Spacing(Protocol):
    """Where a walk of so many steps sets its feet: N + 1 times, from the start to the end."""

    def __call__(self, schedule: Schedule, steps: int, /) -> list[float]: ...


@dataclass(frozen=True)
class Sampling:
    """How a model is sampled when nobody says otherwise.

    Args:
        sampler: the rule.
        steps: number of steps.
        spacing: gives the times.
        guidance: applied in order, when there are conditions.
        clip: applied last, always.
        precision: of the network's arithmetic, as ``zoo.sample`` takes it.
        compile: how its kernels are launched, likewise.
    """

    sampler: Sampler[Any] | None = None
    steps: int = 50
    spacing: Spacing | None = None
    guidance: tuple[Guidance, ...] = ()
    clip: Guidance | None = None
    precision: str = "float32"
    compile: str = "off"


class Callback(nn.Module):
    """Any function ``f(x, t, **cond)`` as a network."""

    def __init__(self, f: Callable[..., Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        return self.f(x, t, **cond)


class Diffusion(nn.Module):
    """A denoiser that knows what it was trained for.

    Args:
        denoiser: the network, ``forward(x, t, **cond)``.
        schedule: t -> (alpha, sigma).
        parameterization: what the network's output means.
        scaling: between data and model space.
        conditioner: raw features to conditions; its parameters are the model's.
        sampling: defaults of ``zoo.sample``.
        shape: of one sample, (C, H, W) or (M, None); None where any length will do.
        config: the resolved config that this model was built from.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization,
        *,
        scaling: Scaling | None = None,
        conditioner: Conditioner | None = None,
        sampling: Sampling | None = None,
        shape: Sequence[int | None] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.conditioner = conditioner
        self.schedule = schedule
        self.parameterization = parameterization
        self.scaling = scaling or Identity()
        self.sampling = sampling or Sampling()
        self.shape = None if shape is None else tuple(shape)
        self.config: Mapping[str, Any] = dict(config or {})

    @classmethod
    def wrap(
        cls,
        f: Callable[..., Tensor],
        *,
        schedule: str | Mapping[str, Any] | Schedule = "linear",
        parameterization: str | Mapping[str, Any] | Parameterization = "eps",
        scaling: Scaling | None = None,
        shape: Sequence[int | None] | None = None,
    ) -> Diffusion:
        """Any function becomes a model: our samplers with your network.

        Args:
            f: ``f(x, t, **cond) -> prediction`` with x: (B, ...) and t: (B,), the time as the network labels it.
            schedule: a name, a ``{name: ...}`` mapping, or a Schedule.
            parameterization: what f predicts; a name, a mapping, or a Parameterization.
            scaling: between data and f's space.
            shape: of one sample, so that ``zoo.sample`` need not be told.
        """
        return cls(
            f if isinstance(f, nn.Module) else Callback(f),
            schedule if isinstance(schedule, Schedule) else schedules.build(schedule),
            parameterization
            if isinstance(parameterization, Parameterization)
            else parameterizations.build(parameterization),
            scaling=scaling,
            shape=shape,
        )

    @property
    def sampler(self) -> Sampler[Any] | None:
        """The sampler that is used when nobody names another."""
        return self.sampling.sampler

    @property
    def self_conditioned(self) -> bool:
        """Whether the denoiser declares that it also takes its last estimate of x_0, as ``self_cond``."""
        return bool(getattr(self.denoiser, "self_conditioned", False))

    @property
    def device(self) -> torch.device:
        """Where the model is; the CPU when it holds no tensors."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype | None:
        """What the network computes in; None for one without parameters, which takes what it is given."""
        return next((parameter.dtype for parameter in self.parameters() if parameter.is_floating_point()), None)

    def conditions(self, **cond: Any) -> dict[str, Any]:
        """The conditions as the denoiser takes them: through the conditioner, unless ``cond`` is given."""
        if self.conditioner is not None and cond and "cond" not in cond:
            cond = dict(self.conditioner(**cond))
        if not cond:
            return cond
        taken = self._taken()
        for name in cond:
            if taken is not None and name not in taken:
                known = ", ".join(taken) or "none"
                family = "this function" if isinstance(self.denoiser, Callback) else type(self.denoiser).__name__
                raise ConditionError(f"{name}: {family} takes no such condition; it takes {known}")
        return cond

    def _taken(self) -> list[str] | None:
        """The conditions that the network's signature names; None for one that takes any, or does not say."""
        asked = self.denoiser.f if isinstance(self.denoiser, Callback) else self.denoiser.forward
        try:
            parameters = inspect.signature(asked).parameters
        except ValueError:  # functions that are not written in Python need not say
            return None
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return None
        # the third argument that is no condition is what was worked out ahead
        return [name for name in list(parameters)[2:] if name != "prepared"]

    def bind(
        self,
        *,
        guidance: Guidance | Sequence[Guidance] | None = None,
        network: Network | None = None,
        points: Sequence[GridPoint] = (),
        **cond: Any,
    ) -> Denoise:
        """The model with its conditions and guidance closed over: what a sampler calls.

        A self-conditioned network is shown its last estimate of x_0, unless ``self_cond`` is given: it is bound anew
        for every walk.

        Args:
            guidance: one, or several in the order of their application.
            network: asked in place of the denoiser, of which it is a faster form; its ``dtype`` is what it takes.
            points: where the model will be asked, in order. When they are given, what the denoiser can say of them and
                of the conditions alone is worked out once: for a walk, during which no weight changes.
            **cond: conditions, batch first.
        """
        several = [] if guidance is None else [guidance] if isinstance(guidance, Guidance) else list(guidance)
        taken = self._taken()
        # a network may name labels in its signature and have been built without classes
        unlabelled = getattr(self.denoiser, "classes", 0) is None
        aside = {
            name
            for one in several
            for name in one.takes
            if (taken is not None and name not in taken) or (name == "labels" and unlabelled)
        }
        own = self.conditions(**{name: value for name, value in cond.items() if name not in aside})
        model = Bound(
            network or self.denoiser,
            self.parameterization,
            own,
            self.dtype if network is None else getattr(network, "dtype", self.dtype),
            {**own, **cond},
            ahead=self.denoiser if points and offers(self.denoiser) else None,
            points=points,
        )
        denoise = guided(model, several)
        return SelfConditioned(denoise, model) if self.self_conditioned and "self_cond" not in own else denoise

    def denoise(self, x_t: Tensor, t: Tensor | float, **cond: Any) -> Prediction:
        """What x_t is made of, at one time for each sample; ``.x_0`` is the posterior mean.

        Args:
            x_t: (B, ...) in model space.
            t: () or (B,) times of the schedule.
            **cond: conditions, batch first.
        """
        time = self._times(t, x_t)
        m = self.schedule(time)
        return self.parameterization.predict(self._network(x_t, time, m, **cond), x_t, m.like(x_t))

    def add_noise(self, x_0: Tensor, eps: Tensor, t: Tensor | float) -> Tensor:
        """x_t = alpha x_0 + sigma eps, for x_0, eps: (B, ...) and t: () or (B,)."""
        _same_shape(x_0, eps)
        m = self.schedule(self._times(t, x_0)).like(x_0)
        return m.alpha * x_0 + m.sigma * eps

    def loss(
        self,
        x_0: Tensor,
        *,
        t: Tensor | float,
        eps: Tensor,
        hide: Tensor | None = None,
        estimate: Tensor | bool | None = None,
        **cond: Any,
    ) -> Tensor:
        """The squared error of the network's output, averaged over each sample: (B,), unweighted.

        Where ``lengths`` are among the conditions, the average is over each sample's own frames of the last axis.

        A network that learns its variance gets T / 1000 of a term of the variational bound on top, which trains the
        variance alone: L_hybrid = L_simple + 0.001 L_vlb (Nichol & Dhariwal 2021, eq. 16).

        A self-conditioned network in training is shown its own estimate of x_0 half of the time, from a first pass
        without gradients, and nothing otherwise (Chen et al. 2022, algorithm 1), unless ``self_cond`` is given.

        Args:
            x_0: (B, ...) in model space.
            t: () or (B,) times of the schedule.
            eps: (B, ...) standard normal noise.
            hide: (B,) booleans: the samples whose conditions are nulls, as guidance asks without them; None for none.
            estimate: whether a self-conditioned network is shown its own estimate; None tosses a coin in training.
            **cond: conditions, batch first.

        Raises:
            ConditionError: for a learned variance on a continuous schedule, which has no step below t.
        """
        _same_shape(x_0, eps)
        lengths = cond.get("lengths")
        if hide is not None:
            cond = {name: _nulled(name, value, hide) for name, value in self.conditions(**cond).items()}
        time = self._times(t, x_0)
        exact = self.schedule(time)
        m = exact.like(x_0)
        x_t = m.alpha * x_0 + m.sigma * eps
        if self.self_conditioned and "self_cond" not in cond:
            if estimate is None:
                # the coin is torch's own, like dropout's
                estimate = self.training and bool(torch.rand(()) < 0.5)
            if estimate:
                cond = {**self.conditions(**cond), "self_cond": self._estimate(x_t, time, exact, **cond)}
        out = self._network(x_t, time, exact, **cond)
        extra: Tensor | float = 0.0
        if self.parameterization.learned_variance:
            if lengths is not None:
                raise ConditionError("a learned variance is trained without lengths: cut the samples to one length")
            if self.schedule.steps is None:
                raise ConditionError("a learned variance is trained on a discrete schedule: linear, cosine, ...")
            prediction = self.parameterization.predict(out, x_t, m)
            extra = self.schedule.steps / 1000 * bound(prediction, x_0, x_t, self.schedule, time)
            out = out.chunk(2, dim=1)[0]
        error = (out - self.parameterization.target(x_0, eps, m)).square()
        return (error.flatten(1).mean(1) if lengths is None else _mean_within(error, lengths)) + extra

    def forward(self, x_0: Tensor, t: Tensor | float, eps: Tensor, **given: Any) -> Tensor:
        """The loss, so that wrappers for several devices find it."""
        return self.loss(x_0, t=t, eps=eps, **given)

    def part_tensors(self) -> dict[str, Tensor]:
        """Tables and statistics outside the network that a checkpoint carries, by the names of their parts."""
        parts: dict[str, Schedule | Parameterization | Scaling] = {
            "schedule": self.schedule,
            "parameterization": self.parameterization,
            "scaling": self.scaling,
        }
        return {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.tensors().items()}

    def _network(self, x_t: Tensor, time: Tensor, m: Marginal, **cond: Any) -> Tensor:
        # labels are made in the arithmetic of x_t, at least float32, as the networks were trained with them
        exact = torch.float64 if x_t.dtype == torch.float64 else torch.float32
        label = self.parameterization.c_noise(time, Marginal(m.alpha.to(exact), m.sigma.to(exact)))
        c_in = self.parameterization.c_in(m.like(x_t))
        return ask(self.denoiser, self.parameterization, x_t, label, c_in, self.conditions(**cond), self.dtype)

    @torch.no_grad()
    def _estimate(self, x_t: Tensor, time: Tensor, m: Marginal, **cond: Any) -> Tensor:
        """What the network takes x_0 for, (B, ...); zeros where its output says nothing about it."""
        x_0 = self.parameterization.predict(self._network(x_t, time, m, **cond), x_t, m.like(x_t)).x_0
        return x_0.nan_to_num(0.0, 0.0, 0.0)

    def _times(self, t: Tensor | float, x: Tensor) -> Tensor:
        time = torch.as_tensor(t, dtype=torch.float64, device=x.device)
        if time.ndim and time.shape != x.shape[:1]:
            raise ShapeError(
                f"t: expected one time, or one for each of {len(x)} samples, got shape {tuple(time.shape)}"
            )
        # Looking at a number on a GPU would wait for it; there the walk's own grid has been checked already
        if (
            time.is_cpu
            and time.numel()
            and not self.schedule.t_clean <= time.min() <= time.max() <= self.schedule.t_max
        ):
            raise ShapeError(
                f"t: the schedule has times {self.schedule.t_clean:g}..{self.schedule.t_max:g}, "
                f"got {float(time.min()):g}..{float(time.max()):g}"
            )
        return time.expand(x.shape[0]) if time.ndim == 0 else time


def _same_shape(x_0: Tensor, eps: Tensor) -> None:
    if eps.shape != x_0.shape:
        raise ShapeError(f"eps must have the shape of x_0, {tuple(x_0.shape)}, got {tuple(eps.shape)}")


def _nulled(name: str, value: Any, hide: Tensor) -> Any:
    """A condition with the null in the rows that hide it."""
    if not isinstance(value, Tensor) or name in UNGUIDED:
        return value
    null = null_of(value)
    return torch.where(hide.reshape(-1, *[1] * (value.ndim - 1)), null, value.to(null.dtype))


def _mean_within(error: Tensor, lengths: Tensor) -> Tensor:
    """The mean over all axes but the first, of the first lengths[i] frames of the last axis: (B,)."""
    frames = error.flatten(1, -2).mean(1)  # (B, T)
    inside = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
    return torch.where(inside, frames, 0).sum(1) / lengths.clamp(min=1)
