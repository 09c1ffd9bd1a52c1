"""The optimizers of training."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim


def adamw(
    *,
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

    Args:
        parameters: of the model.
        learning_rate: at the top of its schedule.
        betas: decay of the running mean and of the running square of the gradient.
        eps: added to the root of the running square.
        weight_decay: per unit of learning rate.
    """
    return optim.AdamW(parameters, lr=learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)
