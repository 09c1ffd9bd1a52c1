"""Samples that begin with something, against answers that are known exactly."""

import gc
import math
import weakref
from itertools import pairwise

import pytest
import torch

import registry
import zoo
from zoo.core.errors import ShapeError
from zoo.core.grid import GridPoint, make_grid
from zoo.editing import _jumping

# Data of two numbers with a correlation of 0.9: the second one is known from the first but for 0.19 of its variance.
MEAN = torch.tensor([0.5, -0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)


def correlated(x, t):
    """The exact noise of the correlated data."""
    alpha, sigma = (float(one) for one in registry.schedules.build("linear")(t[0].double()))
    spread = alpha**2 * COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64)
    return sigma * torch.linalg.solve(spread, (x - alpha * MEAN).T).T


@pytest.fixture
def model():
    return zoo.Diffusion.wrap(correlated, shape=(2,))


FIRST = torch.tensor([[1.0, 0.0]])


def test_what_is_kept_is_the_image(model):
    image = torch.randn(3, 2, dtype=torch.float64)
    filled = zoo.inpaint(model, image, FIRST, steps=5, sampler="ddim")
    assert torch.equal(filled[:, 0], image[:, 0])
    assert not torch.allclose(filled[:, 1], image[:, 1])
    torch.testing.assert_close(zoo.inpaint(model, image, torch.ones(1), steps=5), image)


def test_no_image_is_filled():
    assert zoo.inpaint(zoo.build("tiny-mixture"), torch.zeros(0, 2), FIRST, steps=3).shape == (0, 2)


def test_images_are_not_kept_when_they_are_filled(model):
    image = torch.zeros(1, 2)
    known = weakref.ref(image)
    zoo.inpaint(model, image, torch.ones(1, 2), steps=3)
    del image
    gc.collect()
    assert known() is None


def test_keeping_nothing_is_sampling(model):
    x_T = torch.randn(3, 2, dtype=torch.float64)
    settings = {"x_T": x_T, "sampler": "dpmpp-2m", "steps": 7}
    nothing = zoo.inpaint(model, torch.zeros_like(x_T), torch.zeros(1), **settings)
    torch.testing.assert_close(nothing, zoo.sample(model, **settings), rtol=0, atol=1e-12)


