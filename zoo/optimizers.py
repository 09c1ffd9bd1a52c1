"""The optimizers of training."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim

Parameters = Iterable[nn.Parameter]


def adam(
    *,
    parameters: Parameters,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> optim.Optimizer:
    """Adam (Kingma & Ba 2015, algorithm 1), which DDPM and EDM were trained with.

    Args:
        parameters: of the model.
        learning_rate: at the top of its schedule.
        betas: decay of the running mean and of the running square of the gradient.
        eps: added to the root of the running square.
    """
    return optim.Adam(parameters, lr=learning_rate, betas=betas, eps=eps)


def adamw(
    *,
    parameters: Parameters,
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


def adafactor(
    *,
    parameters: Parameters,
    learning_rate: float,
    beta2_decay: float = -0.8,
    update_clip: float = 1.0,
    weight_decay: float = 0.0,
) -> optim.Optimizer:
    """Adafactor: the running square of a matrix is kept as its row and column sums (Shazeer & Stern 2018, algorithm 4).

    Its state is a small part of the model's size, where Adam's is twice that.

    Args:
        parameters: of the model.
        learning_rate: at the top of its schedule; steps are relative to the size of the weights, so it is larger than
            Adam's, about 1e-2.
        beta2_decay: the square at update t decays by 1 - t^beta2_decay.
        update_clip: what the root mean square of an update is cut to.
        weight_decay: per unit of learning rate.
    """
    return optim.Adafactor(
        parameters, lr=learning_rate, beta2_decay=beta2_decay, d=update_clip, weight_decay=weight_decay
    )


def sgd(
    *,
    parameters: Parameters,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> optim.Optimizer:
    """Stochastic gradient descent with momentum.

    Args:
        parameters: of the model.
        learning_rate: at the top of its schedule.
        momentum: share of the last step that is made again.
        nesterov: whether the gradient counts as if that had been made already (Sutskever et al. 2013).
        weight_decay: per unit of learning rate.
    """
    return optim.SGD(parameters, lr=learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
