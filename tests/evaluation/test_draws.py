"""Samples that do not depend on who draws them."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
import torch

import zoo
from zoo.core.diffusion import Callback
from zoo.evaluation import EvaluationError, draws, result
from zoo.evaluation.draws import draw


@pytest.fixture
def model():
    return zoo.build("tiny-mixture")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(draws, "CHUNK", 4)


def drawn(model, n, **options):
    return result(draw(model, n, steps=3, **options))


def test_sample_i_is_that_of_the_seed_i_further(model):
    several = drawn(model, 10, seed=7)
    assert several.shape == (10, 2)
    for index in (0, 3, 9):
        alone = zoo.sample(model, 1, seed=[7 + index], steps=3)[0]
        # an analytic network in float32, in batches of another size
        torch.testing.assert_close(several[index], alone, rtol=1e-5, atol=1e-6)
    # a later start is a later piece of the same row of samples
    torch.testing.assert_close(drawn(model, 4, seed=10), several[3:7], rtol=1e-5, atol=1e-6)


def test_one_process_and_two_draw_the_same(model):
    """Threads are one here, so that nothing is summed in another order: to the last bit."""
    how = {"seed": 3, "sampler": {"name": "ddim", "eta": 1.0}}
    one = drawn(model, 11, processes=1, **how)
    assert torch.equal(drawn(model, 11, processes=2, **how), one)
    assert not torch.equal(drawn(model, 11, seed=3), one)


@pytest.mark.slow
def test_weights_mapped_from_a_file_round_alike(tmp_path):
    zoo.save(zoo.build("tiny-unet"), tmp_path / "model.safetensors")
    model = zoo.load(tmp_path / "model.safetensors")
    # what makes the difference: a copy begins at a multiple of 64
    assert any(tensor.data_ptr() % 64 for tensor in model.parameters())
    two = drawn(model, 8, processes=2)
    assert torch.equal(drawn(model, 8, processes=1), two)
    assert not any(tensor.data_ptr() % 64 for tensor in model.parameters())


def test_more_processes_than_work_are_not_started(model):
    assert torch.equal(drawn(model, 3, processes=5), drawn(model, 3))


def test_labels_go_with_their_samples():
    def network(x, t, labels):
        return x - labels.to(x)[:, None]

    model = zoo.Diffusion.wrap(network, shape=(2,), parameterization="x0")
    labels = torch.arange(10)
    ends = drawn(model, 10, labels=labels, seed=5)
    for index in (0, 4, 9):
        alone = zoo.sample(model, 1, seed=[5 + index], steps=3, labels=labels[index : index + 1])
        torch.testing.assert_close(ends[index], alone[0], rtol=1e-5, atol=1e-6)


def test_tells_how_far_it_is(model):
    assert [(step.done, step.total) for step in draw(model, 10, steps=1)] == [(0, 10), (4, 10), (8, 10), (10, 10)]
    assert {step.stage for step in draw(model, 10, steps=1)} == {"sampling"}


@pytest.mark.slow
def test_the_model_stays_as_it_was():
    model = zoo.build("tiny-unet").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn(model, 5, processes=2)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_a_process_refuses_is_told_as_by_this_one(model):
    with pytest.raises(EvaluationError, match="did you mean 'ddim'"):
        drawn(model, 10, processes=2, sampler="dimm")
    assert not _children()


@pytest.mark.slow
def test_no_process_is_left_when_the_caller_stops(model):
    steps = draw(model, 40, steps=3, processes=2)
    next(steps)
    next(steps)
    assert len(_children()) == 2
    steps.close()
    assert not _children()


@pytest.mark.slow
def test_a_process_that_dies_is_noticed(model):
    steps = draw(model, 4000, steps=50, processes=2)
    next(steps)
    next(steps)
    os.kill(_children()[0].pid, 9)
    with pytest.raises(EvaluationError, match=r"ended with code -9; when memory ran out"):
        result(steps)
    assert not _children()


ENDLESS = """
import multiprocessing, threading, zoo
from zoo.evaluation.draws import draw


def tell():
    while len(multiprocessing.active_children()) < 2:
        pass
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)


if __name__ == "__main__":
    threading.Thread(target=tell).start()
    list(draw(zoo.build("tiny-unet"), 100, steps=900, processes=2))
"""


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "script.py").write_text(ENDLESS)
    script = subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in script.stdout.readline().split()]
    script.kill()
    try:
        # they hold the pipe as well: it ends when the last of them does, long before they have drawn anything
        script.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        pytest.fail("they went on")


def test_a_model_that_no_file_could_hold_needs_one_process():
    model = zoo.Diffusion.wrap(Callback(lambda x, t: x), shape=(2,))
    with pytest.raises(EvaluationError, match="use one process"):
        drawn(model, 10, processes=2)
    assert drawn(model, 10).shape == (10, 2)


def test_needs_a_process(model):
    with pytest.raises(EvaluationError, match="at least 1, got 0"):
        drawn(model, 10, processes=0)


def _children():
    return [child for child in multiprocessing.active_children() if child.name.startswith("zoo-evaluate")]
