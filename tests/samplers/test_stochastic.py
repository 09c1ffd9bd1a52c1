"""Stochastic samplers: the law of what they draw, the equations they approach, and the rules that they contain."""

import functools
import math

import pytest
import torch
from parts import label, specs, start

import registry
import zoo
from zoo.core.grid import make_grid

MEAN, VAR = 0.4, 0.3
DRAWS = 50_000
EXTRA = [
    {"name": "dpmpp-sde", "r": 0.7, "s_noise": 1.1},
    {"name": "restart", "intervals": [[0.3, 2.0, 2, 3]]},
    {"name": "sa-solver", "interval": [0.1, 2.0]},
]
# Restart's own interval lies below the walks here
SPECS = [
    spec
    for spec in [*specs("samplers"), *EXTRA]
    if registry.samplers.build(spec).stochastic and spec != {"name": "restart"}
]
every_rule = pytest.mark.parametrize("spec", SPECS, ids=label)


@functools.cache
def gaussian():
    return zoo.build(
        {
            "shape": [1],
            "denoiser": {"name": "gaussian", "mean": MEAN, "var": VAR},
            "schedule": "vp",
            "parameterization": "eps",
        }
    )


def falling(steps, last=0.05):
    """Equal steps in log noise from t = 0.9 to `last`."""
    schedule = gaussian().schedule
    ends = schedule(torch.tensor([0.9, last], dtype=torch.float64)).nsr.log().tolist()
    nsr = torch.linspace(*ends, steps + 1, dtype=torch.float64).exp()
    return make_grid(schedule, schedule.inverse(nsr).tolist())


def response(spec, grid):
    """Every state as an affine function of the start and the draws, and how the draws belong together on one path.

    The exact denoiser of a Gaussian is affine, so one walk of a batch tells all weights: a row with neither start nor
    noise, a row with the start alone, and one for each draw alone.

    Returns:
        (steps + 1, 1 + 1 + draws) weights, the constant first, and (draws, draws) covariances of Brownian increments.
    """
    spans = []

    def walked(x_T, noise):
        moments = zoo.walk(gaussian(), x_T=x_T, sampler=spec, times=grid, noise=noise)
        return torch.stack([moment.x_t[:, 0] for moment in moments])

    def counting(x, now, next):
        spans.append([(at.alpha / at.sigma) ** 2 for at in (now, next)])
        return torch.zeros_like(x)

    walked(torch.zeros(1, 1, dtype=torch.float64), counting)
    units = torch.eye(2 + len(spans), dtype=torch.float64)[:, 1:]
    draws = iter(units[:, 1:].T)
    states = walked(units[:, :1], lambda x, now, to: next(draws)[:, None])
    low, high = torch.tensor(spans, dtype=torch.float64).T
    shared = torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)
    together = shared.clamp(min=0) / ((high - low)[:, None] * (high - low)).sqrt()
    return torch.cat([states[:, :1], states[:, 1:] - states[:, :1]], 1), together


def drawing(seed):
    """Noise from one generator, which is quicker than one a sample."""
    generator = torch.Generator().manual_seed(seed)
    return lambda x, now, next: torch.randn(x.shape, generator=generator, dtype=x.dtype)