def conditional_error(model, **settings):
    """How far the filled numbers are, in mean and in variance, from what the kept one tells of them."""
    n = 4000
    image = torch.tensor([[1.7, 0.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)

    def noise(x, now, next):  # one generator a sample would take most of the time
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    second = zoo.inpaint(model, image, FIRST, n=n, sampler="ddpm", steps=50, noise=noise, **settings)[:, 1]
    mean = MEAN[1] + 0.9 * (1.7 - MEAN[0])
    return abs(float(second.mean() - mean)), abs(float(second.var()) - 0.19)


def test_going_back_fits_the_filling_to_what_is_kept(model):
    """Replacing alone ignores much of what is kept, resampling finds most of it: Lugmayr et al. 2022, section 4.2."""
    replaced, repainted = conditional_error(model), conditional_error(model, resample=10, jump=5)
    # the bias of the mean falls to a quarter here; it is not gone, as the steps are finite
    assert repainted[0] < 0.3 * replaced[0]
    # four standard errors of a variance of 0.19 from 4,000 draws
    assert repainted[1] < 4 * 0.19 * math.sqrt(2 / 4000)
    assert replaced[1] > 4 * 0.19 * math.sqrt(2 / 4000)


@pytest.mark.parametrize(("steps", "jump", "resample"), [(20, 5, 3), (20, 10, 2), (7, 10, 5), (12, 1, 2), (9, 3, 1)])
def test_the_way_of_repaint(steps, jump, resample):
    points = [GridPoint(float(steps - k), 1.0, float(steps - k)) for k in range(steps + 1)]
    path = list(_jumping(points, jump, resample))
    moves = [points.index(b) - points.index(a) for a, b in pairwise(path)]
    assert set(moves) <= {1, -jump}
    assert path[0] == points[0]
    assert path[-1] == points[-1]
    stretches = len(range(0, steps - jump, jump)) if resample > 1 else 0
    assert moves.count(-jump) == stretches * (resample - 1)
    assert moves.count(1) == steps + stretches * (resample - 1) * jump


def test_a_filling_does_not_depend_on_its_batch(model):
    image = torch.randn(1, 2, dtype=torch.float64)
    several = zoo.inpaint(model, image, FIRST, n=3, steps=10, resample=2, jump=3, seed=5)
    first = zoo.inpaint(model, image, FIRST, n=1, steps=10, resample=2, jump=3, seed=5)
    torch.testing.assert_close(several[:1], first, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("keep", "settings", "word"),
    [
        (torch.ones(3, 3), {}, "broadcast"),
        (2 * torch.ones(1), {}, "0..1"),
        (torch.ones(1), {"jump": 0}, "jump"),
        (torch.ones(1), {"n": 5}, "n is 5"),
    ],
)
def test_fillings_that_make_no_sense_are_refused(model, keep, settings, word):
    with pytest.raises(ShapeError, match=word):
        zoo.inpaint(model, torch.zeros(2, 2), keep, **settings)


@pytest.mark.parametrize("end", ["clean", "first"])
def test_inversion_and_the_walk_back(model, end):
    """Both ways are of first order: four times the steps leave a quarter of the error."""
    image = torch.randn(4, 2, dtype=torch.float64)
    errors = []
    for steps in (50, 200):
        walk = {"steps": steps, "sampler": "ddim", "spacing": {"name": "trailing", "end": end}}
        back = zoo.sample(model, x_T=zoo.invert(model, image, **walk), **walk)
        errors.append(float((back - image).abs().max()))
    # the end of the walk is not the image but what is left at the lowest time, 0.01 of noise and 5e-5 of scale
    floor = 0.0 if end == "clean" else 1e-3
    assert errors[1] - floor < errors[0] / 2.5
    assert errors[1] < 0.1


def test_an_inverted_image_is_noise(model):
    images = MEAN + torch.randn(4000, 2, dtype=torch.float64) @ torch.linalg.cholesky(COVARIANCE).T
    noise = zoo.invert(model, images, steps=200)
    # four standard errors of 4,000 draws
    assert noise.mean(0).abs().max() < 4 / math.sqrt(4000)
    assert (noise.T.cov() - torch.eye(2, dtype=torch.float64)).abs().max() < 4 * math.sqrt(2 / 4000)


def test_inversion_refuses_rules_that_draw_noise(model):
    with pytest.raises(zoo.core.grid.GridError, match="draws noise"):
        zoo.invert(model, torch.zeros(1, 2), sampler="ddpm", steps=5)


def test_inversion_asks_about_trained_times_only():
    asked = []

    def network(x, t):
        asked.append(float(t[0]))
        return 0 * x

    zoo.invert(zoo.Diffusion.wrap(network, shape=(2,)), torch.zeros(1, 2), steps=4)
    assert min(asked) >= 0
    assert asked == sorted(asked)


def test_slerp_keeps_the_length_and_meets_its_ends():
    a, b = torch.randn(2, 5, 3, 8, 8, dtype=torch.float64)
    assert torch.allclose(zoo.slerp(a, b, 0.0), a)
    assert torch.allclose(zoo.slerp(a, b, 1.0), b)
    b = b * (a.flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1)
    weights = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    between = zoo.slerp(a, b, weights)
    torch.testing.assert_close(between.flatten(1).norm(dim=1), a.flatten(1).norm(dim=1))
    torch.testing.assert_close(between[2:3], zoo.slerp(a[2:3], b[2:3], 0.5))


def test_slerp_of_one_direction_is_the_straight_line():
    a = torch.randn(2, 4)
    torch.testing.assert_close(zoo.slerp(a, a, 0.5), a)
    torch.testing.assert_close(zoo.slerp(a, 3 * a, 0.5), 2 * a)
    assert zoo.slerp(a, torch.zeros(2, 4), 0.5).isfinite().all()
    for weight in (torch.ones(3), torch.ones(2, 1)):
        with pytest.raises(ShapeError, match="weight"):
            zoo.slerp(a, a, weight)
    with pytest.raises(ShapeError, match="one shape"):
        zoo.slerp(a, torch.zeros(2, 5), 0.5)


def test_a_shallow_start_is_part_of_the_walk(model):
    """Image-to-image: noised to a time of the walk, and walked from there."""
    image, eps = torch.randn(2, 3, 2, dtype=torch.float64)
    times = [900.0, 500.0, 200.0, -1.0]
    at = make_grid(model.schedule, [500.0])[0]
    noised = at.alpha * image + at.sigma * eps
    got = zoo.sample(model, start=image, start_t=500.0, times=times, noise=eps[None], sampler="ddim")
    torch.testing.assert_close(got, zoo.sample(model, x_T=noised, times=times[1:], sampler="ddim"), rtol=0, atol=1e-12)
