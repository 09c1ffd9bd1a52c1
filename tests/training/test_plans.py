"""What a run will take, before it begins: told, and nothing written."""

import json

import pytest

import zoo
from zoo.description import describe
from zoo.training import plan
from zoo.training.resume import ResumeError


def planned(small, out, **training):
    return plan(small, out=out, overrides={"training": training}, device="cpu")


def test_says_what_there_is_and_writes_nothing(small, tmp_path):
    found = planned(small, tmp_path / "run", accumulate=2)
    assert list(tmp_path.iterdir()) == []
    model = zoo.build(small)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert found.parameters == found.trained == parameters
    assert found.data.startswith("1,797 digits")
    assert (found.step, found.steps, found.per_step, found.samples) == (0, 20, 16, 2)
    assert found.epochs == pytest.approx(20 * 16 / 1797)
    assert found.gradients == 4 * parameters
    # two running means of the gradient, and a number of updates for each tensor
    assert found.optimizer == 8 * parameters + 4 * len(list(model.parameters()))
    assert found.weights == found.average == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert found.seconds == pytest.approx(20 * found.seconds_per_step)
    assert found.seconds_per_step > 0
    assert found.peak > found.memory
    assert json.loads(json.dumps(found.to_dict()))["memory"] == found.memory


def test_activations_are_those_that_the_table_counts(small, tmp_path):
    found = planned(small, tmp_path)
    # the table leaves out masks of dropout and what the loss keeps; both are small
    assert found.activations == pytest.approx(8 * describe(zoo.build(small)).total.saved_bytes, rel=0.15)


def test_frozen_weights_take_less(small, tmp_path):
    full, part = planned(small, tmp_path), planned(small, tmp_path, freeze=("denoiser.down.*",))
    assert part.gradients == 4 * part.trained < full.gradients
    assert part.optimizer < full.optimizer
    assert part.parameters == full.parameters


def test_a_run_that_is_there_has_less_to_do(run, small, tmp_path):
    model = run(steps=12, schedule="constant")
    before = {file: file.stat().st_mtime_ns for file in model.parent.rglob("*")}
    found = planned(small, model.parent, schedule="constant")
    assert (found.step, found.samples) == (12, 1)
    assert found.seconds == pytest.approx(8 * found.seconds_per_step)
    assert {file: file.stat().st_mtime_ns for file in model.parent.rglob("*")} == before
    with pytest.raises(ResumeError, match="holds a run at step 12"):
        plan(small, out=model.parent, device="cpu", resume=False)
