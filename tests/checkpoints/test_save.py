"""Saving: nothing is lost, and what was there survives every failure."""

import errno
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import zoo
from zoo import checkpoint, files
from zoo.checkpoint import CheckpointError
from zoo.core.diffusion import Diffusion
from zoo.parameterizations import Eps
from zoo.schedules.beta import Linear

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.int64,
    torch.int16, torch.uint8, torch.bool,
]  # fmt: skip


def holding(tensors, device="cpu"):
    """A model whose network is nothing but these parameters and buffers."""
    net = nn.Module()
    for i, tensor in enumerate(tensors):
        tensor = tensor.to(device)
        if tensor.is_floating_point() and i % 2:
            net.register_parameter(f"p{i}", nn.Parameter(tensor))
        else:
            net.register_buffer(f"b{i}", tensor)
    return Diffusion(net, Linear(), Eps(), config={"denoiser": {"name": "none"}})


def same(a, b):
    """Bit for bit: the comparison of numbers would let NaN and -0.0 pass or fail wrongly."""
    bits = [torch.empty(t.shape, dtype=t.dtype).copy_(t).reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    raw = torch.randint(
        0, 256, (*shape, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    dtype = draw(st.sampled_from(DTYPES))
    if dtype == torch.bool:
        return raw[..., 0] > 99
    wide = raw[..., : dtype.itemsize].contiguous().view(dtype)[..., 0]  # any bits at all, NaN included
    return wide.mT if draw(st.booleans()) and wide.ndim > 1 else wide


@given(held=st.lists(tensors(), max_size=5))
def test_any_tensors_come_back_bit_for_bit(held, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    checkpoint.save(holding(held), path)
    checkpoint.verify(path)
    back = holding(held, device="meta")
    checkpoint.fill(back, path)
    expected = holding(held).state_dict()
    assert back.state_dict().keys() == expected.keys()
    assert all(same(tensor, expected[name]) for name, tensor in back.state_dict().items())


@pytest.mark.parametrize("name", ["tiny-unet", "tiny-gaussian", "tiny-mixture"])
def test_a_loaded_model_is_the_saved_one(name, tmp_path):
    model = zoo.build(name).eval()
    zoo.save(model, tmp_path / "m.safetensors")
    loaded = zoo.load(tmp_path / "m.safetensors")
    assert not loaded.training
    assert loaded.config == model.config
    assert all(same(tensor, loaded.state_dict()[key]) for key, tensor in model.state_dict().items())
    x = torch.randn(2, *model.shape)
    assert torch.equal(loaded.denoiser(x, torch.tensor([5, 9])), model.denoiser(x, torch.tensor([5, 9])))


def test_the_same_model_makes_the_same_bytes(model, tmp_path):
    for name in "ab":
        zoo.save(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_and_a_scaling_travel_with_the_weights(tmp_path):
    table = torch.linspace(0.99, 0.01, 10, dtype=torch.float64)
    config = {
        **zoo.build("tiny-unet").config,
        "schedule": {"name": "table", "steps": 10},
        "scaling": {"name": "min-max", "low": [-1.0, -2.0, -3.0], "high": 4.0},
    }
    model = zoo.build(config)
    model.schedule.load_tensors({"alphas_cumprod": table})
    zoo.save(model, tmp_path / "m", dtype=torch.float16)
    loaded = zoo.load(tmp_path / "m")
    assert torch.equal(loaded.schedule(torch.arange(10)).alpha, table.sqrt())
    assert torch.equal(loaded.scaling.low, model.scaling.low)
    assert loaded.scaling.low.dtype == torch.float64


def test_half_precision_is_a_matter_of_the_file(model, tmp_path):
    full, half = tmp_path / "full", tmp_path / "half"
    zoo.save(model, full)
    zoo.save(model, half, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = zoo.load(half)
    assert loaded.dtype == torch.float32
    assert zoo.load(half, dtype=torch.float16).dtype == torch.float16
    for name, tensor in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), tensor.half().float())


def test_half_precision_leaves_tables_alone(tmp_path):
    model = zoo.build("tiny-mixture")
    zoo.save(model, tmp_path / "m", dtype=torch.float16)
    assert torch.equal(zoo.load(tmp_path / "m").denoiser.means, model.denoiser.means)


def test_a_weight_too_large_for_half_is_refused(model, tmp_path):
    with torch.no_grad():
        model.denoiser.conv_in.bias[0] = 1e5
    with pytest.raises(
        CheckpointError, match=r"denoiser\.conv_in\.bias has numbers that are too large for torch\.float16"
    ):
        zoo.save(model, tmp_path / "m", dtype=torch.float16)
    assert not list(tmp_path.iterdir())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    config = {"denoiser": {"name": "tied"}}
    model = Diffusion(Tied(), Linear(), Eps(), config=config)
    zoo.save(model, tmp_path / "m")
    assert list(checkpoint.read_header(tmp_path / "m").tensors).count("denoiser.second.weight") == 0
    with torch.device("meta"):
        empty = Tied()
    back = Diffusion(empty, Linear(), Eps(), config=config)
    checkpoint.fill(back, tmp_path / "m")
    assert back.denoiser.first.weight is back.denoiser.second.weight
    assert torch.equal(back.denoiser.first.weight, model.denoiser.first.weight)


def test_a_wrapped_function_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match="not built from a config"):
        zoo.save(Diffusion.wrap(lambda x, t: x), tmp_path / "m")


def test_an_empty_model_cannot_be_saved(model, tmp_path):
    with pytest.raises(CheckpointError, match=r"denoiser\..* has no values yet"):
        zoo.save(model.to("meta"), tmp_path / "m")


def fails(error):
    def call(*arguments, **keywords):
        raise error

    return call


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
@pytest.mark.parametrize("place", ["replace", "fsync"])
def test_what_was_there_survives(saved, model, monkeypatch, place, error):
    before = saved.read_bytes()
    monkeypatch.setattr(files.os, place, fails(error))
    with pytest.raises(CheckpointError if error is FULL else KeyboardInterrupt) as raised:
        zoo.save(model, saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]
    if error is FULL:
        assert "cannot be written: no space left on device; nothing was changed" in str(raised.value)


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
@pytest.mark.parametrize("writes", [0, 1, 20])
def test_a_failure_between_two_tensors_leaves_nothing(saved, model, monkeypatch, writes, error):
    before = saved.read_bytes()
    opened = Path.open

    class Fragile:
        def __init__(self, file):
            self.file, self.left = file, writes

        def write(self, data):
            if not self.left:
                raise error
            self.left -= 1
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    def fragile(path, mode="r", *arguments, **keywords):
        file = opened(path, mode, *arguments, **keywords)
        return Fragile(file) if "w" in mode else file

    monkeypatch.setattr(Path, "open", fragile)
    with pytest.raises((CheckpointError, KeyboardInterrupt)):
        zoo.save(model, saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_folder_that_is_not_there(model):
    with pytest.raises(CheckpointError, match="cannot be written: no such file or directory"):
        zoo.save(model, "/no/such/folder/m.safetensors")


def test_a_link_stays_a_link(model, tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    zoo.save(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    checkpoint.verify(tmp_path / "real")


def test_a_mapped_file_may_be_overwritten_by_its_own_model(saved):
    model = zoo.load(saved)
    before = model.denoiser.conv_in.weight.clone()
    with torch.no_grad():
        model.denoiser.conv_in.bias.add_(1)
    zoo.save(model, saved)
    assert torch.equal(model.denoiser.conv_in.weight, before)
    assert torch.equal(zoo.load(saved).denoiser.conv_in.bias, model.denoiser.conv_in.bias)


def test_training_a_loaded_model_leaves_its_file_alone(saved):
    before = saved.read_bytes()
    model = zoo.load(saved).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    x = torch.randn(2, *model.shape)
    model(x, torch.tensor([1.0, 2.0]), torch.randn_like(x)).mean().backward()
    optimizer.step()
    assert saved.read_bytes() == before
