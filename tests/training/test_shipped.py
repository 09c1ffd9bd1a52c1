"""The model that comes with the zoo: its file, its record, and that it still draws what the record shows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import checkpoint, config
from zoo.images import grid

RECORD = Path(__file__).parents[2] / "docs" / "models" / "ddpm-mnist"


@pytest.fixture(scope="module")
def weights():
    return checkpoint.shipped("ddpm-mnist")


def test_the_file_is_small_whole_and_says_what_it_is(weights):
    assert weights.stat().st_size <= 4_000_000
    assert checkpoint.verify(weights)
    metadata = checkpoint.read_header(weights).metadata
    assert metadata["zoo.weights"] == "ema"
    assert int(metadata["zoo.step"]) == zoo.build("ddpm-mnist").config["training"]["steps"]


def test_it_was_trained_by_the_preset(weights):
    preset = config.resolve(config.load("ddpm-mnist"))
    # arguments that parts have got since have their defaults, which change nothing
    for written in (dict(checkpoint.read_config(weights)), RECORD / "config.yaml"):
        trained = config.resolve(config.load(written))
        assert trained["data"].pop("path") == "package"
        assert {**preset, "data": {"name": "mnist"}} == trained


def test_the_record_holds_the_whole_log():
    lines = [json.loads(line) for line in (RECORD / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[-1] == config.resolve("ddpm-mnist")["training"]["steps"]
    assert lines[-1]["loss"] < 0.1 < lines[0]["loss"]


def test_it_draws_what_the_record_shows():
    model = zoo.build("ddpm-mnist", pretrained=True)
    drawn = zoo.sample(model, 10, labels=torch.arange(10), steps=20)
    ours = np.asarray(grid(drawn, 10), dtype=float)
    shown = np.asarray(Image.open(RECORD / "samples.png").convert("RGB"), dtype=float)[: ours.shape[0]]
    # other processors round otherwise; a level of 255 on average is far more than twenty steps make of that
    assert np.abs(ours - shown).mean() < 1
