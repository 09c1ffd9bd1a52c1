"""Whole runs: what they leave behind, that they learn, and how they refuse."""

import json
import math
import os
import signal
from contextlib import ExitStack

import pytest
import torch
import yaml
from clock import CLOCK
from PIL import Image
from torch.testing import assert_close

import zoo
from zoo.files import write_atomically
from zoo.training import events, train
from zoo.training.chance import Chance
from zoo.training.noise_levels import ByNoise
from zoo.training.processes import Processes
from zoo.training.progress import Finished, Sampled, Saved, Started, Stepped
from zoo.training.resume import ResumeError
from zoo.training.run import Run
from zoo.training.run_folder import RunFolder
from zoo.training.update import TrainingError, Update


def log_of(model):
    return [json.loads(line) for line in (model.parent / "log.jsonl").read_text().splitlines()]


def losses_of(model):
    """The log without the clock."""
    return [{**line, **CLOCK} for line in log_of(model)]


def test_what_a_run_leaves_behind(whole):
    model, told = whole
    assert sorted(file.name for file in model.parent.iterdir()) == [
        "config.yaml",
        "log.jsonl",
        "loss-by-noise.png",
        "loss.png",
        "model.safetensors",
        "resume",
        "samples-000010-raw.png",
        "samples-000010.png",
        "samples-000020-raw.png",
        "samples-000020.png",
    ]
    assert isinstance(told[0], Started)
    assert "1,797 digits" in told[0].data
    assert [event.step for event in told if isinstance(event, Stepped)] == list(range(1, 21))
    assert [event.step for event in told if isinstance(event, Saved)] == [6, 12, 18, 20]
    assert [event.step for event in told if isinstance(event, Sampled)] == [10, 20]
    assert isinstance(told[-1], Finished)
    # ten rows, a class each, of eight images of 8 x 8 and gaps of two
    assert Image.open(model.parent / "samples-000020.png").size == (8 * 10 - 2, 10 * 10 - 2)
    lines = log_of(model)
    assert [line["step"] for line in lines] == list(range(2, 21, 2))
    losses = [event.loss for event in told if isinstance(event, Stepped)]
    assert lines[3]["loss"] == (losses[6] + losses[7]) / 2
    assert lines[3].keys() == {"step", "loss", "learning_rate", "grad_norm", *CLOCK, "loss_at_log_snr"}


def test_the_model_file_holds_the_average_and_its_config(whole):
    path, _ = whole
    model = zoo.load(path)
    assert model.config == zoo.config.resolve(yaml.safe_load((path.parent / "config.yaml").read_text()))
    state = torch.load(path.parent / "resume" / "step-000020" / "state.pt", weights_only=True)
    assert_close(dict(model.state_dict()), dict(state["ema"]), rtol=0, atol=0)
    assert any(not torch.equal(state["ema"][key], state["model"][key]) for key in state["ema"])


def test_it_learns_digits(run):
    model = run(steps=120, batch_size=32, learning_rate=4e-3, save_every=200, sample_every=200, log_every=20)
    losses = [line["loss"] for line in log_of(model)]
    # v has variance 1 at every time: a network that knows nothing begins near that
    assert losses[0] > 0.55
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("stop", [1, 7, 13])
def test_a_stopped_run_goes_on_as_if_it_had_not(run, whole, tmp_path, small, stop):
    steps = events(small, out=tmp_path / "run", device="cpu")
    for event in steps:
        if isinstance(event, Stepped) and event.step == stop:
            steps.close()
    parts = run()
    assert parts.read_bytes() == whole[0].read_bytes()
    assert losses_of(parts) == losses_of(whole[0])
    for name in ("samples-000010.png", "samples-000020.png"):
        assert (parts.parent / name).read_bytes() == (whole[0].parent / name).read_bytes()


def changed_state(run, small, out, change):
    """A run that stopped after its 13th step, whose state of the 12th was then changed."""
    steps = events(small, out=out, device="cpu")
    for event in steps:
        if isinstance(event, Stepped) and event.step == 13:
            steps.close()
    path = out / "resume" / "step-000012" / "state.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    return run(out.name)


def test_a_state_from_before_positions_were_kept_goes_on(run, whole, tmp_path, small):
    model = changed_state(run, small, tmp_path / "old", lambda state: state.pop("taken"))
    assert losses_of(model) == losses_of(whole[0])


def test_data_in_other_groups_begins_anew(run, whole, tmp_path, small):
    model = changed_state(run, small, tmp_path / "regrouped", lambda state: state.update(taken=[32, 64]))
    assert losses_of(model)[:6] == losses_of(whole[0])[:6]
    assert losses_of(model)[6:] != losses_of(whole[0])[6:], "from the first example on"
    state = torch.load(model.parent / "resume" / "step-000020" / "state.pt", weights_only=True)
    assert state["taken"] == [8 * 8]


