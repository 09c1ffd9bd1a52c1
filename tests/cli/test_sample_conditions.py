"""``zoo sample --cond``: conditions from a file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.cli import main


@pytest.fixture
def model(tmp_path):
    built = zoo.build("tiny-diffnet", shape=[8, None])
    torch.nn.init.normal_(built.denoiser.output_projection.weight)
    zoo.save(built, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["--threads", "1", "sample", *map(str, arguments)])
    return int(end.value.code or 0)


def test_samples_are_as_many_and_as_long_as_the_condition(model):
    cond = torch.randn(2, 6, 11)
    save_file({"cond": cond}, model.with_name("cond.safetensors"))
    out = model.with_name("mel.safetensors")
    assert run(model, "--cond", model.with_name("cond.safetensors"), "--out", out) == 0
    expected = zoo.sample(zoo.load(model), 2, shape=(8, 11), cond=cond)
    assert torch.equal(load_file(out)["samples"], expected)


def test_rows_that_are_not_one_a_sample(model, capsys):
    save_file({"cond": torch.randn(2, 6, 11)}, model.with_name("cond.safetensors"))
    arguments = (model, "--cond", model.with_name("cond.safetensors"), "--out", model.with_name("mel.safetensors"))
    assert run(*arguments, "-n", 3) == 2
    assert "--cond: expected one row a sample in each tensor; cond has 2" in capsys.readouterr().err
