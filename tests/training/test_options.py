"""Options of training that change how it is done, or who looks on."""

import json
import shutil
import sys

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import zoo
from zoo.core.diffusion import Diffusion
from zoo.objectives import Uniform
from zoo.training.board import Board
from zoo.training.chance import Chance
from zoo.training.noise_levels import ByNoise
from zoo.training.processes import Processes
from zoo.training.settings import Settings
from zoo.training.update import TrainingError, Update

N = 200


def update_of(network, **settings):
    model = Diffusion.wrap(network)
    settings = Settings(batch_size=N, **settings)
    return Update(model, (), Uniform(), None, settings, Processes(torch.device("cpu")), takes_labels=False)


def test_conditions_are_hidden_from_a_share_of_the_examples():
    seen = []

    def network(x, t, cond):
        seen.append(cond[:, 0])
        return x * 0

    update = update_of(network, condition_dropout=0.25)
    batch = {"x_0": torch.randn(N, 1, 2, 2), "cond": torch.ones(N, 3)}
    update.loss(batch, Chance(0, 0, N), range(N), ByNoise())
    update.loss(batch, Chance(0, 1, N), range(N), ByNoise())
    hidden = [(one == 0).float().mean().item() for one in seen]
    # four standard deviations of a share of 200
    assert hidden == pytest.approx([0.25, 0.25], abs=0.13)
    assert not torch.equal(*seen), "others at every step"


def test_labels_are_hidden_from_a_share_of_the_examples():
    seen = []

    def network(x, t, labels):
        seen.append(labels)
        return x * 0

    update = update_of(network, label_dropout=0.25)
    update.takes_labels = True
    update.loss({"x_0": torch.randn(N, 1, 2, 2), "labels": torch.ones(N).long()}, Chance(0, 0, N), range(N), ByNoise())
    # four standard deviations of a share of 200
    assert (seen[0] == -1).float().mean().item() == pytest.approx(0.25, abs=0.13)
    assert set(seen[0].tolist()) == {-1, 1}


def test_pictures_to_be_enlarged_are_hidden_from_a_share_of_the_examples():
    seen = []

    def network(x, t, low_res, labels):
        seen.append((low_res, labels))
        return x * 0

    update = update_of(network, low_res_dropout=0.25, label_dropout=0.25)
    update.takes_labels = True
    batch = {"x_0": torch.randn(N, 1, 4, 4), "low_res": torch.ones(N, 1, 2, 2), "labels": torch.ones(N).long()}
    update.loss(batch, Chance(0, 0, N), range(N), ByNoise())
    pictures, labels = seen[0]
    assert torch.equal(pictures.amin((1, 2, 3)), pictures.amax((1, 2, 3))), "whole pictures"
    without = pictures[:, 0, 0, 0] == 0
    # four standard deviations of a share of 200
    assert without.float().mean().item() == pytest.approx(0.25, abs=0.13)
    assert not torch.equal(without, labels == -1), "chances of their own"


SELF_CONDITIONED = {
    "denoiser": {"name": "lucid", "in_channels": 1, "base_channels": 8, "channel_mult": [1], "self_conditioned": True},
    "sampling": {"guidance": None},
}


def test_self_conditioning_does_not_depend_on_how_an_update_is_dealt_out(run):
    steps = {"steps": 8, "sample_raw": False, "overrides": SELF_CONDITIONED}
    whole = run("whole", batch_size=16, **steps)
    halves = run("halves", batch_size=8, accumulate=2, **steps)
    # float32 gradients added in another order, through 8 updates of Adam of up to 1e-3 each
    assert_close(dict(zoo.load(halves).named_parameters()), dict(zoo.load(whole).named_parameters()), rtol=0, atol=5e-5)


def test_the_first_look_of_self_conditioning_takes_no_gradients_away_in_bf16():
    model = zoo.build({**SELF_CONDITIONED, "schedule": "cosine", "parameterization": "v", "shape": [1, 8, 8]}).train()
    x_0, eps = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    # casts of weights are kept for the second pass: they must be such that gradients go through
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(x_0, t=500, eps=eps, estimate=True).mean().backward()
    missing = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()]
    assert not missing


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="needs a compiler")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_compiled_network_learns_the_same(run, checkpointing):
    quiet = {"denoiser": {"dropout": 0.0}}
    plain = run("plain", steps=4, overrides=quiet)
    compiled = run("compiled", steps=4, compile=True, checkpointing=checkpointing, overrides=quiet)
    # the kernels add float32 numbers in another order
    theirs = zoo.load(plain).state_dict()
    assert_close(
        {name: one for name, one in zoo.load(compiled).state_dict().items() if ".k.bias" not in name},
        {name: one for name, one in theirs.items() if ".k.bias" not in name},
        rtol=0,
        atol=5e-5,
    )


def test_tensorboard_shows_the_log_and_the_samples(run):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = run(steps=12, tensorboard=True)
    # a run that goes on writes on
    model = run(steps=20, tensorboard=True)
    shown = events.EventAccumulator(str(model.parent / "tensorboard"))
    shown.Reload()
    lines = [json.loads(line) for line in (model.parent / "log.jsonl").read_text().splitlines()]
    assert [(one.step, one.value) for one in shown.Scalars("loss")] == [
        (line["step"], pytest.approx(line["loss"])) for line in lines
    ]
    assert [one.step for one in shown.Images("samples")] == [10, 12, 20]
    assert any(tag.startswith("loss_at_log_snr/") for tag in shown.Tags()["scalars"])


def test_tensorboard_forgets_what_a_killed_run_drew_after_its_state(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    picture = tmp_path / "picture.png"
    Image.new("RGB", (2, 2)).save(picture)
    killed = Board(tmp_path)
    for step in (4, 6, 8):
        killed.write({"step": step, "loss": 1.0})
        killed.picture("samples", step, picture)
    again = Board(tmp_path)
    again.begin(6)
    # later than 8, as when it logs less often
    again.write({"step": 10, "loss": 1.0})
    again.picture("samples", 10, picture)
    shown = events.EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    assert [one.step for one in shown.Scalars("loss")] == [4, 6, 10]
    assert [one.step for one in shown.Images("samples")] == [4, 6, 10]


def test_without_tensorboard_it_is_asked_for(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'diffusion-zoo\[tensorboard\]'"):
        run(tensorboard=True)
    assert not (tmp_path / "run").exists()
