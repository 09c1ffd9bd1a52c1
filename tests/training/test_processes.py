"""Several processes that a launch command starts do what one does with a batch as large as all of theirs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import zoo
from zoo.core.device import DeviceError
from zoo.core.diffusion import Diffusion
from zoo.objectives import Uniform
from zoo.training import plan, train
from zoo.training.processes import LaunchError, Processes, join
from zoo.training.progress import Stepped
from zoo.training.settings import Settings
from zoo.training.update import Update

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(small, tmp_path):
    """The small model without dropout, whose masks belong to a process."""
    tree = {**small, "denoiser": {**small["denoiser"], "dropout": 0.0}, "data": "digits"}
    (tmp_path / "config.yaml").write_text(zoo.config.dump(tree))
    return tmp_path / "config.yaml"


def launch(config, out, *overrides, processes=2, **options):
    """`zoo train` in so many processes; not waited for."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "zoo", "train", str(config), *overrides, "--out", str(out), "--device", "cpu"]
    # one thread each, as here: more would add the same numbers in another order
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def launched(*args, **options):
    started = launch(*args, **options)
    told, errors = started.communicate(timeout=300)
    assert started.returncode == 0, errors
    return told, errors


def wait_for(there):
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def logged(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_same_run(ours, theirs):
    """The same updates: the loss of every line, by the level of noise as well, and the weights at the end."""
    for one, other in zip(logged(ours), logged(theirs), strict=True):
        assert one["step"] == other["step"]
        # float32 gradients added in another order, through 20 updates of Adam
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
        assert one["loss_at_log_snr"] == pytest.approx(other["loss_at_log_snr"], rel=1e-3)
    weights = [
        # the loss does not depend on a bias of keys, which attention leaves out: Adam follows the rounding there
        {
            name: one
            for name, one in zoo.load(out / "model.safetensors").named_parameters()
            if not name.endswith(".k.bias")
        }
        for out in (ours, theirs)
    ]
    # an update moves a weight by up to 1e-3; were one of 20 different, some would be that far apart
    assert_close(weights[0], weights[1], rtol=0, atol=5e-5)


def test_two_processes_are_one_with_the_doubled_batch(config, tmp_path):
    _, told = launched(config, tmp_path / "two")
    assert told.count("trained for 20 steps") == 1, "one of them talks"
    train(config, out=tmp_path / "one", overrides={"training": {"batch_size": 16}}, device="cpu")
    assert_same_run(tmp_path / "two", tmp_path / "one")
    names = {file.name for file in (tmp_path / "one").iterdir()}
    assert {file.name for file in (tmp_path / "two").iterdir()} == names


class Stop(Exception):
    pass


@pytest.fixture
def whole32(config, tmp_path):
    """A run of one process, with 32 examples an update."""
    return train(config, out=tmp_path / "whole", overrides={"training": {"batch_size": 32}}, device="cpu").parent


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped(config, whole32, tmp_path):
    def stop(event):
        if isinstance(event, Stepped) and event.step == 7:
            raise Stop

    halves = {"training": {"batch_size": 16, "accumulate": 2}}
    with pytest.raises(Stop):
        train(config, out=tmp_path / "run", overrides=halves, device="cpu", on_event=stop)
    launched(config, tmp_path / "run", "training.batch_size=16")
    assert_same_run(tmp_path / "run", whole32)


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_killed(config, whole32, tmp_path):
    out = tmp_path / "run"
    started = launch(config, out, "training.batch_size=8", "training.accumulate=2", start_new_session=True)
    wait_for(lambda: (out / "resume/latest").exists())
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate(timeout=60)
    train(config, out=out, overrides={"training": {"batch_size": 32}}, device="cpu")
    assert_same_run(out, whole32)


@pytest.mark.slow
def test_ctrl_c_stops_all_of_them_at_one_step(config, tmp_path):
    out = tmp_path / "run"
    started = launch(config, out, "training.steps=100000", "training.save_every=100000", start_new_session=True)
    wait_for(lambda: (out / "log.jsonl").exists() and logged(out))
    # what a terminal does: to all processes of the group
    os.killpg(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=120)
    assert "the same command goes on from there" in told
    step = logged(out)[-1]["step"]
    state = torch.load(next((out / "resume").glob("step-*/state.pt")), weights_only=True)
    assert state["step"] >= step > 0
    assert state["taken"] == [16 * state["step"]]


@pytest.mark.slow
def test_one_of_two_is_killed_and_the_other_says_what_is_safe(config, tmp_path):
    out = tmp_path / "run"
    started = launch(config, out, "training.steps=100000", "training.save_every=5", start_new_session=True)
    wait_for(lambda: (out / "resume/latest").exists())
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    if not children.exists():
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate(timeout=60)
        pytest.skip("this system does not tell the children of a process")
    second = next(
        pid for pid in children.read_text().split() if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
    )
    os.kill(int(second), signal.SIGKILL)
    _, told = started.communicate(timeout=120)
    assert "error: another process has ended" in told
    assert "is intact: start all of them again" in told


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "each of several processes takes its own"),
        ("gpu", "device 'gpu' cannot be used"),
        ("cuda", "process 2 on this machine, whose GPUs number 1"),
        (None, "process 2 on this machine, whose GPUs number 1"),
    ],
)
def test_each_of_several_takes_its_own_device(monkeypatch, device, message):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=message):
        join(device)


class Pair(Processes):
    """Two processes, as the first of them sees it; of the second nothing is known but a flag."""

    count = 2

    def __init__(self, flag=False):
        super().__init__(torch.device("cpu"))
        self.flag = flag

    def any(self, flag):
        return flag or self.flag

    def joined(self, model, *, idle):
        self.idle = idle
        return model


@pytest.mark.parametrize("theirs", [False, True])
def test_joining_leaves_the_statistics_of_batches_alone(theirs):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.BatchNorm2d(1))
    model = Diffusion.wrap(lambda x, t: network(x))
    model.denoiser.network = network
    pair = Pair(theirs)
    optimizer = torch.optim.SGD(network.parameters())
    update = Update(model, (), Uniform(), optimizer, Settings(batch_size=4), pair, takes_labels=False)
    update(0, [{"x_0": torch.randn(4, 1, 4, 4)}])
    assert network[1].num_batches_tracked == 1
    assert pair.idle == theirs, "what is left out in one process is looked for in all"


def test_a_plan_of_two_counts_the_activations_of_one_pass(small, tmp_path, monkeypatch):
    alone = plan(small, out=tmp_path, device="cpu")
    monkeypatch.setattr("zoo.training.loop.join", lambda device: Pair())
    two = plan(small, out=tmp_path, device="cpu")
    assert two.activations == alone.activations
    assert two.per_step == 2 * alone.per_step


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WORLD_SIZE", "many", "must be the number of processes"),
        ("ACCELERATE_USE_FSDP", "true", "launch without it"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", "training.precision=bf16"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "training.compile=true"),
    ],
)
def test_launches_that_are_not_meant_are_refused(monkeypatch, name, value, message):
    for count in ("2", "1"):
        monkeypatch.setenv("WORLD_SIZE", count)
        monkeypatch.setenv(name, value)
        with pytest.raises(LaunchError, match=message):
            join("cpu")


def test_without_accelerate_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(LaunchError, match=r"pip install 'diffusion-zoo\[train\]'"):
        join("cpu")
