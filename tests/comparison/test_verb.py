"""``zoo compare``: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

import zoo
from zoo.cli import main

TREE = Path(__file__).parent / "old_tree"
NET = TREE / "network" / "diff" / "net.py"
HPARAMS = {
    "audio_num_mel_bins": 8,
    "hidden_size": 6,
    "residual_channels": 8,
    "residual_layers": 3,
    "dilation_cycle_length": 2,
}


@pytest.fixture
def model(tmp_path):
    built = zoo.build("tiny-diffnet")
    torch.nn.init.normal_(built.denoiser.output_projection.weight)
    zoo.save(built, tmp_path / "model.safetensors")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(HPARAMS))
    return tmp_path / "model.safetensors"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["--threads", "1", "compare", *map(str, arguments)])
    return int(end.value.code or 0)


def test_two_files(model, capsys):
    assert run(model, model) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal: every output and every weight agrees"
    other = zoo.load(model)
    other.denoiser.mlp[0].weight.data.mul_(1.1)
    zoo.save(other, model.with_name("other.safetensors"))
    assert run(model, model.with_name("other.safetensors"), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["first"]["a"] == "mlp.0"
    assert [weight["a"] for weight in found["weights"]] == ["mlp.0.weight"]


def test_an_old_class_under_the_weights_of_a_file(model, capsys):
    assert (
        run(model, "--old", f"{NET}:DiffNet", "--old-root", TREE, "--old-config", model.with_name("config.yaml")) == 0
    )
    out = capsys.readouterr().out
    assert "34 of its 34 weights were loaded from denoiser.*" in out
    assert "spec (2, 1, 8, 16) float32" in out
    old = ("--old", f"{NET}:SwappedDiffNet", "--old-root", TREE, "--config", model.with_name("config.yaml"))
    assert run(model, *old, "--old-args", "in_dims=8") == 1
    assert "different: residual_layers.0: the inputs agree" in capsys.readouterr().out


def test_inputs_from_a_file(model, capsys):
    from safetensors.torch import save_file

    inputs = {"spec": torch.randn(1, 1, 8, 5), "diffusion_step": torch.tensor([7.5]), "cond": torch.randn(1, 6, 5)}
    save_file(inputs, model.with_name("io.safetensors"))
    assert run(model, model, "--inputs", model.with_name("io.safetensors")) == 0
    assert "DiffNet(x (1, 8, 5) float32, t (1) float32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name B, or an old class"),
        (("{model}", "--old", "net.py:DiffNet"), "not both"),
        (("{model}", "--old-root", "."), "belong to --old"),
        (("--old", "net.py:DiffNet"), "net.py: no such file"),
        (("{model}", "--names", "mlp"), "--names: expected A=B, got 'mlp'"),
        (("{model}", "--names", "mlp.0=mlp.9"), "b has no module 'mlp.9'"),
        (("nothing.safetensors",), "nothing.safetensors"),
    ],
)
def test_bad_input_is_one_message(model, capsys, arguments, message):
    assert run(model, *(argument.format(model=model) for argument in arguments)) == 2
    assert message in capsys.readouterr().err