@every_rule
def test_draws_follow_the_recursion_of_the_rule(spec):
    """Means and variances, and covariances of the states of all times, to 4 standard errors of so many walks."""
    grid = falling(6)
    weights, _ = response(spec, grid)
    x_T = torch.randn(DRAWS, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moments = zoo.walk(gaussian(), x_T=x_T, sampler=spec, times=grid, noise=drawing(2))
    states = torch.stack([moment.x_t[:, 0] for moment in moments])
    cov, found = weights[:, 1:] @ weights[:, 1:].T, torch.cov(states)
    spread = cov.diagonal()
    assert ((states.mean(1) - weights[:, 0]).abs() <= 4 * (spread / DRAWS).sqrt()).all()
    assert ((found - cov).abs() <= 4 * ((spread[:, None] * spread + cov**2) / DRAWS).sqrt()).all()


def order(spec, *, brownian=False):
    """How fast mean and variance approach those of the data, measured.

    Nothing is drawn: the law of a walk is known exactly, and so is its distance from that of the data.
    """
    errors = []
    for steps in (160, 320):
        grid = falling(steps)
        first, last = grid[0], grid[-1]
        weights, together = response(spec, grid)
        constant, of_start, of_draws = weights[-1, 0], weights[-1, 1], weights[-1, 2:]
        mean = constant + of_start * first.alpha * MEAN
        var = of_start**2 * (first.alpha**2 * VAR + first.sigma**2)
        var += of_draws @ together @ of_draws if brownian else of_draws @ of_draws
        errors.append(abs(float(mean) - last.alpha * MEAN) + abs(float(var) - last.alpha**2 * VAR - last.sigma**2))
    return math.log2(errors[0] / errors[1])


# Errors that no number of steps removes: another variance than the equation's, noise of another size, intervals of
# restarts with steps of their own, and rules for networks that predict something else.
BIASED = {("name", name) for name in ("lcm", "restart", "tcd")} | {
    ("variance", "fixed-large"),
    ("s_noise", 1.1),
    ("s_churn", 5.0),
}
# And a rule that needs the noise of both its stages to be of one path.
OF_ONE_PATH = {("name", "dpmpp-sde")}


def fitting(excluded):
    return [spec for spec in SPECS if not any(spec.get(key) == value for key, value in excluded)]


@pytest.mark.parametrize("spec", fitting(BIASED | OF_ONE_PATH), ids=label)
def test_moments_approach_those_of_the_data_with_the_order_that_is_declared(spec):
    # between two finite grids; the slope may be steeper where the leading terms of mean and variance cancel
    assert order(spec) >= registry.samplers.build(spec).convergence - 0.35


@pytest.mark.parametrize("r", [0.5, 0.7])
def test_dpmpp_sde_needs_brownian_noise_for_its_order(r):
    spec = {"name": "dpmpp-sde", "r": r}
    assert order(spec, brownian=True) >= 1.65
    assert abs(order(spec) - 1) <= 0.35


@every_rule
def test_does_not_mind_that_noise_is_brownian(spec):
    grid = falling(5)
    x_T = torch.randn(3, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"x_T": x_T, "sampler": spec, "times": grid, "noise": "brownian"}
    first, second = (zoo.sample(gaussian(), **options, seed=1) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, zoo.sample(gaussian(), **options, seed=2))


@pytest.fixture(scope="module")
def mixture():
    return zoo.build("tiny-mixture")


@pytest.mark.parametrize("spacing", ["leading", "trailing", {"name": "trailing", "end": "first"}])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "euler-ancestral", "eta": 0.3}, {"name": "ddim", "eta": 0.3}),
        ({"name": "euler-ancestral", "eta": 1.0}, {"name": "ddpm"}),
        ({"name": "euler-ancestral", "eta": 0.0}, {"name": "ddim"}),
        ({"name": "dpm2-ancestral", "eta": 0.0}, {"name": "dpm2"}),
        ({"name": "dpmpp-sde", "eta": 0.0}, {"name": "dpmpp-2s-ancestral", "eta": 0.0}),
        ({"name": "er-sde", "stages": 1, "scale": "sde"}, {"name": "ddim", "eta": 1.0}),
        ({"name": "er-sde", "stages": 1, "scale": "ode"}, {"name": "ddim"}),
        ({"name": "sa-solver", "predictor_order": 1, "corrector_order": 0}, {"name": "ddim", "eta": 1.0}),
        ({"name": "sa-solver", "predictor_order": 1, "corrector_order": 0, "tau": 0.0}, {"name": "ddim"}),
        ({"name": "sa-solver", "tau": 1.0, "interval": [1e6, 1e7]}, {"name": "sa-solver", "tau": 0.0}),
        ({"name": "restart", "intervals": []}, {"name": "heun"}),
        ({"name": "restart", "intervals": [[300.0, 400.0, 3, 3]]}, {"name": "heun"}),
        ({"name": "lcm"}, {"name": "euler-ancestral", "eta": 1e9}),
        ({"name": "tcd", "gamma": 0.0}, {"name": "ddim"}),
    ],
    ids=lambda spec: label(spec) if "name" in spec else None,
)
def test_one_method_under_two_names(one, other, spacing, mixture):
    # float64 with terms of size sigma / alpha up to 1e2: 1e-11 is a thousand roundings
    first, second = (
        zoo.sample(mixture, x_T=start(mixture, 5), sampler=sampler, seed=4, steps=12, spacing=spacing)
        for sampler in (one, other)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-11)


def test_flow_models_take_ancestral_noise():
    """The split is written in alpha and sigma, so pure noise at alpha = 0 is a start like any other."""
    exact = zoo.build("tiny-gaussian", denoiser={"mean": MEAN, "var": VAR}, schedule="flow", parameterization="flow")
    samples = zoo.sample(exact, 2000, sampler="euler-ancestral", steps=100)
    # 4 standard errors of 4000 draws, and the first order of the rule
    assert abs(float(samples.mean()) - MEAN) < 4 * (VAR / 4000) ** 0.5 + 0.01
    assert math.isclose(float(samples.var()), VAR, rel_tol=4 * (2 / 4000) ** 0.5 + 0.03)


