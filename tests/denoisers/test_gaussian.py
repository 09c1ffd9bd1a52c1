import math

import pytest
import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.core.schedule import Marginal, Schedule
from zoo.denoisers.gaussian import Gaussian, GaussianMixture, posterior
from zoo.parameterizations import X0, Edm, Eps, Flow, V

MEANS = [[-1.0, 0.5], [0.25, -0.75], [1.5, 1.0]]
VARIANCES = [[0.04, 0.3], [0.2, 0.1], [0.5, 0.02]]
WEIGHTS = [0.5, 0.2, 0.3]


class Angle(Schedule):
    """alpha = cos, sigma = sin of a quarter turn."""

    t_clean, t_max = 0.0, 1.0

    def __call__(self, t: Tensor) -> Marginal:
        angle = t.double() * (math.pi / 2)
        return Marginal(angle.cos(), angle.sin())

    def inverse(self, nsr: Tensor) -> Tensor:
        return nsr.double().atan() / (math.pi / 2)


def mixture(parameterization=None, **arguments):
    data = {"means": MEANS, "variances": VARIANCES, "weights": WEIGHTS, **arguments}
    return GaussianMixture(shape=(2,), schedule=Angle(), parameterization=parameterization or X0(), **data)


def gaussian(parameterization=None, shape=(2,), **arguments):
    return Gaussian(shape=shape, schedule=Angle(), parameterization=parameterization or X0(), **arguments)


