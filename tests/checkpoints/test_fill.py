"""Filling a model: it fits exactly or it is refused, and it costs the memory of its weights once."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from registry import denoisers
from zoo import checkpoint, factory
from zoo import config as configs
from zoo.checkpoint import CheckpointError
from zoo.core.diffusion import Diffusion
from zoo.parameterizations import Eps
from zoo.schedules.beta import Linear


def tiny(**overrides):
    return factory.assemble(configs.resolve(configs.load("tiny-unet", overrides=overrides)), empty=True)


def test_nothing_stays_on_the_meta_device(saved):
    model = tiny()
    assert all(tensor.is_meta for tensor in model.parameters())
    checkpoint.fill(model, saved)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_that_exists_is_filled_as_well(saved, model):
    other = zoo.build("tiny-unet")
    assert not torch.equal(other.denoiser.conv_in.weight, model.denoiser.conv_in.weight)
    checkpoint.fill(other, saved)
    assert torch.equal(other.denoiser.conv_in.weight, model.denoiser.conv_in.weight)


def test_another_width_names_the_first_tensors_with_both_shapes(saved):
    with pytest.raises(CheckpointError) as error:
        checkpoint.fill(tiny(denoiser={"base_channels": 16}), saved)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{saved}: does not fit the model"
    assert lines[1].startswith("    denoiser.")
    assert "expected shape (16, 16, 3, 3), found (8, 8, 3, 3)" in str(error.value)
    assert len(lines) == 7
    assert "more tensors of another shape" in lines[-1]


def test_another_depth_names_what_is_missing_and_what_is_unexpected(saved):
    with pytest.raises(CheckpointError, match=r"missing: denoiser\.\S+, .* and \d+ more\n"):
        checkpoint.fill(tiny(denoiser={"blocks_per_level": 2}), saved)
    with pytest.raises(CheckpointError, match=r"unexpected: denoiser\.\S+, .* and \d+ more\n?"):
        checkpoint.fill(tiny(denoiser={"channel_mult": [1], "attention_resolutions": []}), saved)


def test_a_model_that_does_not_fit_is_left_as_it_was(saved):
    model = zoo.build("tiny-unet", denoiser={"out_channels": 6}, parameterization={"learned_variance": True})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError):
        checkpoint.fill(model, saved)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_family_is_refused_by_name(saved):
    with pytest.raises(CheckpointError, match=r'denoiser is \{"name": "unet".* there, \{"name": "gaussian"'):
        checkpoint.fill(zoo.build("tiny-gaussian"), saved)


@pytest.mark.parametrize("changed", [{"parameterization": "v"}, {"schedule": "cosine"}])
def test_weights_that_fit_by_shape_alone_are_refused(saved, changed):
    (key,) = changed
    with pytest.raises(CheckpointError, match=f"holds weights for another model: {key} is"):
        checkpoint.fill(tiny(**changed), saved)


def test_how_a_table_is_interpolated_is_not_in_the_weights(saved):
    checkpoint.fill(tiny(schedule={"interpolation": "log-alpha"}), saved)


def test_integers_do_not_become_weights(tmp_path, saved):
    config = {"denoiser": {"name": "none"}}
    stored, wanted = nn.Module(), nn.Module()
    stored.register_buffer("a", torch.arange(3))
    wanted.register_buffer("a", torch.zeros(3))
    zoo.save(Diffusion(stored, Linear(), Eps(), config=config), tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"denoiser\.a: expected torch\.float32, found torch\.int64"):
        checkpoint.fill(Diffusion(wanted, Linear(), Eps(), config=config), tmp_path / "m")


def test_constants_that_no_file_holds_are_made_again(tmp_path, monkeypatch):
    class Wavy(nn.Module):
        def __init__(self, *, width: int = 4) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(width))
            self.register_buffer("frequencies", torch.arange(width) ** 2.0, persistent=False)

    monkeypatch.setattr(denoisers, "_entries", dict(denoisers._entries))
    monkeypatch.setattr(denoisers, "_factories", dict(denoisers._factories))
    denoisers.register("wavy")(Wavy)
    model = zoo.build({"denoiser": {"name": "wavy", "width": 5}})
    zoo.save(model, tmp_path / "m")
    state = torch.random.get_rng_state()
    loaded = zoo.load(tmp_path / "m")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(loaded.denoiser.frequencies, torch.tensor([0.0, 1, 4, 9, 16]))
    assert torch.equal(loaded.denoiser.weight, model.denoiser.weight)


def test_names_without_shipped_weights_say_which_have_them(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.zoo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match="no weights are shipped for 'x'; shipped: none"):
        checkpoint.shipped("x")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "one.safetensors").touch()
    assert checkpoint.shipped("one").is_file()
    with pytest.raises(CheckpointError, match="shipped: one"):
        checkpoint.shipped("two")
    with pytest.raises(CheckpointError, match="a mapping has no shipped weights"):
        checkpoint.shipped("")


PEAK = """
import resource, sys, torch, zoo
torch.set_num_threads(1)
zoo.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = zoo.load(sys.argv[2], **eval(sys.argv[3]))
with torch.no_grad():
    [float(parameter.sum()) for parameter in model.parameters()]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def peak(small, big, **arguments):
    """Bytes that loading `big` and reading all its weights adds to the most memory that a process ever had."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, small, big, repr(arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_loading_needs_the_memory_of_the_weights_once(saved, tmp_path):
    model = zoo.build("ddpm-cifar10", denoiser={"base_channels": 96})
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert size > 70e6
    full, half, foreign = tmp_path / "full", tmp_path / "half", tmp_path / "ckpt.pth"
    zoo.save(model, full)
    zoo.save(model, half, dtype=torch.float16)
    state = model.denoiser.state_dict()
    adam = {i: {"exp_avg": tensor.clone(), "exp_avg_sq": tensor.clone()} for i, tensor in enumerate(state.values())}
    raw = {f"module.{name}": tensor.clone() for name, tensor in state.items()}
    torch.save([raw, {"state": adam, "param_groups": []}, 1, 2, state], foreign)
    assert os.path.getsize(foreign) > 3.9 * size
    # 20 %: the allocator's slack and the code that the first load has not touched yet
    assert peak(saved, full) < 1.2 * size
    # the pages of the file, half a copy, may be let go at any time but count until then
    assert peak(saved, half) < 1.7 * size
    # neither the raw weights nor the optimizer's state are read
    assert peak(saved, foreign, config={"data.image_size": 32}) < 1.2 * size


def test_stored_dtypes_are_what_was_asked_for(model, tmp_path):
    zoo.save(model, tmp_path / "m", dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "m").values()} == {torch.bfloat16}