def test_only_the_average_is_drawn_where_nothing_else_is_asked_for(run):
    model = run(steps=4, sample_every=4, sample_raw=False)
    assert [path.name for path in model.parent.glob("samples-*")] == ["samples-000004.png"]


def test_workers_bring_the_same_data(run):
    assert losses_of(run(steps=4, schedule="constant", num_workers=2)) == losses_of(
        run("alone", steps=4, schedule="constant")
    )


def test_a_finished_run_can_be_made_longer(run):
    run(steps=6, schedule="constant")
    longer = run(steps=12, schedule="constant")
    assert longer.read_bytes() == run("at once", steps=12, schedule="constant").read_bytes()


def test_accumulated_gradients_are_those_of_the_mean(tmp_path, small):
    config = zoo.config.load(small, overrides={"training": {"accumulate": 2, "clip_norm": None}})
    run = Run(zoo.config.resolve(config), RunFolder(tmp_path), Processes(torch.device("cpu")))
    passes = [{"x_0": run.data.x_0[i : i + 8], "labels": torch.zeros(8, dtype=torch.long)} for i in (0, 8)]
    chance = Chance(0, 0, 16)
    with run.update._seeded(0):
        mean = (
            sum(
                run.update.loss(batch, chance, range(i, i + 8), ByNoise())
                for i, batch in zip((0, 8), passes, strict=True)
            )
            / 2
        )
    expected = torch.autograd.grad(mean, list(run.model.parameters()))

    class Recorder(torch.optim.SGD):
        def step(self):
            seen.extend(parameter.grad.clone() for parameter in run.model.parameters())

    seen = []
    run.update.optimizer = Recorder(run.model.parameters(), lr=1.0)
    told = run.update(0, passes)
    # the same float32 numbers, added in another order
    assert_close(seen, list(expected), rtol=1e-4, atol=1e-7)
    assert told.loss == pytest.approx(mean.item(), rel=1e-6)
    assert told.norm == pytest.approx(math.sqrt(sum(float(one.square().sum()) for one in expected)), rel=1e-5)


def test_bf16_trains(run):
    assert zoo.load(run(steps=2, precision="bf16")).dtype == torch.float32


def test_a_network_without_classes_ignores_labels(run):
    model = run(steps=2, overrides={"denoiser": {"classes": None}, "sampling": {"guidance": None}})
    assert Image.open(model.parent / "samples-000002.png").size == (78, 78)


