"""Pairs: the same results from another implementation, and times that count only then."""

import importlib

import pytest
import torch

from zoo import bench
from zoo.bench import pairs
from zoo.bench.pairs import PairRow
from zoo.bench.suite import Pair
from zoo.config import ConfigError
from zoo.core.errors import ZooError

CPU = torch.device("cpu")
DIFFNET = Pair(config="tiny-diffnet", peer="textbook", steps=6, batch=2)
# diffusers walks as its grid says only where the steps divide the 1000 trained ones
UNET = {"config": "tiny-unet", "peer": "diffusers", "steps": 5, "overrides": {"sampling": {"clip": False}}}


def test_the_textbook_agrees():
    row = pairs.measured(DIFFNET, repeats=2, seed=0, device=CPU)
    assert row.difference < 1e-5  # float32 sums in another order
    assert (row.reason, row.nfe, row.batch) == ("", 6, 2)
    for times in (row.cpu, row.peer_cpu, row.wall, row.peer_wall):
        least, median, most = times
        assert 0 < least <= median <= most
    assert row.ratio == row.cpu[1] / row.peer_cpu[1]


def test_weights_are_those_of_the_seed_and_not_zero():
    before = torch.get_rng_state()
    one, same, other = (pairs.fresh(DIFFNET, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = {name: weight for name, weight in one.named_parameters() if weight.ndim > 1}
    assert all(weight.any() for weight in weights.values())
    assert all(torch.equal(weight, same.get_parameter(name)) for name, weight in weights.items())
    assert not any(torch.equal(weight, other.get_parameter(name)) for name, weight in weights.items())


@pytest.mark.parametrize("wrong", [lambda x: x + 2e-4 * x.abs().max(), lambda x: x * torch.nan])
def test_times_beside_another_result_do_not_count(monkeypatch, wrong):
    right = pairs.textbook_ddim
    monkeypatch.setattr(pairs, "textbook_ddim", lambda *given: wrong(right(*given)))
    row = pairs.measured(DIFFNET, repeats=1, seed=0, device=CPU)
    assert row.reason.startswith("failed: results differ by ")
    assert row.ratio is None


def test_only_what_the_textbook_has():
    for change in ({"sampler": "unipc"}, {"config": "tiny-unet"}):
        with pytest.raises(ZooError, match="the textbook has diffnet under ddim alone"):
            pairs.measured(Pair(**{**vars(DIFFNET), **change}), repeats=1, seed=0, device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "plms", "unipc"])
def test_diffusers_agrees(sampler):
    pytest.importorskip("diffusers")
    row = pairs.measured(Pair(**UNET, sampler=sampler), repeats=1, seed=0, device=CPU)
    assert (row.reason, row.difference < 1e-4) == ("", True)


def test_without_diffusers_the_row_says_so_and_others_go_on(monkeypatch, tmp_path):
    found = importlib.import_module

    def without(name, *rest):
        if name == "diffusers":
            raise ImportError("No module named 'diffusers'")
        return found(name, *rest)

    monkeypatch.setattr(pairs.importlib, "import_module", without)
    suite = {"pairs": [UNET, {"config": "tiny-diffnet", "peer": "textbook", "steps": 2}], "repeats": 1}
    card = bench.run(suite, out=tmp_path / "out", device="cpu")
    refused, done = card.pairs
    assert refused.reason.startswith("refused: diffusers cannot be imported")
    assert "pip install 'diffusion-zoo[bench]'" in refused.reason
    assert (done.reason, done.ratio is not None) == ("", True)
    assert bench.Card.load(tmp_path / "out" / "card.json").pairs == [refused, done]
    assert "ratio" in (tmp_path / "out" / "table.txt").read_text()


def test_on_a_gpu_the_wall_clock_counts():
    row = PairRow("a", "b", cpu=(1, 1, 1), peer_cpu=(1, 2, 3), wall=(1, 3, 4), peer_wall=(4, 4, 4), on_gpu=True)
    assert row.ratio == 0.75


def test_what_a_pair_needs():
    said = {"batch": 0, "steps": 0, "bar": 0, "peer": "nobody"}
    for key, value in said.items():
        with pytest.raises(ConfigError, match=key):
            bench.load({"pairs": [{**UNET, key: value}]})