class TestRestart:
    def test_goes_up_and_comes_back_where_the_grid_passes(self):
        levels = []

        def network(x, t):
            levels.append(float(t[0]))
            return 0.5 * x

        model = zoo.Diffusion.wrap(network, schedule="edm", parameterization="x0", shape=(2,))
        restart = {"name": "restart", "intervals": [[0.5, 4.0, 2, 3]], "rho": 1.0}
        zoo.sample(model, 1, sampler=restart, times=[10.0, 1.0, 0.4, 0.1])
        # down to 0.4, twice three steps of two evaluations from 4.0 to there, then on
        lap = [4.0, 2.8, 2.8, 1.6, 1.6, 0.4]
        torch.testing.assert_close(levels, [10.0, 1.0, 1.0, 0.4, *lap, *lap, 0.4, 0.1])

    def test_adds_the_noise_between_the_levels(self):
        model = zoo.Diffusion.wrap(lambda x, t: x, schedule="edm", parameterization="x0", shape=(1,))
        restart = {"name": "restart", "intervals": [[0.5, 4.0, 3, 2]]}
        x_T = torch.zeros(20_000, 1, dtype=torch.float64)
        # a network that takes everything for data leaves the noise where it is
        walked = zoo.sample(model, x_T=x_T, sampler=restart, times=[10.0, 0.5, 0.1], noise=drawing(3))
        assert math.isclose(float(walked.var()), 3 * (4.0**2 - 0.5**2), rel_tol=4 * (2 / 20_000) ** 0.5)


class TestSASolver:
    def test_draws_only_where_it_has_noise(self):
        drawn = []

        def noise(x, now, next):
            drawn.append(now.nsr)
            return torch.zeros_like(x)

        grid = falling(20)
        sampler = {"name": "sa-solver", "interval": [0.1, 2.0]}
        zoo.sample(gaussian(), x_T=torch.zeros(1, 1), sampler=sampler, times=grid, noise=noise)
        assert drawn == [at.nsr for at in grid.points[:-1] if 0.1 <= at.nsr <= 2.0]

    def test_is_exact_for_data_that_is_one_point(self):
        """A constant prediction is integrated without error, so noise ends with the variance of its level."""
        point = zoo.Diffusion.wrap(lambda x, t: torch.full_like(x, 0.7), parameterization="x0", schedule="vp")
        grid = falling(4)
        first, last = grid[0], grid[-1]
        x_T = first.alpha * 0.7 + first.sigma * torch.randn(
            DRAWS, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        for orders in ((1, 0), (2, 2), (3, 4)):
            sampler = {"name": "sa-solver", "predictor_order": orders[0], "corrector_order": orders[1]}
            states = zoo.sample(point, x_T=x_T, sampler=sampler, times=grid, noise=drawing(4))
            assert abs(float(states.mean()) - last.alpha * 0.7) < 4 * last.sigma / DRAWS**0.5
            assert math.isclose(float(states.var()), last.sigma**2, rel_tol=4 * (2 / DRAWS) ** 0.5)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_tcd_keeps_the_noise_level(gamma):
    """Down to s and up again: x_p has sigma_p whatever gamma is, if x_0 and eps are right."""
    x_0, grid = 0.7, falling(3)

    def network(x, t):
        at = next(point for point in grid.points if abs(point.t - float(t[0])) < 1e-9)
        return (x - at.alpha * x_0) / at.sigma

    model = zoo.Diffusion.wrap(network, schedule="vp")
    first = grid[0]
    x_T = first.alpha * x_0 + first.sigma * torch.randn(
        DRAWS, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    for moment in zoo.walk(model, x_T=x_T, sampler={"name": "tcd", "gamma": gamma}, times=grid, noise=drawing(5)):
        assert math.isclose(float(moment.x_t.var()), moment.at.sigma**2, rel_tol=4 * (2 / DRAWS) ** 0.5)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"name": "euler-ancestral", "eta": -1.0}, "eta"),
        ({"name": "dpm2-ancestral", "eta": -1.0}, "eta"),
        ({"name": "dpmpp-2s-ancestral", "eta": -1.0}, "eta"),
        ({"name": "dpmpp-sde", "eta": -1.0}, "eta"),
        ({"name": "dpmpp-sde", "r": 0.0}, "r must"),
        ({"name": "dpmpp-3m", "eta": -1.0}, "eta"),
        ({"name": "er-sde", "stages": 4}, "stages"),
        ({"name": "restart", "intervals": [[0.3, 0.1, 1, 1]]}, "s_min"),
        ({"name": "restart", "intervals": [[0.1, 0.3, 0, 1]]}, "repeats"),
        ({"name": "sa-solver", "predictor_order": 0}, "predictor_order"),
        ({"name": "sa-solver", "corrector_order": 6}, "corrector_order"),
        ({"name": "sa-solver", "tau": -0.1}, "tau"),
        ({"name": "tcd", "gamma": 1.5}, "gamma"),
    ],
    ids=lambda value: label(value) if isinstance(value, dict) else value,
)
def test_settings_without_a_meaning_are_refused(spec, reason):
    with pytest.raises(registry.RegistryError, match=reason):
        registry.samplers.build(spec)
