"""Brownian noise: one path a sample, whatever the steps, the batch and the order of the questions."""

import itertools
import math

import pytest
import torch

import registry
import zoo
from zoo.core.brownian import Brownian
from zoo.core.errors import ArgumentValueError
from zoo.core.grid import GridPoint, make_grid
from zoo.core.noise import PerSample, seeds

LEVELS = [math.inf, 80.0, 3.0, 1.1, 1.0, 0.4, 0.02, 0.0]


def point(nsr):
    return GridPoint(0.0, 0.0, 1.0) if nsr == math.inf else GridPoint(nsr, 1.0, nsr)


def width(source, now, next):
    return source.time(source.place(next)) - source.time(source.place(now))


def test_noises_of_short_steps_add_up_to_that_of_a_long_one():
    x = torch.empty(3, 4, dtype=torch.float64)
    points = [point(nsr) for nsr in LEVELS]
    for first, last in itertools.combinations(range(len(points)), 2):
        fine, coarse = Brownian(5, 3), Brownian(5, 3)
        steps = list(itertools.pairwise(points[first : last + 1]))
        total = sum(math.sqrt(width(fine, *step)) * fine(x, *step) for step in steps)
        whole = coarse(x, points[first], points[last])
        # a few dozen bridges, each a rounding of W
        torch.testing.assert_close(
            total / math.sqrt(width(fine, points[first], points[last])), whole, rtol=0, atol=1e-12
        )


def test_the_order_of_the_questions_does_not_matter():
    x = torch.empty(2, 3, dtype=torch.float64)
    steps = list(itertools.pairwise(point(nsr) for nsr in LEVELS))
    forth, back = Brownian(1, 2), Brownian(1, 2)
    asked = {step: forth(x, *step) for step in steps}
    for step in reversed(steps):
        assert torch.equal(back(x, *step), asked[step])


def test_a_sample_does_not_depend_on_its_batch():
    steps = list(itertools.pairwise(point(nsr) for nsr in LEVELS))
    many, few, one = Brownian(3, 6), Brownian(3, 2), Brownian([seeds(3, 6)[4]], 1)
    for step in steps:
        whole = many(torch.empty(6, 5), *step)
        assert torch.equal(few(torch.empty(2, 5), *step), whole[:2])
        assert torch.equal(one(torch.empty(1, 5), *step), whole[4:5])
    assert Brownian(3, 0)(torch.empty(0, 5), *steps[0]).shape == (0, 5)


def test_precision_does_not_move_the_path():
    single, double = (
        Brownian(3, 2)(torch.empty(2, 5, dtype=dtype), point(3.0), point(1.0))
        for dtype in (torch.float32, torch.float64)
    )
    assert torch.equal(single, double.float())


def test_noises_are_standard_normal_and_independent():
    n = 4000
    source = Brownian(0, n, levels=16)
    draws = torch.stack([source(torch.empty(n, 1), *map(point, step))[:, 0] for step in itertools.pairwise(LEVELS)])
    normal = torch.distributions.Normal(0.0, 1.0)
    for draw in draws.double():
        place = normal.cdf(draw.sort().values)
        steps = torch.arange(n + 1, dtype=torch.float64) / n
        # Kolmogorov and Smirnov's distance exceeds 1.95 / sqrt(n) once in a thousand draws
        assert max((steps[1:] - place).max(), (place - steps[:-1]).max()) < 1.95 / n**0.5
    bound = 4 / n**0.5  # 4 standard errors
    assert (torch.cov(draws) - torch.eye(len(draws))).abs().max() < bound * 2**0.5
    assert abs(float(torch.corrcoef(torch.stack([draws[2, :-1], draws[2, 1:]]))[0, 1])) < bound


def test_what_does_not_fall_has_fresh_noise():
    x, source, fresh = torch.empty(2, 3), Brownian(4, 2), PerSample(4, 2)
    jump = (point(1.0), point(3.0))
    path = source(x, *reversed(jump))
    for step in ((point(3.0), point(3.0)), jump, jump):
        noise = source(x, *step)
        assert torch.equal(noise, fresh(x, *step))
        assert not torch.equal(noise, path)


