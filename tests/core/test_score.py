"""A guidance gradient reaches every sampler: ddpm adds it to the mean, others take it as part of eps."""

from __future__ import annotations

import pytest
import torch

import registry
import zoo
from zoo.core.bound import Bound, Guidance
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction
from zoo.core.sampler import Denoise


class Toward(Guidance):
    """grad log p(y | x_t) of a Gaussian classifier around a point."""

    def __init__(self, point: float) -> None:
        self.point = point

    def __call__(self, denoise: Denoise, model: Bound) -> Denoise:
        def guided(x_t: torch.Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            return Prediction(lambda: raw.x_0, lambda: raw.eps, raw.var, self.point - x_t)

        return guided


@pytest.mark.parametrize("sampler", registry.samplers.names())
def test_moves_the_samples(sampler: str) -> None:
    model = zoo.build("tiny-gaussian")
    settings = {"sampler": sampler, "steps": 20, "spacing": {"name": "log-snr", "sigma_max": 40.0}}
    plain = zoo.sample(model, 16, guidance=(), **settings)
    guided = zoo.sample(model, 16, guidance=Toward(3.0), **settings)
    assert float((guided - plain).mean()) > 0.5


def test_folds_as_the_formula_says() -> None:
    model = zoo.build("tiny-gaussian")
    x_T = torch.randn(4, 2, dtype=torch.float64)
    (start, end) = zoo.walk(model, x_T=x_T, sampler="ddim", times=[500.0, 400.0], guidance=Toward(1.0))
    raw = model.bind()(x_T, start.at)
    eps = raw.eps - start.at.sigma * (1.0 - x_T)
    x_0 = (x_T - start.at.sigma * eps) / start.at.alpha
    torch.testing.assert_close(end.x_t, end.at.alpha * x_0 + end.at.sigma * eps)
