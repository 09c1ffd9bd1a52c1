"""Suites by evaluations instead of steps, exact draws instead of data, and the loops of others."""

from __future__ import annotations

import sys

import pytest
import torch

import zoo
from zoo import bench
from zoo.bench import peers
from zoo.bench.quality import DrawsJudge
from zoo.bench.suite import Draws
from zoo.config import ConfigError
from zoo.core.errors import ZooError
from zoo.metrics.sliced import sliced_wasserstein


def test_each_sampler_takes_the_steps_that_its_evaluations_pay_for(card_of):
    card = card_of(steps=[], nfe=[5, 10], samplers=["ddim", "heun", "plms", "restart"], repeats=0)
    assert [(row.steps, row.nfe) for row in card.rows[:6]] == [(5, 5), (10, 10), (3, 5), (5, 9), (4, 5), (9, 10)]
    # five evaluations do not pay for a step of Restart, whose jumps alone take more
    assert [row.status for row in card.rows[6:]] == ["refused", "ok"]
    assert "more than 5 evaluations" in card.rows[6].reason


def test_steps_and_evaluations_exclude_each_other():
    with pytest.raises(ConfigError, match="steps or nfe"):
        bench.load({"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [5], "nfe": [5]})


def test_without_repeats_nothing_is_timed(card_of):
    (row,) = card_of(repeats=0).rows
    assert row.status == "ok"
    assert {row.wall, row.wall_min, row.cpu, row.loop_per_step} == {None}


def test_draws_tell_the_data_from_noise(card_of):
    card = card_of(draws={"samples": 500}, steps=[20], spacings=["log-snr"], batch=500)
    ((row,), (yardstick,)) = card.rows, card.yardsticks
    assert yardstick.measure == "SW2"
    low, high = yardstick.floor_range
    assert low <= yardstick.floor <= high
    # 500 draws differ by about 0.1 of a ring of radius 1, standard normal noise by 0.4
    assert row.quality < 1.5 * high < yardstick.noise


def test_draws_need_a_model_that_knows_its_data():
    with pytest.raises(ZooError, match="does not know its data"):
        DrawsJudge(Draws(), torch.nn.Identity(), 0)


def test_the_sliced_distance_of_two_points_is_that_of_their_projections():
    a, b = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
    # the mean of 25 cos^2 over directions is 12.5; 4000 of them leave a few percent
    assert sliced_wasserstein(a, b, directions=4000) == pytest.approx(12.5**0.5, rel=0.05)
    shuffled = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    # the products of another row may be summed in another order
    assert sliced_wasserstein(shuffled, shuffled.flip(0)) < 1e-15
    with pytest.raises(zoo.core.errors.ShapeError, match="one shape"):
        sliced_wasserstein(a, a[:0])


def test_a_peer_that_is_not_installed_is_told(card_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "azula", None)
    card = card_of(peers=["azula ddim", "nobody ddim"], as_written=True)
    ours, missing, unknown = card.rows
    assert ours.written_per_step > 0
    assert ours.loop_median >= ours.loop_per_step > 0
    assert (missing.status, unknown.status) == ("refused", "refused")
    assert "pip install azula" in missing.reason
    assert "is none" in unknown.reason


def test_peers_walk_their_whole_way():
    pytest.importorskip("diffusers")
    x = torch.ones(1, 3, 8, 8)
    for name in ("ddim", "ddpm", "dpmpp-2m", "euler", "euler-ancestral", "heun", "plms", "unipc"):
        end = peers.peer(f"diffusers {name}", 4)(x)
        assert isinstance(end, torch.Tensor)
        assert end.shape == x.shape
    with pytest.raises(ZooError, match="not compared"):
        peers.peer("diffusers restart", 4)