def statistics():
    return (torch.tensor(numbers, dtype=torch.float64) for numbers in (WEIGHTS, MEANS, VARIANCES))


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.4), (0.3, 0.95), (1.0, 3.0)])
def test_posterior_against_bayes_on_a_fine_lattice(alpha, sigma):
    weights, means, variances = statistics()
    x_t = torch.tensor([[0.3, -0.2], [-1.0, 0.8]], dtype=torch.float64)
    line = torch.linspace(-6, 6, 801, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    off = points[:, None] - means
    density = (weights * torch.exp(-(off**2 / variances).sum(-1) / 2) / variances.prod(-1).sqrt()).sum(-1)
    x_0, eps = posterior(x_t, alpha, sigma, weights, means, variances)
    for seen, mean, noise in zip(x_t, x_0, eps, strict=True):
        likelihood = density * torch.exp(-((seen - alpha * points) ** 2).sum(-1) / (2 * sigma**2))
        expected = (likelihood[:, None] * points).sum(0) / likelihood.sum()
        # sums of smooth, fast falling functions on a lattice are exact far beyond 1e-9
        torch.testing.assert_close(mean, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(noise, (seen - alpha * expected) / sigma, rtol=0, atol=1e-9)


def test_posterior_at_both_ends():
    weights, means, variances = statistics()
    x = torch.tensor([[0.3, -0.2], [4.0, -9.0]], dtype=torch.float64)
    x_0, eps = posterior(x, 0.5, 0.0, weights, means, variances)
    torch.testing.assert_close(x_0, x / 0.5, rtol=1e-14, atol=0)
    assert torch.equal(eps, torch.zeros_like(eps))
    x_0, eps = posterior(x, 0.0, 2.0, weights, means, variances)
    torch.testing.assert_close(x_0, (weights @ means).expand(2, 2), rtol=0, atol=1e-15)
    torch.testing.assert_close(eps, x / 2, rtol=1e-15, atol=0)


@pytest.mark.parametrize("sigma", [1e-8, 1e-3, 1.0, 1e4])
def test_posterior_far_away_is_finite_and_adds_up(sigma):
    x = torch.tensor([[300.0, -200.0], [1e-3, 0.0]], dtype=torch.float64)
    x_0, eps = posterior(x, 0.7, sigma, *statistics())
    torch.testing.assert_close(0.7 * x_0 + sigma * eps, x, rtol=1e-12, atol=1e-12)


def test_a_mixture_of_one_is_a_gaussian():
    one = mixture(means=[[0.5, -1.0]], variances=[[0.3, 0.1]], weights=None)
    same = gaussian(mean=[0.5, -1.0], var=[0.3, 0.1])
    x, t = torch.randn(4, 2, dtype=torch.float64), torch.tensor([0.0, 0.3, 0.8, 0.99])
    torch.testing.assert_close(one(x, t), same(x, t), rtol=0, atol=1e-14)


@pytest.mark.parametrize("parameterization", [Eps(), X0(), V(), Flow(), Edm(sigma_data=0.7)])
@pytest.mark.parametrize("build", [mixture, gaussian])
def test_every_parameterization_reads_the_same_posterior(build, parameterization):
    model, schedule = build(parameterization), Angle()
    x_t, t = torch.randn(3, 2, dtype=torch.float64), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    m = schedule(t).like(x_t)
    out = model(parameterization.c_in(m) * x_t, parameterization.c_noise(t, schedule(t)))
    prediction = parameterization.predict(out, x_t, m)
    x_0, eps = model.denoise(x_t, m.alpha, m.sigma)
    torch.testing.assert_close(prediction.x_0, x_0, rtol=0, atol=1e-12)
    torch.testing.assert_close(prediction.eps, eps, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("start", "end"), [(0.95, 0.0), (1.0, 0.3), (0.0, 1.0)])
def test_ode_solution_against_a_fine_runge_kutta_walk(start, end):
    model = gaussian(mean=[0.5, -1.0], var=[0.3, 0.05])
    schedule = Angle()
    x = torch.tensor([[0.4, -1.3], [2.0, 0.1]], dtype=torch.float64)

    def slope(x, t):
        """dx/dt = alpha' x_0 + sigma' eps."""
        at = torch.tensor([t], dtype=torch.float64)
        m = schedule(at).like(x)
        x_0, eps = model.denoise(x, m.alpha, m.sigma)
        return (math.pi / 2) * (m.alpha * eps - m.sigma * x_0)

    steps = 400
    h, walked = (end - start) / steps, x
    for i in range(steps):
        t = start + i * h
        k_1 = slope(walked, t)
        k_2 = slope(walked + h / 2 * k_1, t + h / 2)
        k_3 = slope(walked + h / 2 * k_2, t + h / 2)
        k_4 = slope(walked + h * k_3, t + h)
        walked = walked + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    scales = [float(scale) for t in (start, end) for scale in schedule(torch.tensor(t, dtype=torch.float64))]
    # fourth order at 400 steps
    torch.testing.assert_close(model.ode_solution(x, *scales), walked, rtol=0, atol=1e-8)


def test_samples_have_the_statistics():
    n, generator = 200_000, torch.Generator().manual_seed(0)
    weights, means, variances = statistics()
    draws = mixture().sample(n, generator)
    mean = weights @ means
    var = weights @ (variances + means**2) - mean**2
    # four standard errors
    assert ((draws.mean(0) - mean).abs() < 4 * (var / n).sqrt()).all()
    fourth = (draws - mean).pow(4).mean(0)
    assert ((draws.var(0) - var).abs() < 4 * ((fourth - var**2) / n).sqrt()).all()
    normal = gaussian(mean=0.5, var=[0.3, 0.05]).sample(n, generator)
    assert ((normal.mean(0) - 0.5).abs() < 4 * (torch.tensor([0.3, 0.05]) / n).sqrt()).all()
    assert ((normal.var(0) / torch.tensor([0.3, 0.05]) - 1).abs() < 4 * math.sqrt(2 / n)).all()


def test_draws_follow_the_generator():
    model = mixture()
    one, same, other = (model.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_images_keep_their_shape():
    shape = (3, 4, 4)
    model = GaussianMixture(shape=shape, schedule=Angle(), parameterization=Eps(), components=5, seed=3)
    assert model(torch.randn(2, *shape), torch.tensor(0.5)).shape == (2, *shape)
    assert model.sample(7).shape == (7, *shape)
    per_channel = gaussian(shape=shape, mean=[[[0.0]], [[1.0]], [[2.0]]])
    assert per_channel.sample(2).shape == (2, *shape)


@pytest.mark.parametrize("build", [mixture, gaussian])
def test_statistics_keep_their_digits(build):
    model = build()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert not list(model.parameters())
    x, t = torch.randn(2, 2, dtype=torch.float64), torch.tensor([0.1, 0.6])
    exact = model(x, t)
    model.half().to("cpu", torch.float32)
    for name, buffer in model.named_buffers():
        assert buffer.dtype == torch.float64
        assert torch.equal(buffer, before[name])
    assert torch.equal(model(x, t), exact)
    # float32 arithmetic; bfloat16 computes in float32 and rounds the result (and x)
    torch.testing.assert_close(model(x.float(), t), exact.float(), rtol=1e-4, atol=1e-5)
    assert model(x.bfloat16(), t).dtype == torch.bfloat16
    assert set(model.state_dict()) == set(before)
    assert {buffer.device.type for buffer in model.to("meta").buffers()} == {"meta"}


def test_built_on_the_meta_device_it_still_knows_its_numbers():
    with torch.device("meta"):
        model = mixture()
    torch.testing.assert_close(model.means, torch.tensor(MEANS, dtype=torch.float64))


def test_the_ring():
    ring = GaussianMixture(shape=(3,), schedule=Angle(), parameterization=X0(), components=4)
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    torch.testing.assert_close(ring.means, expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(ring.weights, torch.full((4,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (gaussian, {"var": 0.0}, "var must be finite and positive, got 0.0"),
        (gaussian, {"mean": math.nan}, "mean must be finite, got nan"),
        (
            gaussian,
            {"mean": [1.0, 2.0, 3.0]},
            "mean must be a number or nested lists of numbers that broadcast to (2,)",
        ),
        (
            mixture,
            {"weights": [0.5, 0.5]},
            "weights must be a number or nested lists of numbers that broadcast to (3,)",
        ),
        (mixture, {"weights": [0.5, 0.5, -1]}, "weights must be finite and positive, got [0.5, 0.5, -1]"),
        (
            mixture,
            {"means": None, "components": 0},
            "a ring needs components >= 1 and samples of at least 2 numbers, got components = 0 and samples "
            "of 2; give means, or a seed",
        ),
        (mixture, {"means": None, "components": 0, "seed": 1}, "components must be at least 1, got 0"),
        (
            gaussian,
            {"parameterization": Eps(learned_variance=True)},
            "an analytic denoiser learns no variance; set learned_variance: false",
        ),
    ],
)
def test_what_cannot_be_built(build, arguments, message):
    with pytest.raises(ArgumentValueError) as caught:
        build(**arguments)
    assert str(caught.value) == message


def test_wrong_shape():
    with pytest.raises(ShapeError) as caught:
        gaussian()(torch.zeros(4, 3), torch.zeros(4))
    assert str(caught.value) == "Gaussian expects x of shape (B, 2), got (4, 3)"
