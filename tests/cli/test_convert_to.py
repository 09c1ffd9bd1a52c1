"""`zoo convert --to diffusers`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.checkpoint import save
from zoo.factory import build
from zoo.loading import load


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A model in the folder where the verb is called."""
    save(build("tiny-unet2d"), tmp_path / "m.safetensors")
    return "m.safetensors"


def test_writes_a_folder_that_is_loaded_again(zoo, file, tmp_path):
    done = zoo("convert", file, "--to", "diffusers", "--out", "pipeline", "--json")
    assert done.code == 0
    assert any("use_clipped_model_output" in line for line in json.loads(done.out)["unsaid"])
    assert load(tmp_path / "pipeline").config["denoiser"]["widths"] == [8, 16]


def test_samples_otherwise_there(zoo, file, tmp_path):
    refused = zoo("convert", file, "--to", "diffusers", "--out", "pipeline", "sampler=er-sde")
    assert refused.code == 2
    assert "diffusers has no scheduler for it" in refused.err
    overrides = ("sampling.spacing=leading", "sampling.clip=false")
    assert zoo("convert", file, "--to", "diffusers", "--out", "pipeline", *overrides).code == 0
    config = json.loads((tmp_path / "pipeline" / "scheduler" / "scheduler_config.json").read_text())
    assert (config["timestep_spacing"], config["clip_sample"]) == ("leading", False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "diffusers", "--out", "pipeline", "--force"), "writes a new folder"),
        (("--to", "diffusers", "--out", "p.safetensors"), "writes a new folder"),
        (("--out", "other.safetensors", "sampler=ddpm"), "overrides go with --to"),
    ],
)
def test_refuses_what_goes_with_one_of_the_two(zoo, file, arguments, message):
    refused = zoo("convert", file, *arguments)
    assert refused.code == 2
    assert message in refused.err
