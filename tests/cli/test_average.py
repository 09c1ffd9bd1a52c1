"""``zoo average``: an average of another width out of the snapshots of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torch.testing import assert_close

import zoo as library
from zoo.checkpoint import read_header

SMALL = ("training.batch_size=4", "denoiser.base_channels=8", "training.sample_every=9", "--device", "cpu")


@pytest.fixture
def run(zoo) -> str:
    """The folder of a run of four updates with two profiles, where the verb is called."""
    pytest.importorskip("sklearn")
    kept = ("training.steps=4", "training.save_every=2", "training.ema_profiles=[0.05, 0.1]")
    assert zoo("train", "ddpm-digits", *SMALL, *kept, "--out", "run").code == 0
    return "run"


def test_makes_a_model_of_snapshots(zoo, run):
    done = zoo("average", run, "--width", "0.1", "--out", "a.safetensors")
    assert (done.code, done.err) == (0, "a.safetensors: sigma_rel 0.1, up to step 4\n")
    # a width that was kept is its own snapshot; the factors of four that are alike, in float64
    kept = library.load(Path(run, "averages", "step-000004-1.safetensors"))
    assert_close(dict(library.load("a.safetensors").state_dict()), dict(kept.state_dict()), rtol=1e-5, atol=1e-6)
    held = read_header(Path("a.safetensors")).metadata
    assert (held["zoo.step"], held["zoo.weights"], held["zoo.note.sigma_rel"]) == ("4", "ema", "0.1")


def test_an_earlier_end(zoo, run):
    assert zoo("average", run, "--width", "0.05", "--step", "2", "--out", "a.safetensors").code == 0
    assert read_header(Path("a.safetensors")).metadata["zoo.step"] == "2"
    kept = library.load(Path(run, "averages", "step-000002-0.safetensors"))
    assert_close(dict(library.load("a.safetensors").state_dict()), dict(kept.state_dict()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "0.5", "--out", "a.safetensors"), "sigma_rel must be above 0 and below 0.289, got 0.5"),
        (("--width", "nan", "--out", "a.safetensors"), "sigma_rel must be above 0 and below 0.289, got nan"),
        (("--width", "0.1", "--step", "3", "--out", "a.safetensors"), "no snapshot at step 3; there are some at 2, 4"),
        (("--width", "0.1", "--step", "5", "--out", "a.safetensors"), "no snapshot at step 5; there are some at 2, 4"),
        (("--width", "0.1", "--out", "a.pt"), "'a.pt' is no .safetensors file"),
        (("--width", "0.1", "--out", "no/a.safetensors"), "there is no folder 'no'"),
        (("--width", "0.1", "--out", "run/model.safetensors"), "exists; --force replaces it"),
    ],
)
def test_what_cannot_be_made(zoo, run, arguments, message):
    before = Path("run/model.safetensors").read_bytes()
    refused = zoo("average", run, *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert not list(Path().glob("a.*"))
    assert Path("run/model.safetensors").read_bytes() == before


def test_a_folder_with_other_models(zoo, run):
    shutil.copy("run/model.safetensors", "run/averages/step-000009-0.safetensors")
    refused = zoo("average", run, "--width", "0.1", "--out", "a.safetensors")
    assert refused.code == 2
    assert "step-000009-0.safetensors is no snapshot of an average" in refused.err
