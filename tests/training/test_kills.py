"""Killed at any moment, a run goes on to the same weights, samples and log."""

import itertools
import json
import multiprocessing
import os
import random
import shutil
import time

import pytest
import torch
from clock import CLOCK

from zoo.training import train
from zoo.training.resume import ResumeFolder

# a child of a fork has everything imported already, so that most of its time is spent where a kill is interesting
pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork to start children fast enough"
)


def in_child(work, kill_after=None):
    """Run in a process of its own, for so many seconds at most; its exit code."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(kill_after)
    process.kill()
    process.join()
    return process.exitcode


def test_there_is_a_state_at_any_moment_of_writing_one(tmp_path):
    for step in (5, 6):
        for operation in itertools.count(1):
            folder = ResumeFolder(tmp_path / f"{step}-{operation}")
            folder.write(5, {"weights": torch.zeros(3)})

            def work(folder=folder, operation=operation, step=step):
                dying_at(operation)
                folder.write(step, {"weights": torch.zeros(3)})

            done = in_child(work) == 0
            assert folder.read()["step"] in (5, step)
            if done:
                break
    assert operation > 8


def assert_same(out, whole):
    """Model, samples and log of a run are those of the run that nothing disturbed."""
    names = sorted(file.name for file in whole.parent.iterdir() if not file.name.startswith("loss"))
    assert sorted(file.name for file in out.iterdir() if not file.name.startswith("loss")) == names
    for name in names:
        if name.endswith((".safetensors", ".png", ".yaml")):
            assert (out / name).read_bytes() == (whole.parent / name).read_bytes(), name
    ours, theirs = (
        [{**json.loads(line), **CLOCK} for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (out, whole.parent)
    )
    assert ours == theirs


def kill_and_finish(out, small, kills, seconds, seed):
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        code = in_child(lambda: train(small, out=out, device="cpu"), moments.uniform(0, seconds))
        killed += 1
        if code == 0:
            break
        assert code == -9
    return killed


@pytest.fixture(scope="session")
def seconds(whole, small, tmp_path_factory):
    """How long a whole run takes in a child, on this machine and now."""
    began = time.monotonic()
    assert in_child(lambda: train(small, out=tmp_path_factory.mktemp("timed"), device="cpu")) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(whole, small, tmp_path, seconds, kills):
    out = tmp_path / "run"
    # each child gets a part of the time, so that the kills spread over the run
    done = kill_and_finish(out, small, kills, 2 * seconds / 3 if kills == 3 else seconds / 2, seed=kills)
    assert done >= 2, "the run was over before it could be killed twice"
    train(small, out=out, device="cpu")
    assert_same(out, whole[0])


def dying_at(operation):
    """Patch every call by which a run changes the disk, to end the process right before the one of that number."""
    calls = 0

    def fatal(inner):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == operation:
                os._exit(9)
            return inner(*args, **kwargs)

        return call

    for module, name in ((os, "replace"), (os, "rename"), (os, "fsync"), (shutil, "rmtree"), (torch, "save")):
        setattr(module, name, fatal(getattr(module, name)))


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_any_write(whole, small, tmp_path, stride):
    for operation in itertools.count(1, stride):
        out = tmp_path / str(operation)

        def work(out=out, operation=operation):
            dying_at(operation)
            train(small, out=out, device="cpu")

        if in_child(work) == 0:
            break
        train(small, out=out, device="cpu")
        assert_same(out, whole[0])
    assert operation > 60, "a run of 20 steps was over after fewer writes than it needs"
