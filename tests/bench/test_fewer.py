"""Fewer evaluations for the same error: what is found is what a scan of every number finds."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import bench
from zoo.bench.cases import open_model
from zoo.bench.fewer import Race
from zoo.bench.report import Card
from zoo.config import ConfigError

GOLDEN = Path(__file__).parents[1] / "golden" / "voice" / "samplers_small"
BAR = {"sampler": "plms", "spacing": {"name": "diff-svc", "interval": 100}, "steps": 1, "most": 41}
SUITE = {
    "models": ["tiny-gaussian"],
    "samplers": ["ddim", "heun", "unipc"],
    "steps": [],
    "spacings": ["log-snr", "trailing"],
    "reference": {"sampler": "unipc", "steps": 400, "spacing": "log-snr"},
    "precision": "float64",
    "repeats": 0,
    "fewer": BAR,
}


def race_of(**changes):
    suite = bench.load({**SUITE, **changes}).suite
    return Race(open_model(suite.models[0], suite, torch.device("cpu")), suite)


def scanned(race, sampler, spacing, most=BAR["most"]):
    """(evaluations, error) of the least that will do, by trying every number of steps."""
    for steps in range(1, most + 1):
        nfe, error = race.tried({"name": sampler}, {"name": spacing}, steps)
        if nfe > most:
            return None, None
        if error <= race.bar["error_rms"]:
            return nfe, error
    return None, None


@pytest.mark.parametrize("model", ["tiny-gaussian", "tiny-mixture"])
def test_the_least_is_that_of_a_scan(model, card_of):
    card = card_of(**SUITE | {"models": [model], "n": 4, "batch": 3})
    race = race_of(models=[model], n=4, batch=3)
    (bar,) = card.bars
    assert bar.error_rms == race.bar["error_rms"] > 10 * bar.own_rms
    found = {(row.sampler, row.spacing): (row.nfe, row.error_rms if row.nfe else None) for row in card.fewer}
    assert found == {key: scanned(race, *key) for key in found}
    assert len(found) == 6
    assert len(set(found.values())) > 3


def test_all_walk_from_the_first_time_of_the_bar_to_its_last():
    race = race_of(spacings=["log-snr", "karras", "trailing", "linspace", "diff-svc", "quadratic"])
    for name in ("log-snr", "karras", "trailing", "linspace", "diff-svc", "quadratic"):
        times = race.times({"name": name}, 7)
        assert (times[0], times[-1]) == (900.0, 0.0) == (race.bar["first_t"], race.bar["last_t"])
        assert all(later < earlier - 1e-6 for earlier, later in pairwise(times))


def test_the_bar_comes_up_to_itself():
    race = race_of()
    times = race.times({"name": "diff-svc", "interval": 100}, 1)
    assert times == [float(t) for t in range(900, -1, -100)]
    # one evaluation less: the old walk asks once more for a last step that goes nowhere
    nfe, error = race.tried({"name": "plms"}, {"name": "diff-svc", "interval": 100}, 1)
    assert nfe == race.bar["nfe"] - 1
    assert error == pytest.approx(race.bar["error_rms"], rel=1e-9)


def test_never_and_refused_are_told(card_of, tmp_path):
    card = card_of(**SUITE | {"samplers": ["ddim", "ddpm", "unipc"], "spacings": ["log-snr"]})
    cells = card.columns()
    assert cells["sampler"] == ["ddim", "ddpm", "unipc"]
    never, refused, least = cells["log-snr"]
    assert never == f"never ({min(error for _, error in card.fewer[0].curve):.4f})"
    assert refused == "refused"
    assert int(least) == card.fewer[2].nfe
    told = "\n".join(card.notes())
    assert "fewest: unipc on log-snr" in told
    assert "ddpm: draws noise" in told
    assert (tmp_path / "out" / "fewer.png").exists()
    again = Card.load(tmp_path / "out" / "card.json")
    assert again.table() == card.table()
    assert json.loads((tmp_path / "out" / "card.json").read_text())["bars"][0]["nfe"] == 11


def test_without_a_bar_nothing_is_looked_for(card_of):
    closed = {"config": "tiny-unet", "conditions": {"cond": "nowhere.safetensors"}}
    upward = {"config": "tiny-gaussian", "label": "continuous", "overrides": {"schedule": "vp"}}
    card = card_of(**SUITE | {"models": ["tiny-gaussian", closed, upward]})
    assert [bar.reason.split(":")[0] for bar in card.bars] == [
        "",
        "conditions.cond",
        "spacing 'diff-svc' counts trained steps and this schedule is continuous",
    ]
    assert {row.reason for row in card.fewer if row.model != "tiny-gaussian"} == {"there is no bar"}
    assert "continuous: bar plms" in card.table()


def test_a_walk_of_more_evaluations_than_are_allowed_is_not_taken(card_of):
    card = card_of(**SUITE | {"fewer": BAR | {"most": 6}})
    tried = [nfe for row in card.fewer for nfe, _ in row.curve]
    assert max(tried) <= 6
    assert {row.nfe for row in card.fewer} == {None}
    # two evaluations a step
    assert {nfe for row in card.fewer if row.sampler == "heun" for nfe, _ in row.curve} == {2, 4, 6}


def test_a_spacing_that_takes_no_advice_is_tried_and_left(card_of):
    fixed = {"name": "diff-svc", "interval": 300}
    refused = {"name": "log-snr", "sigma_min": 1e9}
    card = card_of(**SUITE | {"samplers": ["ddim"], "spacings": [fixed, refused]})
    (never, none) = card.fewer
    # 900, 600, 300, 0
    assert ({nfe for nfe, _ in never.curve}, never.nfe) == ({3}, None)
    assert "sigma_min" in none.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fewer": 3}, "fewer: expected a mapping, got int 3"),
        ({"fewer": {"sampler": "plms"}}, "fewer.steps: "),
        ({"fewer": BAR | {"steps": 0}}, "fewer: steps must be at least 1, got 0"),
        ({"fewer": BAR | {"most": 0}}, "fewer: most must be at least 1, got 0"),
        ({"fewer": BAR | {"sampler": "plsm"}}, "fewer.sampler.name: unknown sampler 'plsm'"),
        ({"fewer": BAR | {"sampler": "ddpm"}}, "fewer.sampler: draws noise, and a bar must not"),
        (
            {"fewer": BAR | {"spacing": {"name": "karras", "roh": 3}}},
            "fewer.spacing.roh: 'karras' takes no such argument",
        ),
        ({"reference": None}, "fewer: compares errors: the suite needs a reference"),
        ({"steps": [5]}, "steps: fewer looks for these numbers itself: leave them out"),
        ({"nfe": [5]}, "nfe: fewer looks for these numbers itself: leave them out"),
        ({"samplers": []}, "samplers: missing"),
    ],
)
def test_refused(change, said):
    with pytest.raises(ConfigError) as caught:
        bench.load(SUITE | change)
    (problem,) = (str(problem) for problem in caught.value.problems)
    assert problem.startswith(said)


def test_conditions_come_from_a_file(card_of, tmp_path):
    path = tmp_path / "conditions.safetensors"
    save_file({"cond": torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))}, path)
    model = {"config": "tiny-diffnet", "conditions": {"cond": str(path)}}
    (row,) = card_of(models=[model], samplers=["ddim"], spacings=["trailing"], n=3, repeats=0).rows
    assert row.status == "ok", row.reason
    (row,) = card_of(models=[{**model, "conditions": {"cond": "nowhere.safetensors"}}], repeats=0).rows
    assert row.status == "refused"
    assert "conditions.cond: nowhere.safetensors" in row.reason


def test_every_row_of_a_condition_is_dealt_in_turn(tmp_path):
    path = tmp_path / "conditions.safetensors"
    save_file({"cond": torch.arange(2.0).reshape(2, 1, 1).expand(2, 6, 16).contiguous()}, path)
    model = {"config": "tiny-diffnet", "conditions": {"cond": str(path)}}
    suite = bench.load({"models": [model], "samplers": ["ddim"], "steps": [2]}).suite
    subject = open_model(suite.models[0], suite, torch.device("cpu"))
    assert subject._conditions(range(1, 4))["cond"][:, 0, 0].tolist() == [1.0, 0.0, 1.0]


def test_the_shipped_voice_net_is_that_of_the_recorded_walks():
    """And 24 evaluations on the fitted ramp are nearer to its fine solution than the recorded PLMS at speedup 10."""
    model = zoo.load(GOLDEN / "zoo.safetensors")
    weights, recorded = load_file(GOLDEN / "weights.safetensors"), load_file(GOLDEN / "io.safetensors")
    betas = weights.pop("betas")
    assert all(torch.equal(model.denoiser.state_dict()[key], value) for key, value in weights.items())
    torch.testing.assert_close(model.schedule.alpha_bar, (1 - betas.double()).cumprod(0), rtol=0, atol=0)
    fitted = next(spec for spec in bench.load("fewer-steps").suite.spacings if "ramp" in spec)
    begin = {"name": "log-snr", "sigma_max": float(model.schedule(torch.tensor(990.0)).nsr), "end": "first"}

    def mel(steps, **spacing):
        walk = {"steps": steps, "spacing": begin | spacing, "x_T": recorded["x_T"][:, 0], "cond": recorded["cond"]}
        *_, last = zoo.walk(model, sampler="unipc", **walk)
        masked = model.scaling.decode(last.x_t) * (recorded["mel2ph"] > 0)
        return masked.transpose(1, 2).double(), last.nfe

    (fine, _), (near, nfe) = mel(600), mel(24, **fitted)
    assert nfe == 24
    old, new = (
        float((one - fine).square().mean().sqrt()) for one in (recorded["plms_speedup10_mel_out"].double(), near)
    )
    # 0.77 when the ramp was fitted; float32 sums in another order move errors of 0.01 by a thousandth of that
    assert new < 0.9 * old
    assert 0.005 < old < 0.02
