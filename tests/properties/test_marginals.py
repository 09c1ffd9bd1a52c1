"""Stochastic samplers on Gaussian data: every state is Gaussian, and its mean and variance have a linear recursion.

The recursions below are written from the papers' formulas, not from the samplers: a step is x_s = A x_t + b + sd z
because the exact denoiser of a Gaussian is affine in x_t.
"""

import itertools
import math

import pytest
import torch

import zoo

MEAN = torch.tensor([0.4, -0.8], dtype=torch.float64)
VAR = torch.tensor([0.3, 0.02], dtype=torch.float64)
DRAWS = 100_000


def model(**parameterization):
    return zoo.build(
        {
            "shape": [2],
            "denoiser": {"name": "gaussian", "mean": MEAN.tolist(), "var": VAR.tolist()},
            "schedule": "linear",
            "parameterization": {"name": "eps", **parameterization},
        }
    )


def affine_x_0(now):
    """x_0 = slope x_t + offset."""
    slope = now.alpha * VAR / (now.alpha**2 * VAR + now.sigma**2)
    return slope, MEAN - slope * now.alpha * MEAN


def ddim_step(eta):
    """Song et al. 2021, eq. 12 and 16, in alpha_bar."""

    def step(now, next, last):
        slope, offset = affine_x_0(now)
        a, b = now.alpha**2, next.alpha**2
        c = eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b)
        rest = math.sqrt(max(0.0, 1 - b - c * c))
        eps_slope, eps_offset = (1 - now.alpha * slope) / now.sigma, -now.alpha * offset / now.sigma
        return next.alpha * slope + rest * eps_slope, next.alpha * offset + rest * eps_offset, c

    return step


def ddpm_step(variance):
    """Ho et al. 2020, eq. 6 and 7, in alpha_bar and beta."""

    def step(now, next, last):
        slope, offset = affine_x_0(now)
        a, b = now.alpha**2, next.alpha**2
        beta = 1 - a / b
        to_x_0 = math.sqrt(b) * beta / (1 - a)
        to_x_t = math.sqrt(1 - beta) * (1 - b) / (1 - a)
        spread = 0.0 if last else variance(beta, (1 - b) / (1 - a) * beta)
        return to_x_0 * slope + to_x_t, to_x_0 * offset, math.sqrt(spread)

    return step


def learned(beta, beta_tilde, f=0.75):
    """Nichol & Dhariwal 2021, eq. 15."""
    return math.exp(f * math.log(beta) + (1 - f) * math.log(beta_tilde))


CASES = {
    "ddpm-fixed-small": ({"name": "ddpm"}, ddpm_step(lambda beta, tilde: tilde)),
    "ddpm-fixed-large": ({"name": "ddpm", "variance": "fixed-large"}, ddpm_step(lambda beta, tilde: beta)),
    "ddpm-learned-range": ({"name": "ddpm", "variance": "learned-range"}, ddpm_step(learned)),
    "ddim-eta-0": ({"name": "ddim"}, ddim_step(0.0)),
    "ddim-eta-0.5": ({"name": "ddim", "eta": 0.5}, ddim_step(0.5)),
    "ddim-eta-1": ({"name": "ddim", "eta": 1.0}, ddim_step(1.0)),
}


@pytest.mark.parametrize("case", CASES)
def test_mean_and_covariance_follow_their_recursion(case):
    sampler, step = CASES[case]
    exact = model()
    if case == "ddpm-learned-range":

        def network(x, t):
            """The exact noise, and v = 1/2, that is f = 3/4, as the second half."""
            return torch.cat([exact.denoiser(x, t), torch.full_like(x, 0.5)], 1)

        parameterization = {"name": "eps", "learned_variance": True}
        walked = zoo.Diffusion.wrap(network, schedule="linear", parameterization=parameterization, shape=(2,))
    else:
        walked = exact

    generator = torch.Generator().manual_seed(6)
    x_T = torch.randn(DRAWS, 2, generator=generator, dtype=torch.float64)

    def noise(x, now, next):
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    moments = list(zoo.walk(walked, x_T=x_T, sampler=sampler, steps=8, noise=noise))
    mean, var = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    for before, after in itertools.pairwise(moments):
        slope, offset, spread = step(before.at, after.at, after.index == after.total)
        mean, var = slope * mean + offset, slope**2 * var + spread**2
        found = torch.cov(after.x_t.T)
        # 4 standard errors of a mean, a variance and a covariance of so many normal draws
        assert ((after.x_t.mean(0) - mean).abs() <= 4 * (var / DRAWS).sqrt()).all()
        assert ((found.diagonal() - var).abs() <= 4 * var * math.sqrt(2 / DRAWS)).all()
        assert abs(float(found[0, 1])) <= 4 * float((var[0] * var[1] / DRAWS).sqrt())
