"""The bound that trains a learned variance, against sums and integrals done another way."""

from __future__ import annotations

import math

import pytest
import torch

from registry import schedules
from zoo.core.diffusion import Diffusion
from zoo.core.parameterization import Prediction
from zoo.core.variational import bound, posterior_variances
from zoo.schedules.beta import Linear

SCHEDULE = Linear(steps=100, beta_end=0.2)


def prediction(x_0: torch.Tensor, v: float) -> Prediction:
    return Prediction(lambda: x_0, lambda: x_0, torch.full_like(x_0, v))


def test_is_zero_for_the_true_posterior() -> None:
    x_0, x_t = torch.rand(3, 1, 4, dtype=torch.float64), torch.randn(3, 1, 4, dtype=torch.float64)
    t = torch.tensor([1.0, 40.0, 99.0], dtype=torch.float64)
    # v = -1 is the small variance, which is the variance of the true posterior
    assert bound(prediction(x_0, -1.0), x_0, x_t, SCHEDULE, t).abs().max() < 1e-12


@pytest.mark.parametrize("v", [-0.5, 0.3, 1.0])
def test_equals_the_divergence_of_two_normal_distributions(v: float) -> None:
    x_0, guess, x_t = (torch.randn(2, 5, dtype=torch.float64) for _ in range(3))
    t = torch.tensor([7.0, 60.0], dtype=torch.float64)
    beta, beta_tilde = posterior_variances(SCHEDULE(t).like(x_0), SCHEDULE(t - 1).like(x_0))
    f = (v + 1) / 2
    variance = beta**f * beta_tilde ** (1 - f)
    to_x_0 = SCHEDULE(t - 1).like(x_0).alpha * beta / SCHEDULE(t).like(x_0).sigma ** 2
    true = torch.distributions.Normal(to_x_0 * x_0, beta_tilde.sqrt().expand_as(x_0))
    model = torch.distributions.Normal(to_x_0 * guess, variance.sqrt().expand_as(x_0))
    expected = torch.distributions.kl_divergence(true, model).mean(1) / math.log(2)
    # x_t enters both means alike, so that only the guesses of x_0 tell them apart
    torch.testing.assert_close(bound(prediction(guess, v), x_0, x_t, SCHEDULE, t), expected, rtol=1e-10, atol=0)


def test_bins_at_time_zero_share_out_all_the_mass() -> None:
    values = torch.linspace(-1, 1, 256, dtype=torch.float64).reshape(-1, 1)
    guess, x_t = torch.full_like(values, 0.2), torch.full_like(values, 0.2)
    t = torch.zeros(256, dtype=torch.float64)
    mass = (-bound(prediction(guess, 0.0), values, x_t, SCHEDULE, t) * math.log(2)).exp().sum()
    # 256 bins whose likelihood is clamped at 1e-12 each
    assert float(mass) == pytest.approx(1.0, abs=1e-9)


def test_trains_the_variance_and_leaves_the_mean_to_the_squared_error() -> None:
    weight = torch.zeros(2, requires_grad=True)

    def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.cat([x * 0 + weight[0], x * 0 + weight[1]], dim=1)

    model = Diffusion.wrap(network, schedule=SCHEDULE, parameterization={"name": "eps", "learned_variance": True})
    x_0, eps = torch.rand(4, 1, 3, 3), torch.randn(4, 1, 3, 3)
    model.loss(x_0, t=50, eps=eps).mean().backward()
    assert weight.grad is not None
    mean_alone = 2 * (0 - eps).mean()
    assert float(weight.grad[0]) == pytest.approx(float(mean_alone), rel=1e-4)
    assert float(weight.grad[1]) != 0


def test_float32_data_has_coefficients_of_float64() -> None:
    schedule = schedules.build({"name": "cosine", "steps": 4000})
    generator = torch.Generator().manual_seed(0)
    x_0, guess, x_t = torch.randn(3, 6, 50, generator=generator, dtype=torch.float64).clamp(-1, 1)
    t = torch.tensor([1.0, 3, 40, 400, 2000, 3900], dtype=torch.float64)
    exact = bound(prediction(guess, 0.2), x_0, x_t, schedule, t)
    single = bound(prediction(guess.float(), 0.2), x_0.float(), x_t.float(), schedule, t)
    # sums of 50 numbers and a difference of means in float32; coefficients in float32 leave 8e-5
    torch.testing.assert_close(single.double(), exact, rtol=2e-5, atol=0)
