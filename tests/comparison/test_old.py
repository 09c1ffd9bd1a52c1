"""Old classes: their imports, their global settings, their weights, and what is said when something is amiss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from zoo.comparison import ComparisonError, compare, old_module

TREE = Path(__file__).parent / "old_tree"
NET = TREE / "network" / "diff" / "net.py"
HPARAMS = {"hidden_size": 6, "residual_channels": 8, "residual_layers": 2, "dilation_cycle_length": 4}


def test_what_was_assumed_is_told(old):
    remarks = old().remarks
    assert remarks[0].startswith("DiffNet(in_dims=10) of ")
    assert "in_dims = 10 from audio_num_mel_bins of its config" in remarks
    assert remarks[-1] == "58 of its 58 weights were loaded"


def test_imports_are_as_they_were(old):
    path, modules = list(sys.path), dict(sys.modules)
    old()
    assert sys.path == path
    assert {name for name in sys.modules.keys() - modules.keys() if name.startswith(("utils", "network"))} == set()
    assert all(sys.modules[name] is module for name, module in modules.items())


def test_settings_from_a_file_and_arguments(tmp_path):
    (tmp_path / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in HPARAMS.items()))
    built = old_module(f"{NET}:DiffNet", root=TREE, config=tmp_path / "config.yaml", args={"in_dims": 12})
    assert built.network.input_projection.in_channels == 12
    assert built(torch.randn(1, 1, 12, 9), torch.tensor([5]), torch.randn(1, 6, 9)).shape == (1, 1, 12, 9)


def test_weights_below_any_prefix_and_those_that_do_not_fit(tmp_path):
    built = old_module(f"{NET}:DiffNet", root=TREE, config=HPARAMS, args={"in_dims": 12})
    state = {f"model.denoise_fn.{key}": tensor for key, tensor in built.network.state_dict().items()}
    state["model.betas"] = torch.zeros(3)
    state["model.denoise_fn.extra"] = torch.zeros(3)
    state["model.denoise_fn.mlp.0.bias"] = torch.zeros(3)
    del state["model.denoise_fn.skip_projection.bias"]
    torch.save({"state_dict": state}, tmp_path / "model.ckpt")
    told = old_module(
        f"{NET}:DiffNet", root=TREE, config=HPARAMS, args={"in_dims": 12}, weights=tmp_path / "model.ckpt"
    ).remarks
    assert "24 of its 26 weights were loaded from state_dict.model.denoise_fn.*" in told
    assert "the checkpoint has none for skip_projection.bias" in told
    assert "the old class has no place for extra" in told
    assert "of another shape in the checkpoint, and not loaded: mlp.0.bias" in told


def test_a_class_that_stands_alone(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, in_dims, n_hidden):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Conv1d(in_dims, 4, 1), nn.Conv1d(n_hidden, 4, 1)\n"
        "        self.out = nn.Conv1d(4, in_dims, 1)\n"
        "    def forward(self, spec, diffusion_step, cond):\n"
        "        h = self.a(spec[:, 0]) + self.b(cond.transpose(1, 2))\n"
        "        return self.out(h)[:, None]\n"
    )
    net = old_module(f"{tmp_path / 'net.py'}:Net", args={"in_dims": 7, "n_hidden": 3})
    inputs = {"x": torch.randn(2, 7, 5), "t": torch.tensor([1, 2]), "cond": torch.randn(2, 3, 5)}
    found = compare(net, net, inputs)
    assert found.equal
    # the condition of this one is (B, T, H): that was found by trying
    assert "spec (2, 1, 7, 5) float32" in found.remarks[0]
    assert "cond (2, 5, 3) float32" in found.remarks[0]


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        ("net.py", {}, "expected a file and a class, such as network/diff/net.py:DiffNet"),
        ("nowhere.py:DiffNet", {}, "nowhere.py: no such file"),
        (f"{NET}:DifNet", {"root": TREE, "config": HPARAMS}, "has no network 'DifNet'\n    did you mean 'DiffNet'?"),
        (f"{NET}:DiffNet", {"config": HPARAMS}, r"ModuleNotFoundError.*or pass root= \(--old-root\)"),
        (f"{NET}:DiffNet", {"root": TREE, "config": {}}, "KeyError: 'residual_channels'"),
        (
            f"{NET}:DiffNet",
            {"root": TREE, "config": HPARAMS, "args": {"in_dim": 3}},
            "takes no argument 'in_dim'\n    did you mean 'in_dims'?",
        ),
        (f"{NET}:Block", {"root": TREE, "config": HPARAMS}, r"Block needs dilation, hidden, width: pass args="),
        (
            f"{NET}:DiffNet",
            {"root": TREE, "config": HPARAMS, "weights": {"a.b": torch.zeros(1)}},
            "the checkpoint has none of its weights: input_projection.weight",
        ),
    ],
)
def test_complaints(spec, given, message):
    with pytest.raises(ComparisonError, match=message):
        old_module(spec, **given)
