"""The variational bound of one reverse step: what trains a learned variance (Nichol & Dhariwal 2021, section 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.core.parameterization import Prediction
from zoo.core.schedule import Marginal, Schedule

_BITS = math.log(2)


def posterior_variances(now: Marginal, next: Marginal) -> tuple[Tensor, Tensor]:
    """beta and beta_tilde of the step from ``now`` down to ``next``; see the ``ddpm`` sampler for the formulas."""
    a = now.alpha / next.alpha
    beta = now.sigma**2 - a**2 * next.sigma**2
    return beta, next.sigma**2 / now.sigma**2 * beta


def bound(
    prediction: Prediction, x_0: Tensor, x_t: Tensor, schedule: Schedule, t: Tensor, *, bins: int = 255
) -> Tensor:
    """One term of the bound, in bits for each number: (B,).

    KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) with log variance f log beta + (1 - f) log beta_tilde,
    f = (v + 1) / 2; at t = 0 it is -log p(x_0 | x_t), a Gaussian over ``bins`` equal bins of [-1, 1] with open ends.
    The mean is not trained by it: no gradient flows through it (eq. 16).

    Args:
        prediction: with its raw variance.
        x_0: (B, ...) clean data.
        x_t: (B, ...) at t.
        schedule: a discrete one.
        t: (B,) whole times.
        bins: values of the data, less one.
    """
    assert prediction.var is not None
    now, next = schedule(t), schedule(t - 1)
    # beta is a difference of numbers that are nearly the same: all of them in float64, and then cast
    beta, _ = posterior_variances(now, next)
    a = now.alpha / next.alpha
    # beta_tilde is 0 at t = 0; the one of t = 1 stands in
    second = t.clamp(min=1)
    tilde = posterior_variances(schedule(second), schedule(second - 1))[1]
    to_x_0, to_x_t, log_beta, log_tilde, last = (
        one.reshape(-1, *[1] * (x_0.ndim - 1)).to(x_0)
        for one in (
            next.alpha * beta / now.sigma**2,
            a * next.sigma**2 / now.sigma**2,
            beta.log(),
            tilde.log(),
            next.sigma == 0,
        )
    )
    true_mean = to_x_0 * x_0 + to_x_t * x_t
    mean = to_x_0 * prediction.x_0.detach() + to_x_t * x_t
    f = (prediction.var + 1) / 2
    log_variance = f * log_beta + (1 - f) * log_tilde
    off = (true_mean - mean) ** 2
    kl = 0.5 * (log_variance - log_tilde - 1 + (log_tilde - log_variance).exp() + off * (-log_variance).exp())
    nll = -_log_likelihood(x_0, mean, (0.5 * log_variance).exp(), bins)
    return torch.where(last > 0, nll, kl).flatten(1).mean(1) / _BITS


def _log_likelihood(x_0: Tensor, mean: Tensor, std: Tensor, bins: int) -> Tensor:
    """log of the mass that N(mean, std^2) puts on x_0's bin of [-1, 1]; the outer bins are open (Ho et al., eq. 13)."""
    half = 1 / bins
    above = torch.special.ndtr((x_0 + half - mean) / std)
    below = torch.special.ndtr((x_0 - half - mean) / std)
    above = torch.where(x_0 > 1 - half, 1.0, above)
    below = torch.where(x_0 < -1 + half, 0.0, below)
    return (above - below).clamp(min=1e-12).log()