def test_ctrl_c_saves_and_stops(run, whole):
    def interrupt(event):
        if isinstance(event, Stepped) and event.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(on_event=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    told = []
    model = run(on_event=told.append)
    assert told[0].step == 7
    assert model.read_bytes() == whole[0].read_bytes()


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_good(run, whole, tmp_path, monkeypatch):
    inner = Update.loss
    calls = []

    def breaks(self, *args):
        calls.append(1)
        return inner(self, *args) * (float("nan") if len(calls) == 8 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "loss", breaks)
        with pytest.raises(TrainingError) as caught:
            run()
    assert str(caught.value).startswith(f"step 8: the loss is nan and the norm of its gradient nan; {tmp_path}/run/")
    assert "step-000006 is intact" in str(caught.value)
    assert run().read_bytes() == whole[0].read_bytes()


@pytest.mark.parametrize(
    ("overrides", "differ"),
    [
        ({"denoiser": {"base_channels": 16}, "parameterization": "eps"}, "denoiser, parameterization"),
        ({"training": {"steps": 3, "optimizer": {"name": "adamw", "betas": [0.8, 0.99]}}}, "training.optimizer"),
    ],
)
def test_another_run_does_not_go_on(run, overrides, differ):
    run(steps=3)
    with pytest.raises(ResumeError, match=f"holds another run: its {differ} in .*config.yaml are not these"):
        run(overrides=overrides)


def test_there_is_no_way_back(run):
    config = run(steps=3).parent / "config.yaml"
    before = config.read_bytes()
    with pytest.raises(ResumeError, match=r"is at step 3, and there is no way back to training.steps=2"):
        run(steps=2)
    assert config.read_bytes() == before


def test_a_run_that_came_to_nothing_binds_nobody(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("of: another\n")
    assert run(steps=2).exists()


def test_one_run_at_a_time_in_a_folder(run, small, tmp_path):
    pytest.importorskip("fcntl")
    steps = events(small, out=tmp_path / "run", device="cpu")
    assert isinstance(next(steps), Started)
    with pytest.raises(ResumeError, match=r"another process is training into .*run: wait for it"):
        run()
    steps.close()
    assert run(steps=2).exists()


def test_a_state_of_another_model(run):
    out = run(steps=3).parent
    (out / "config.yaml").unlink()
    log = (out / "log.jsonl").read_bytes()
    with pytest.raises(ResumeError, match=r"holds the state of another model, or a part of one .*size mismatch"):
        run(overrides={"denoiser": {"base_channels": 16}})
    assert (out / "log.jsonl").read_bytes() == log


def test_a_state_that_cannot_be_read_leaves_the_average(run):
    out = run(steps=3).parent
    (out / "resume" / "step-000003" / "state.pt").write_bytes(b"")
    with pytest.raises(ResumeError, match=r"training.init=.*model.safetensors begins with its averaged weights"):
        run()


def test_a_disk_that_is_full_keeps_what_was_good(run, whole, tmp_path, small_files):
    def fill(event):
        if isinstance(event, Saved) and event.step == 6:
            full.enter_context(small_files(100_000))

    with ExitStack() as full, pytest.raises(TrainingError, match=r"file too large; .*step-000006 is intact") as caught:
        run(on_event=fill)
    assert "Start again by the same command" in str(caught.value)
    assert run().read_bytes() == whole[0].read_bytes()


def test_lines_that_are_none_do_not_take_the_log_away(run):
    out = run(steps=6, schedule="constant").parent
    before = losses_of(out / "model.safetensors")
    lines = (out / "log.jsonl").read_bytes().splitlines(keepends=True)
    (out / "log.jsonl").write_bytes(b"".join([b"\xff\n", lines[0], b"[2]\n{}\n", *lines[1:], b'{"step": 8, "lo']))
    longer = run(steps=8, schedule="constant")
    assert losses_of(longer)[:3] == before
    assert [line["step"] for line in losses_of(longer)] == [2, 4, 6, 8]


def test_a_run_is_not_overwritten(run):
    run(steps=3)
    with pytest.raises(ResumeError, match="holds a run at step 3: continue it, or train into another folder"):
        run(resume=False)


def test_a_model_without_a_state_is_not_overwritten(run):
    model = run(steps=3)
    (model.parent / "resume" / "latest").unlink()
    with pytest.raises(ResumeError, match="but nothing to go on from"):
        run(steps=3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data": None}, "the config names no data"),
        ({"denoiser": {"classes": 9}}, "the data has 10 classes and the network 9: set denoiser.classes=10"),
    ],
)
def test_models_and_data_that_do_not_go_together(run, overrides, message):
    with pytest.raises(TrainingError, match=message):
        run(overrides=overrides)


@pytest.mark.parametrize(
    ("classes", "remarks"),
    [
        (None, ("the data has 10 classes, and the network is not told of them: set denoiser.classes=10",)),
        (10, ()),
        (11, ("the data has 10 classes and the network 11: it will not learn 10",)),
        (13, ("the data has 10 classes and the network 13: it will not learn 10 to 12",)),
    ],
)
def test_classes_that_are_there_for_nothing_are_remarked(run, classes, remarks):
    told = []
    sampling = {"guidance": None} if classes is None else {}
    run(steps=1, overrides={"denoiser": {"classes": classes}, "sampling": sampling}, on_event=told.append)
    assert told[0].remarks == remarks


def test_a_run_that_goes_on_with_other_data_says_so(run, tmp_path):
    for name in ("cats", "dogs"):
        folder = tmp_path / name / "0"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "a.png")
    cats, dogs = (
        {"denoiser": {"classes": 1}, "data": {"name": "images", "path": str(tmp_path / name), "class_folders": True}}
        for name in ("cats", "dogs")
    )
    told = []
    run(steps=2, overrides=cats)
    with pytest.raises(ResumeError, match=r"with data.path=.*cats, at step 2, its last: train into another"):
        run(steps=2, overrides=dogs)
    run(steps=3, overrides=dogs, on_event=told.append)
    assert told[0].remarks == (
        f"{tmp_path}/run holds a run with data.path={tmp_path}/cats, at step 2, which goes on with other data",
    )
    run(steps=3, overrides=dogs, on_event=told.append)
    assert told[-2].remarks == ()


def test_classes_need_labels(run, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(TrainingError, match="10 classes and the data has no labels"):
        run(overrides={"data": {"name": "images", "path": str(tmp_path)}})


def test_a_device_that_is_not_there(small, tmp_path):
    with pytest.raises(TrainingError, match="device 'cuda:99' cannot be used"):
        train(small, out=tmp_path, device="cuda:99")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fails(beside):
        beside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fails)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_photos_trains(run, tmp_path):
    for index, name in enumerate(("cat", "dog", "cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + index, 11), (index * 60, 0, 0)).save(tmp_path / "photos" / name / f"{index}.png")
    told = []
    model = run(
        steps=2,
        overrides={
            "shape": [3, 8, 8],
            "denoiser": {"in_channels": 3, "classes": 2},
            "data": {"name": "images", "path": str(tmp_path / "photos"), "class_folders": True},
        },
        on_event=told.append,
    )
    assert told[0].data.startswith("4 images of ")
    assert told[0].data.endswith("3x8x8, 2 classes")
    # two rows, a class each
    assert Image.open(model.parent / "samples-000002.png").size == (78, 18)