def test_for_one_point_of_data_many_steps_lead_where_one_does():
    """The noise of the reverse SDE is an increment as it stands, and the rest of a step is exact for a constant x_0."""
    point = zoo.Diffusion.wrap(lambda x, t: torch.full_like(x, 0.7), parameterization="x0", schedule="vp")
    x_T = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = []
    for times in ([0.9, 0.1], [0.9, 0.5, 0.4, 0.1], torch.linspace(0.9, 0.1, 20, dtype=torch.float64).tolist()):
        noise = {"name": "brownian", "levels": 48}
        ends.append(zoo.sample(point, x_T=x_T, sampler="ddpm", times=times, noise=noise))
    # lambda is rounded to 2^-43 = 1e-13
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(ends[2], ends[0], rtol=0, atol=1e-11)


def test_is_chosen_by_name():
    model = zoo.build("tiny-mixture")
    options = {"n": 3, "sampler": "ddpm", "steps": 6, "seed": 2}
    chosen = zoo.sample(model, **options, noise="brownian")
    assert torch.equal(chosen, zoo.sample(model, **options, noise=Brownian(2, 3)))
    coarser = zoo.sample(model, **options, noise={"name": "brownian", "levels": 12})
    assert not torch.equal(chosen, coarser)
    assert torch.equal(zoo.sample(model, **options, noise="independent"), zoo.sample(model, **options))
    with pytest.raises(registry.RegistryError, match="brownian"):
        zoo.sample(model, **options, noise="brownain")
    with pytest.raises(registry.RegistryError, match="levels"):
        zoo.sample(model, **options, noise={"name": "brownian", "levels": 0})


def test_levels_are_checked():
    with pytest.raises(ArgumentValueError, match="1 to 48"):
        Brownian(0, 1, levels=60)


# Rules for one and the same equation, the reverse SDE.
REVERSE = [
    {"name": "ddpm"},
    {"name": "ddim", "eta": 1.0},
    {"name": "dpm-2m-sde"},
    {"name": "dpmpp-2m", "eta": 1.0},
    {"name": "dpmpp-3m", "eta": 1.0, "solver": "heun"},
    {"name": "dpmpp-sde"},
    {"name": "er-sde", "scale": "sde"},
    {"name": "euler-ancestral"},
    {"name": "sa-solver"},
]


@pytest.fixture(scope="module")
def pathwise():
    """A model, a start, and the solution of the reverse SDE for one path, by a fine walk."""
    model = zoo.build("tiny-mixture", schedule="vp")
    ends = model.schedule(torch.tensor([0.9, 0.1], dtype=torch.float64)).nsr.log().tolist()
    x_T = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def walked(sampler, steps, noise):
        nsr = torch.linspace(*ends, steps + 1, dtype=torch.float64).exp()
        grid = make_grid(model.schedule, model.schedule.inverse(nsr).tolist())
        return zoo.sample(model, x_T=x_T, sampler=sampler, times=grid, noise=noise, seed=1)

    return walked, walked({"name": "dpmpp-2m", "eta": 1.0}, 1000, "brownian")


@pytest.mark.parametrize("sampler", REVERSE, ids=[spec["name"] for spec in REVERSE])
def test_a_rule_approaches_the_path_itself(sampler, pathwise):
    """Strong convergence: not the law alone, every sample comes near, for every rule of the same equation."""
    walked, exact = pathwise
    errors = [float((walked(sampler, steps, "brownian") - exact).square().mean().sqrt()) for steps in (25, 50, 100)]
    # strong order 1, of few samples
    assert errors[2] < errors[0] / 2.5
    assert errors[2] < 0.05
    # with independent draws there is no path to come near to
    assert float((walked(sampler, 100, "independent") - exact).square().mean().sqrt()) > 4 * errors[2]
