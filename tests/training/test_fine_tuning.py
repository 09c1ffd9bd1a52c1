"""Beginning with the weights of another model, and leaving some of them as they are."""

import pytest
import torch
from torch.testing import assert_close

import zoo
from zoo.training.processes import Processes
from zoo.training.progress import Started, Stepped
from zoo.training.resume import ResumeError
from zoo.training.run import Run
from zoo.training.run_folder import RunFolder
from zoo.training.start import StartError, copy_weights, freeze

FROZEN = ("denoiser.down.*",)


def built(small, tmp_path, **training):
    tree = zoo.config.resolve(zoo.config.load(small, overrides={"training": training}))
    run = Run(tree, RunFolder(tmp_path / "none"), Processes(torch.device("cpu")))
    run.initialize()
    return run


def weights(path):
    return dict(zoo.load(path).state_dict())


def test_a_run_begins_with_the_weights_of_a_file(whole, small, tmp_path):
    begun = built(small, tmp_path, init=str(whole[0]), seed=5)
    assert begun.left == ()
    assert_close(dict(begun.model.state_dict()), weights(whole[0]), rtol=0, atol=0)
    assert_close(dict(begun.ema.model.state_dict()), weights(whole[0]), rtol=0, atol=0)


def test_what_does_not_fit_is_an_error_or_listed(run, whole):
    fewer = {"denoiser": {"classes": None}, "sampling": {"guidance": None}}
    with pytest.raises(StartError, match=r"in the file alone\ntake what fits with training.init_partial=true"):
        run(steps=1, overrides={**fewer, "training": {"init": str(whole[0])}})
    told = []
    run(steps=1, overrides={**fewer, "training": {"init": str(whole[0]), "init_partial": True}}, on_event=told.append)
    assert isinstance(told[0], Started)
    assert told[0].left
    assert all("class" in line or "label" in line for line in told[0].left)


def test_another_shape_stays_random(whole, small):
    wide = zoo.build({**small, "denoiser": {**small["denoiser"], "base_channels": 16}})
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    left = copy_weights(wide, str(whole[0]), partial=True)
    shapes = {name: value.shape for name, value in weights(whole[0]).items()}
    for name, value in wide.state_dict().items():
        same_shape = value.shape == shapes[name]
        assert same_shape or torch.equal(value, before[name])
        assert same_shape == (not any(line.startswith(f"{name}:") for line in left))


def test_weights_for_another_output_do_not_fit(whole, small):
    other = zoo.build({**small, "parameterization": "eps"})
    with pytest.raises(StartError, match="parameterization: the file was trained for V, this model is Eps"):
        copy_weights(other, str(whole[0]), partial=False)


def test_a_model_of_another_family_is_refused(whole):
    with pytest.raises(StartError, match=r"no weight of .* fits this model: it is of another family"):
        copy_weights(zoo.build("tiny-dit"), str(whole[0]), partial=True)


def test_frozen_weights_stay_and_hold_nothing(run, small, tmp_path):
    told = []
    model = run(steps=4, freeze=FROZEN, on_event=told.append)
    assert 0 < told[0].trained < told[0].parameters
    begun = built(small, tmp_path)
    before = dict(begun.model.state_dict())
    after = weights(model)
    frozen = {name for name in after if name.startswith("denoiser.down.")}
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in after if name not in frozen)
    state = torch.load(model.parent / "resume" / "step-000004" / "state.pt", weights_only=True)
    trained = sum(1 for name, _ in begun.model.named_parameters() if name not in frozen)
    assert len(state["optimizer"]["state"]) == trained


def test_fine_tuning_goes_on_as_if_it_had_not_stopped(run, whole, tmp_path):
    def stop(event):
        if isinstance(event, Stepped) and event.step == 7:
            raise RuntimeError

    file = tmp_path / "begin.safetensors"
    file.write_bytes(whole[0].read_bytes())
    settings = {"init": str(file), "freeze": FROZEN, "steps": 12}
    at_once = run("at once", **settings)
    with pytest.raises(RuntimeError):
        run(**settings, on_event=stop)
    # what a run begins with is in its state from then on
    file.unlink()
    assert run(**settings).read_bytes() == at_once.read_bytes()


@pytest.mark.parametrize("change", [{"freeze": ("denoiser.up.*",)}, {"init": None}])
def test_another_beginning_is_another_run(run, whole, change):
    settings = {"init": str(whole[0]), "freeze": FROZEN, "steps": 3}
    run(**settings)
    with pytest.raises(ResumeError, match=f"its training.{next(iter(change))} in"):
        run(**{**settings, **change})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("denoiser.dwon.*", r"'denoiser.dwon.\*' matches no parameter; there are .*denoiser.down.\*"),
        ("*", "nothing is left"),
    ],
)
def test_patterns_that_cannot_be_meant(small, pattern, message):
    with pytest.raises(StartError, match=message):
        freeze(zoo.build(small), (pattern,))


def test_statistics_of_frozen_layers_stay():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    freeze(model, ("0.*",))
    model(torch.randn(8, 2) + 3)
    assert torch.equal(model[0].running_mean, torch.zeros(2))
    assert not torch.equal(model[2].running_mean, torch.zeros(2))


def test_shipped_weights_are_begun_with_by_name():
    model = zoo.build("ddpm-mnist")
    assert copy_weights(model, "ddpm-mnist", partial=False) == ()
    assert_close(model.state_dict(), zoo.build("ddpm-mnist", pretrained=True).state_dict(), rtol=0, atol=0)
