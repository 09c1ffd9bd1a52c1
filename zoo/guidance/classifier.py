"""Classifier guidance: uphill on what a classifier of noisy data says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.core.bound import Bound, ConditionError, Guidance
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise
from zoo.loading import load
from zoo.tracing import trace


@dataclass(frozen=True, kw_only=True)
class Classifier(Guidance):
    """score = scale grad log p(labels | x_t) (Dhariwal & Nichol 2021, algorithms 1 and 2).

    Ancestral sampling adds variance * score to its mean; other rules take eps - sigma score for eps. The classifier
    was trained on data with noise, sees the times that the network sees, and is given the samples' ``labels``, which
    the network itself need not take.

    Args:
        model: file of the classifier, or the module itself, ``model(x_t, t) -> logits (B, classes)``.
        scale: 1 samples from p(x) p(y | x); larger is sharper.
    """

    model: str | nn.Module
    scale: float = 1.0
    takes: ClassVar[frozenset[str]] = frozenset({"labels"})

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale:g}")

    @cached_property
    def _network(self) -> nn.Module:
        """Read once, however many parts a batch has."""
        network: nn.Module = load(self.model) if isinstance(self.model, str) else self.model
        return network

    def holds(self, x: Tensor) -> int:
        """What the gradient needs."""
        return trace(self._network, tuple(x.shape[1:]), {}, {}).saved_bytes.total()

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        labels = model.given.get("labels")
        if labels is None:
            raise ConditionError("guidance: the classifier needs to know what to look for: pass labels=...")
        network = self._network.eval()

        def guide(x_t: Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            t = model.label(x_t, at)
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                log_p = network(x, t).log_softmax(-1)
                # a sample without a class is not guided
                chosen = log_p.gather(1, labels.clamp(min=0)[:, None])[:, 0].where(labels >= 0, 0.0)
                (gradient,) = torch.autograd.grad(chosen.sum(), x)
            score = self.scale * gradient
            if raw.score is not None:
                score = score + raw.score
            return Prediction(lambda: raw.x_0, lambda: raw.eps, raw.var, score)

        return guide
