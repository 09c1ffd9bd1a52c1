"""Where randomness comes from: seeds, recorded draws, and walks that start from noised data."""

import pytest
import torch

import zoo
from zoo.core.errors import ShapeError
from zoo.core.grid import GridPoint
from zoo.core.noise import NoiseError, PerSample, seeds


@pytest.fixture(scope="module")
def model():
    return zoo.build("tiny-mixture")


def test_seeds_of_samples_are_all_different():
    many = [seed for base in range(-3, 20) for seed in seeds(base, 200)]
    assert len(set(many)) == len(many)
    assert seeds(7, 3) == seeds(7, 200)[:3]


def test_a_list_of_seeds_is_taken_as_it_is(model):
    both = zoo.sample(model, 2, seed=[5, 9])
    assert torch.equal(zoo.sample(model, 2, seed=[9, 5]), both.flip(0))
    with pytest.raises(NoiseError, match="1 seeds for 2 samples"):
        zoo.sample(model, 2, seed=[5])


def test_draws_are_standard_normal_and_independent():
    source = PerSample(0, 4000)
    first, second = source.draw((2,)), source.draw((2,))
    draws = torch.cat([first, second], 1)
    assert draws.dtype == torch.float32
    # 4 standard errors of 4000 normal draws
    bound = 4 / 4000**0.5
    assert draws.mean(0).abs().max() < bound
    assert (torch.cov(draws.T) - torch.eye(4)).abs().max() < bound * 2**0.5
    neighbours = torch.stack([first[:-1, 0], first[1:, 0]])
    assert abs(float(torch.corrcoef(neighbours)[0, 1])) < bound


def test_noise_does_not_depend_on_precision():
    at = GridPoint(1.0, 0.0, 1.0)
    single, double = (
        PerSample(3, 2)(torch.empty(2, 5, dtype=dtype), at, at) for dtype in (torch.float32, torch.float64)
    )
    assert double.dtype == torch.float64
    assert torch.equal(single.double(), double)


def test_recorded_noise_is_used_in_order_and_must_suffice(model):
    x_T = torch.randn(3, 2, dtype=torch.float64)
    noise = torch.randn(9, 3, 2, dtype=torch.float64)
    walked = zoo.sample(model, x_T=x_T, sampler="ddpm", steps=8, noise=noise[:7])  # none in the last step
    assert torch.equal(walked, zoo.sample(model, x_T=x_T, sampler="ddpm", steps=8, noise=noise))
    with pytest.raises(NoiseError, match="6 recorded draws are too few"):
        zoo.sample(model, x_T=x_T, sampler="ddpm", steps=8, noise=noise[:6])
    with pytest.raises(NoiseError, match="shape"):
        zoo.sample(model, x_T=x_T, sampler="ddpm", steps=8, noise=noise[:, :2])


def test_a_start_is_noised_to_the_time_it_is_given(model):
    x_0 = torch.randn(3, 2, dtype=torch.float64)
    noise = torch.randn(20, 3, 2, dtype=torch.float64)
    moments = list(zoo.walk(model, start=x_0, start_t=430, steps=10, spacing="leading", noise=noise))
    assert [moment.at.t for moment in moments] == [430, 400, 300, 200, 100, 0, -1]
    torch.testing.assert_close(moments[0].x_t, model.add_noise(x_0, noise[0], 430), rtol=0, atol=1e-15)


def test_a_start_without_a_time_goes_to_the_start_of_the_walk(model):
    x_0 = torch.randn(3, 2, dtype=torch.float64)
    first = next(iter(zoo.walk(model, start=x_0, steps=10, spacing="leading", seed=2)))
    assert first.at.t == 900
    again = next(iter(zoo.walk(model, start=x_0, steps=10, spacing="leading", seed=2)))
    assert torch.equal(first.x_t, again.x_t)


def test_a_start_close_to_the_data_stays_close(model):
    x_0 = model.denoiser.sample(200, torch.Generator().manual_seed(0))
    near = zoo.sample(model, start=x_0, start_t=20, steps=50)
    far = zoo.sample(model, start=x_0, start_t=900, steps=50)
    assert (near - x_0).norm(dim=1).mean() < 0.2
    assert (far - x_0).norm(dim=1).mean() > 0.5


def test_starts_that_contradict_each_other_are_refused(model):
    x = torch.zeros(1, 2)
    with pytest.raises(ShapeError, match="not both"):
        zoo.sample(model, x_T=x, start=x)
    with pytest.raises(ShapeError, match="start_t"):
        zoo.sample(model, 1, start_t=100)
    with pytest.raises(NoiseError, match="start_t"):
        zoo.sample(model, start=x, start_t=-1)
