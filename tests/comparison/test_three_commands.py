"""The three commands of docs/diff-svc.md bring an old model over, as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from zoo.cli import main
from zoo.comparison import old_module

ROOT = Path(__file__).parents[2]
TREE = Path(__file__).parent / "old_tree"
HPARAMS = {
    "audio_num_mel_bins": 10,
    "hidden_size": 6,
    "residual_channels": 8,
    "residual_layers": 3,
    "dilation_cycle_length": 4,
    "timesteps": 20,
    "pndm_speedup": 5,
    "f0_min": 40.0,
    "f0_max": 1100.0,
    "f0_bin": 256,
    "use_energy_embed": False,
}


@pytest.fixture
def old_folder(tmp_path, monkeypatch):
    """A folder as people have it: the old code, a checkpoint of a whole task, its config, and features of a song."""
    shutil.copytree(TREE, tmp_path, dirs_exist_ok=True)
    net = old_module(f"{TREE / 'network' / 'diff' / 'net.py'}:DiffNet", root=TREE, config=HPARAMS).network
    state = {f"model.denoise_fn.{key}": tensor for key, tensor in net.state_dict().items()}
    betas = torch.linspace(1e-4, 0.02, 20, dtype=torch.float64)
    state["model.betas"], state["model.alphas_cumprod"] = betas.float(), torch.cumprod(1 - betas, 0).float()
    state["model.spec_min"], state["model.spec_max"] = torch.full((1, 1, 10), -5.0), torch.zeros(1, 1, 10)
    state["model.fs2.pitch_embed.weight"] = torch.randn(300, 6)
    folder = tmp_path / "checkpoints" / "singer"
    folder.mkdir(parents=True)
    torch.save({"epoch": 1, "global_step": 100_000, "state_dict": state}, folder / "model_ckpt_steps_100000.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump(HPARAMS))
    features = {"units": torch.randn(1, 7, 6), "f0": torch.full((1, 12), 220.0)}
    save_file(features, tmp_path / "features.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["diff-svc.md", "diff-svc.ko.md"])
def test_the_commands_of_the_page(old_folder, capsys, page):
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    lines = block.strip().splitlines()
    assert [shlex.split(line)[1] for line in lines] == ["convert", "compare", "sample"]
    for line in lines:
        with pytest.raises(SystemExit) as end:
            main(["--threads", "1", *shlex.split(line)[1:]])
        assert not end.value.code, capsys.readouterr().err
    assert "equal: every output and every weight agrees" in capsys.readouterr().out
    assert load_file(old_folder / "mel.safetensors")["samples"].shape == (1, 10, 12)
