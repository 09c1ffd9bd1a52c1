"""A model with its conditions closed over: what guidance wraps and samplers call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from zoo.core.errors import ShapeError, ZooError
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Parameterization, Prediction
from zoo.core.prepared import Prepared
from zoo.core.sampler import Denoise

Network = Callable[..., Tensor]

UNGUIDED = ("augment", "lengths", "low_res", "self_cond")
"""Conditions that guidance leaves as they are: ``augment`` says how a picture was changed, ``lengths`` what part of a
row is real, ``self_cond`` is the network's own, and ``low_res`` is what an upsampler enlarges. A guidance may be told
to hide that one."""

Hides: TypeAlias = tuple[str, ...] | None
"""Names of the conditions that guidance goes without; None for all that are not :data:`UNGUIDED`."""


class ConditionError(ZooError, ValueError):
    """Conditions that do not fit the model or the batch."""


class Bound:
    """Network + parameterization + conditions, as a :class:`~zoo.core.sampler.Denoise`.

    Attributes:
        estimate: an x_0 that a self-conditioned network is shown beside its conditions, with them and without; None
            for none.

    Args:
        network: ``network(x, label, **cond) -> out``.
        parameterization: what out means.
        cond: the conditions; tensors are (B, ...).
        dtype: the dtype the network computes in; None takes x's.
        given: the conditions, and others that are for the guidance alone; None for the same.
        ahead: works out beforehand what the conditions and the times alone decide (:mod:`zoo.core.prepared`); None to
            leave all of it to the network.
        points: where the model will be asked, in order; others may come.
    """

    def __init__(
        self,
        network: Network,
        parameterization: Parameterization,
        cond: Mapping[str, Any],
        dtype: torch.dtype | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        ahead: object = None,
        points: Sequence[GridPoint] = (),
    ) -> None:
        self.network, self.parameterization = network, parameterization
        self.cond, self.dtype = dict(cond), dtype
        self.given = self.cond if given is None else dict(given)
        self.estimate: Tensor | None = None
        self._ahead = ahead
        self._labels = [float(parameterization.c_noise(point.t, point)) for point in points]
        self._kind: tuple[object, ...] = ()
        self._told: dict[float, Tensor] = {}
        self._prepared: dict[tuple[str, Hides], Prepared] = {}
        self._nulls: dict[Hides, dict[str, Tensor]] = {}
        self._doubled: dict[Hides, dict[str, Tensor]] = {}

    def __call__(self, x_t: Tensor, at: GridPoint, /) -> Prediction:
        return self.predict(self.output(x_t, at), x_t, at)

    def output(self, x_t: Tensor, at: GridPoint) -> Tensor:
        """The raw output for x_t: (B, C, ...) under the conditions."""
        return self._run(x_t, at, ("given", None), self.cond)

    def pair(self, x_t: Tensor, at: GridPoint, *, batched: bool = True, hides: Hides = None) -> tuple[Tensor, Tensor]:
        """The raw outputs with and without conditions, in one forward of the doubled batch or in two.

        Args:
            x_t: (B, C, ...).
            at: where it is.
            batched: one forward.
            hides: names of those that the second output goes without; None for all that are not :data:`UNGUIDED`.

        Raises:
            ConditionError: there is nothing of that to hide.
        """
        if hides not in self._nulls:
            self._nulls[hides] = self._null(hides)
        null = self._nulls[hides]
        if not batched:
            return self.output(x_t, at), self._run(x_t, at, ("null", hides), {**self.cond, **null})
        if hides not in self._doubled:
            self._doubled[hides] = {
                name: torch.cat([one, null.get(name, one)]) for name, one in self._tensors().items()
            }
        out = self._run(torch.cat([x_t, x_t]), at, ("both", hides), {**self.cond, **self._doubled[hides]})
        with_cond, without = out.chunk(2)
        return with_cond, without

    def label(self, x_t: Tensor, at: GridPoint) -> Tensor:
        """(B,) what the network is told about the time of x_t: (B, ...)."""
        return self._full(float(self.parameterization.c_noise(at.t, at)), x_t)

    def _full(self, label: float, x_t: Tensor) -> Tensor:
        """A label for every row; those of the coming points are made together."""
        # at least float32: bfloat16 would round 999 to 1000
        exact = torch.float64 if x_t.dtype == torch.float64 else torch.float32
        rows = x_t.shape[0]
        kind = (rows, exact, x_t.device)
        if kind != self._kind:
            told = torch.tensor(self._labels, dtype=exact, device=x_t.device)[:, None].repeat(1, rows)
            self._kind, self._told = kind, dict(zip(self._labels, told.unbind(), strict=True))
        found = self._told.get(label)
        return torch.full((rows,), label, dtype=exact, device=x_t.device) if found is None else found

    def predict(self, out: Tensor, x_t: Tensor, at: GridPoint) -> Prediction:
        """Read a raw output."""
        return self.parameterization.predict(out, x_t, at)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.cond.items() if isinstance(value, Tensor)}

    def _null(self, hides: Hides) -> dict[str, Tensor]:
        """The nulls of what is hidden."""
        tensors = self._tensors()
        for name in hides or ():
            if name not in tensors:
                given = ", ".join(tensors) or "none"
                raise ConditionError(f"guidance hides {name!r}, which is not among the conditions: {given}")
        names = [name for name in tensors if name not in UNGUIDED] if hides is None else hides
        if not names:
            raise ConditionError("guidance needs a condition to be guided by: pass labels=... (or cond=...)")
        return {name: null_of(tensors[name]) for name in names}

    def _run(self, x_t: Tensor, at: GridPoint, which: tuple[str, Hides], cond: Mapping[str, Any]) -> Tensor:
        if at.alpha == 0 and not self.parameterization.from_pure_noise:
            raise ConditionError(
                f"a network that predicts {type(self.parameterization).__name__.lower()} says nothing about x_0 at "
                "alpha = 0: start below the schedule's end, or use a v, x0 or flow network"
            )
        if at.sigma == 0 and not self.parameterization.from_clean_data:
            raise ConditionError(
                f"a network that predicts {type(self.parameterization).__name__.lower()} says nothing about eps at "
                "sigma = 0: start or end above clean data, or use an eps, v or flow network"
            )
        if self.estimate is not None:
            # for each half of a doubled batch; max, since a batch may be empty
            times = len(x_t) // max(1, len(self.estimate))
            cond = {**cond, "self_cond": torch.cat([self.estimate] * times) if times > 1 else self.estimate}
        label = float(self.parameterization.c_noise(at.t, at))
        if self._ahead is not None:
            if which not in self._prepared:
                self._prepared[which] = Prepared(self._ahead, cond, self._labels, x_t, self.dtype)
            cond = {**cond, "prepared": self._prepared[which].at(label)}
        return ask(
            self.network,
            self.parameterization,
            x_t,
            self._full(label, x_t),
            self.parameterization.c_in(at),
            cond,
            self.dtype,
        )


class SelfConditioned:
    """A walk's last estimate of x_0, as guided and clipped, shown to the network with the next x_t.

    The first call of a walk shows nothing (Chen et al. 2022, algorithm 2). What is remembered belongs to one walk:
    each takes one of its own.

    Args:
        denoise: the model under its guidance.
        model: the bare model in there.
    """

    def __init__(self, denoise: Denoise, model: Bound) -> None:
        self._denoise, self._model = denoise, model

    def __call__(self, x_t: Tensor, at: GridPoint, /) -> Prediction:
        prediction = self._denoise(x_t, at)
        self._model.estimate = prediction.x_0.detach()
        return prediction


class Mixed:
    """A guidance that mixes raw outputs and does nothing else: the parameterization reads the mixture.

    Args:
        mix: ``mix(x_t, at) -> out``, the mixture.
        parameterization: what it means.
    """

    def __init__(self, mix: Callable[[Tensor, GridPoint], Tensor], parameterization: Parameterization) -> None:
        self.output, self.parameterization = mix, parameterization

    def __call__(self, x_t: Tensor, at: GridPoint, /) -> Prediction:
        return self.parameterization.predict(self.output(x_t, at), x_t, at)


def ask(
    network: Network,
    parameterization: Parameterization,
    x_t: Tensor,
    label: Tensor,
    c_in: Tensor | float,
    cond: Mapping[str, Any],
    dtype: torch.dtype | None,
) -> Tensor:
    """The raw output for x_t: (B, C, ...), in x_t's dtype: the one place where a network is called.

    Args:
        network: ``network(x, label, **cond)``.
        parameterization: tells whether there are twice the channels.
        x_t: what the network sees c_in times.
        label: (B,) what it gets as its ``t``.
        c_in: a number, or shaped to multiply x_t.
        cond: its conditions.
        dtype: what it computes in; None for x_t's.

    Raises:
        ShapeError: when the output has another shape.
    """
    # Casts that change nothing would cost as much as a step of some samplers
    exact = torch.float64 if x_t.dtype == torch.float64 else torch.float32
    if label.dtype != exact:
        # at least float32: bfloat16 would round 999 to 1000
        label = label.to(exact)
    x = x_t if isinstance(c_in, float) and c_in == 1.0 else x_t * c_in
    if dtype is not None and x.dtype != dtype:
        x = x.to(dtype)
    out = network(x, label, **cond)
    wanted = x_t.shape
    if parameterization.learned_variance:
        wanted = torch.Size((*wanted[:1], *(2 * channels for channels in wanted[1:2]), *wanted[2:]))
    if out.shape != wanted:
        raise ShapeError(
            f"the network made {tuple(out.shape)} of x of shape {tuple(x_t.shape)}; expected the same shape, or "
            "twice the channels under a parameterization with learned_variance: true"
        )
    return out if out.dtype == x_t.dtype else out.to(x_t.dtype)


def null_of(value: Tensor) -> Tensor:
    """The null of a condition: label -1 for whole numbers, an all-zero row otherwise."""
    # int64, since an unsigned type would turn -1 into a class
    return torch.zeros_like(value) if value.is_floating_point() else torch.full_like(value, -1, dtype=torch.int64)


class Guidance(ABC):
    """A wrapper Denoise -> Denoise. Several are applied in the order given.

    Attributes:
        splits: whether it gives x_0 and eps that do not belong together, as CFG++ does.
        takes: conditions that it reads itself, which the network need not know.
        copies: how many rows it asks of the network at once for each sample; a property where it depends on the
            settings.
    """

    splits: ClassVar[bool] = False
    copies: ClassVar[int] = 1
    takes: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        """Guide a model.

        Args:
            denoise: the model as guided so far.
            model: the bare model, for raw outputs with and without conditions.
        """

    def holds(self, x: Tensor) -> int:
        """Bytes that it holds at its peak for one sample, x: (1, ...), beside what the model's network does."""
        return 0


def guided(model: Bound, guidance: Guidance | Sequence[Guidance] | None) -> Denoise:
    """The model under one guidance, several, or none."""
    denoise: Denoise = model
    for one in [] if guidance is None else [guidance] if isinstance(guidance, Guidance) else guidance:
        denoise = one(denoise, model)
    return denoise
