"""Classifier-free guidance: the difference that the conditions make, exaggerated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.core.bound import UNGUIDED, Bound, ConditionError, Guidance, Hides, Mixed
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise


@dataclass(frozen=True, kw_only=True)
class CFG(Guidance):
    """Classifier-free guidance on the raw outputs: out = u + scale (c - u) (Ho & Salimans 2022, eq. 6).

    c is the output under the conditions, u without. The paper writes w for scale - 1. It starts from the raw outputs,
    so it stands first among several.

    Args:
        scale: 1 is no guidance, which skips the second half; 0 is unconditional.
        channels: guide the first so many channels only and take the others from c; None guides all.
        rescale: share of out that is brought back to the standard deviation of c, per sample over what is guided:
            rescale std(c) / std(out) out + (1 - rescale) out (Lin et al. 2024, eq. 15 and 16). Large scales, and
            schedules that end in pure noise, wash out without it; they take 0.7.
        batched: ask for c and u in one forward of the doubled batch; else in two, which need half the memory.
        hides: names of the conditions that u goes without: ``[low_res]`` follows the picture that is enlarged more
            closely, if training.low_res_dropout hid it (Brooks et al. 2023, section 3.2.1). None hides all but
            augment, lengths, low_res and self_cond.
    """

    scale: float = 2.0
    channels: int | None = None
    rescale: float = 0.0
    batched: bool = True
    hides: Hides = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale:g}")
        fixed = (set(UNGUIDED) - {"low_res"}).intersection(self.hides or ())
        if fixed or self.hides == ():
            raise ValueError(
                f"hides names conditions of the data, such as labels or low_res, got {list(self.hides or ())}"
            )
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"rescale must lie in 0..1, got {self.rescale:g}")

    @property
    def copies(self) -> int:  # type: ignore[override]  # the settings decide
        """The row with the conditions and the one without, when they are asked for together."""
        return 2 if self.batched and self.scale != 1 else 1

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        if self.scale == 1:
            return denoise
        refuse_second("cfg", denoise, model)

        def mix(x_t: Tensor, at: GridPoint) -> Tensor:
            c, u = model.pair(x_t, at, batched=self.batched, hides=self.hides)
            # A learned variance is a property of the step, not of the class: it stays as it is
            means = c.shape[1] // 2 if model.parameterization.learned_variance else c.shape[1]
            count = means if self.channels is None else self.channels
            guided = u[:, :count] + self.scale * (c[:, :count] - u[:, :count])
            if self.rescale:
                guided = guided * (1 + self.rescale * (_ratio(c[:, :count], guided) - 1))
            out = c.clone()
            out[:, :count] = guided
            return out

        return Mixed(mix, model.parameterization)


@dataclass(frozen=True, kw_only=True)
class CFGpp(Guidance):
    """CFG++: the guided x_0, noised again with the eps that the network sees without conditions.

    x_s = alpha_s x_0(u + scale (c - u)) + sigma_s eps(u), an interpolation for scale in 0..1 where plain guidance
    extrapolates (Chung et al. 2024, algorithm 2). Only rules that set x_s together from x_0 and eps can take it.

    Args:
        scale: from 0, unconditional, to 1.
        batched: ask for c and u in one forward of the doubled batch; else in two, which need half the memory.
    """

    scale: float = 0.6
    batched: bool = True
    splits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.scale <= 1:
            raise ValueError(f"scale must lie in 0..1, got {self.scale:g}; for larger ones take cfg")

    @property
    def copies(self) -> int:  # type: ignore[override]  # a setting decides
        """The row with the conditions and the one without, when they are asked for together."""
        return 2 if self.batched else 1

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        refuse_second("cfg-pp", denoise, model)

        def guide(x_t: Tensor, at: GridPoint, /) -> Prediction:
            c, u = model.pair(x_t, at, batched=self.batched)
            guided, without = model.predict(u + self.scale * (c - u), x_t, at), model.predict(u, x_t, at)
            return Prediction(lambda: guided.x_0, lambda: without.eps, without.var)

        return guide


def refuse_second(name: str, denoise: Denoise, model: Bound) -> None:
    """A guidance that asks the model for raw outputs would undo what stands before it.

    Raises:
        ConditionError: something does.
    """
    if denoise is not model:
        raise ConditionError(
            f"guidance: {name} works on the raw outputs and would undo what stands before it: put it first, or, where "
            "it stands in another, there alone, such as {name: interval, guidance: {name: cfg, scale: 2}}"
        )


def _ratio(c: Tensor, guided: Tensor) -> Tensor:
    """std(c) / std(guided) per sample, 1 where guided is constant."""
    std, wanted = (one.flatten(1).std(1) for one in (guided, c))
    ratio = (wanted / std).where(std > 0, 1.0)
    return ratio.reshape(-1, *[1] * (c.ndim - 1))
