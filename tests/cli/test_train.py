"""``zoo train --dry-run``: what a run will take."""

import json
from pathlib import Path

import pytest

SMALL = ("ddpm-digits", "training.batch_size=4", "denoiser.base_channels=8", "--device", "cpu")


def test_a_dry_run_tells_and_writes_nothing(zoo, tmp_path):
    pytest.importorskip("sklearn")
    done = zoo("train", *SMALL, "--dry-run")
    assert done.code == 0, done.err
    told = {line.split("  ")[0] for line in done.out.splitlines()}
    assert {"data", "parameters", "memory", "time of an update", "time to finish", "folder"} <= told
    assert not list(tmp_path.iterdir())
    as_json = json.loads(zoo("train", *SMALL, "--dry-run", "--json").out)
    assert as_json["steps"] == 1000
    assert as_json["out"] == str(Path("runs", "ddpm-digits"))


def test_json_is_of_a_dry_run(zoo):
    done = zoo("train", *SMALL, "--json")
    assert done.code == 2
    assert "--json prints the answer of --dry-run" in done.err


def test_a_pattern_that_matches_nothing(zoo, tmp_path):
    pytest.importorskip("sklearn")
    done = zoo("train", *SMALL, "training.freeze=[denoiser.dwon.*]", "--out", "run")
    assert done.code == 2
    assert "training.freeze: 'denoiser.dwon.*' matches no parameter" in done.err
    assert not list(tmp_path.iterdir())


def test_fine_tuning_says_what_it_trains(zoo):
    pytest.importorskip("sklearn")
    steps = "training.steps=1"
    assert zoo("train", *SMALL, steps, "--out", "first").code == 0
    more = ("training.init=first/model.safetensors", "training.freeze=[denoiser.down.*]")
    done = zoo("train", *SMALL, steps, *more, "--out", "second")
    assert done.code == 0, done.err
    assert "of them trained) on cpu" in done.err
