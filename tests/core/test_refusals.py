"""What does not fit is refused in one sentence, and never sampled or trained as something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zoo
from registry import ArgumentError, guidances, schedules, spacings
from zoo.core.bound import ConditionError, null_of
from zoo.core.errors import ShapeError
from zoo.core.grid import GridError
from zoo.core.noise import NoiseError, seeds
from zoo.spacings.base import SpacingError


def network(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
    return 0.1 * x if labels is None else 0.1 * x + labels[:, None, None, None]


def model(schedule: str = "linear", parameterization: str = "eps") -> zoo.Diffusion:
    return zoo.Diffusion.wrap(network, schedule=schedule, parameterization=parameterization, shape=(1, 2, 2))


def test_cfg_does_not_silently_drop_the_guidance_before_it() -> None:
    with pytest.raises(ConditionError, match="put it first"):
        zoo.sample(model(), 2, labels=1, guidance=["clip", "cfg"], steps=2)
    zoo.sample(model(), 2, labels=1, guidance=["cfg", "clip"], steps=2)


def test_a_part_that_was_frozen_stays_in_eval_mode() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.free = nn.Identity(), nn.Identity()

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            assert not self.free.training
            return x

    net = Two().train()
    net.frozen.eval()
    zoo.sample(zoo.Diffusion.wrap(net, shape=(1, 2, 2)), 1, steps=1)
    assert (net.training, net.free.training, net.frozen.training) == (True, True, False)


@pytest.mark.parametrize("sampler", ["ddpm", {"name": "ddim", "eta": 1.0}])
def test_a_stochastic_sampler_does_not_walk_up(sampler: object) -> None:
    with pytest.raises(GridError, match="cannot walk up"):
        zoo.sample(model(), x_T=torch.ones(1, 1, 2, 2), times=[0, 500, 999], sampler=sampler)  # type: ignore[arg-type]


def test_unipc_does_not_start_from_clean_data() -> None:
    with pytest.raises(GridError, match="sigma = 0"):
        zoo.sample(model(), x_T=torch.ones(1, 1, 2, 2), times=[-1, 500, 999], sampler="unipc")


@pytest.mark.parametrize("n", [-1, 1.5])
def test_a_number_of_samples_is_a_whole_one(n: int) -> None:
    with pytest.raises(ShapeError, match="n: expected"):
        zoo.sample(model(), n, steps=1)


@pytest.mark.parametrize("x_T", [torch.tensor(1.0), torch.ones(1, 1, 2, 2, dtype=torch.int64)])
def test_a_start_is_a_batch_of_real_numbers(x_T: Tensor) -> None:
    with pytest.raises(ShapeError, match="floating point"):
        zoo.sample(model(), x_T=x_T, steps=1)


def test_a_network_of_the_wrong_shape_does_not_broadcast() -> None:
    narrow = zoo.Diffusion.wrap(lambda x, t: x[:, :1], shape=(3, 2, 2))
    with pytest.raises(ShapeError, match="learned_variance"):
        zoo.sample(narrow, 1, steps=1)


def test_times_of_another_batch_do_not_broadcast() -> None:
    x = torch.ones(1, 1, 2, 2)
    with pytest.raises(ShapeError, match="one time"):
        model().add_noise(x, x, torch.tensor([1, 2]))


@pytest.mark.parametrize("spacing", ["karras", "log-snr"])
def test_noise_beyond_the_schedule_is_not_clamped(spacing: str) -> None:
    with pytest.raises(SpacingError, match="sigma_max"):
        spacings.build({"name": spacing, "sigma_max": 1e6})(schedules.build("linear"), 4)


def test_labels_and_seeds_of_numpy_are_taken() -> None:
    expected = zoo.sample(model(), 2, labels=[1, 2], seed=3, steps=2)
    given = zoo.sample(model(), 2, labels=np.array([1, 2]), seed=np.int64(3), steps=2)  # type: ignore[arg-type]
    assert torch.equal(given, expected)
    with pytest.raises(NoiseError, match="whole number"):
        seeds(1.5, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int32])
def test_no_class_is_minus_one_whatever_holds_the_labels(dtype: torch.dtype) -> None:
    assert null_of(torch.ones(2, dtype=dtype)).tolist() == [-1, -1]


def test_vp_without_noise_is_clean_at_beta_min_zero() -> None:
    schedule = schedules.build({"name": "vp", "beta_min": 0.0})
    assert schedule.inverse(torch.tensor([0.0, torch.inf])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("settings", [{"scale": float("nan")}, {"channels": 0}, {"channels": -1}])
def test_cfg_refuses_settings_without_meaning(settings: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="must be"):
        guidances.build({"name": "cfg", **settings})


@pytest.mark.parametrize("t", [-1.5, 1000.0])
def test_a_time_that_the_schedule_has_not(t):
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ShapeError, match=r"t: the schedule has times -1\.\.999, got"):
        zoo.Diffusion.wrap(lambda x, t: x).add_noise(x, x, t)


def test_noise_of_another_shape():
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ShapeError, match="eps must have the shape of x_0"):
        zoo.Diffusion.wrap(lambda x, t: x).loss(x, t=1, eps=x[:1])


def test_a_condition_that_the_network_does_not_take():
    with pytest.raises(ConditionError, match="colour: UNet takes no such condition; it takes labels"):
        zoo.sample(zoo.build("tiny-unet"), 1, colour=torch.zeros(1), steps=1)


def test_a_shallow_start_below_pure_noise_is_not_refused():
    """The walk as a whole begins at alpha = 0, where plms cannot; the part that is walked does not."""
    model = zoo.Diffusion.wrap(lambda x, t: 0.1 * x, schedule="flow", parameterization="flow", shape=(2,))
    with pytest.raises(GridError, match="pure noise"):
        zoo.sample(model, 1, sampler="plms", steps=10)
    assert zoo.sample(model, sampler="plms", steps=10, start=torch.zeros(1, 2), start_t=0.5).isfinite().all()
