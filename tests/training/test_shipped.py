"""The models that come with the zoo: their files, their records, and that they still draw what the records show."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import checkpoint, config
from zoo.images import grid

RECORDS = Path(__file__).parents[2] / "docs" / "models"

# name -> what the data was called when the model was trained, and how the first row of its picture is asked for
SHIPPED = {
    "ddpm-emoji": ({"name": "images", "path": "package/assets"}, {"n": 8}),
    "ddpm-mnist": ({"name": "mnist", "path": "package"}, {"n": 10, "labels": torch.arange(10), "steps": 20}),
    "timm-unet-emoji": ({"name": "images", "path": "package/assets"}, {"n": 8}),
}

pytestmark = pytest.mark.parametrize("name", SHIPPED)


def test_the_file_is_small_whole_and_says_what_it_is(name):
    weights = checkpoint.shipped(name)
    assert weights.stat().st_size <= 16_000_000
    assert checkpoint.verify(weights)
    metadata = checkpoint.read_header(weights).metadata
    assert metadata["zoo.weights"] == "ema"
    assert int(metadata["zoo.step"]) == zoo.build(name).config["training"]["steps"]


def test_it_was_trained_by_the_preset(name):
    preset = config.resolve(config.load(name))
    data, _ = SHIPPED[name]
    # arguments that parts have got since have their defaults, which change nothing
    preset["data"] = config.resolve(config.load(name, overrides={"data": data}))["data"]
    for written in (dict(checkpoint.read_config(checkpoint.shipped(name))), RECORDS / name / "config.yaml"):
        assert config.resolve(config.load(written)) == preset


def test_the_record_holds_the_whole_log(name):
    lines = [json.loads(line) for line in (RECORDS / name / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[-1] == config.resolve(name)["training"]["steps"]
    assert lines[-1]["loss"] < lines[0]["loss"] / 3


def test_it_draws_what_the_record_shows(name):
    _, asked = SHIPPED[name]
    row = grid(zoo.sample(zoo.build(name, pretrained=True), **asked), asked["n"])
    ours = np.asarray(row, dtype=float)
    shown = np.asarray(Image.open(RECORDS / name / "samples.png").convert("RGB"), dtype=float)[: ours.shape[0]]
    # other processors round otherwise; a level of 255 on average is far more than a few steps make of that
    assert np.abs(ours - shown).mean() < 1


def test_all_that_are_shipped_are_here(name):
    assert checkpoint.shipped(name).parent.joinpath(f"{name}.safetensors").is_file()
    assert sorted(file.stem for file in checkpoint.shipped(name).parent.glob("*.safetensors")) == sorted(SHIPPED)
