"""Checkpoints of voice projects in many layouts, made from the few that are stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"
SVC = GOLDEN / "diffsvc_44k_energy"
DDSP = GOLDEN / "ddspsvc_unit2mel"


def read(folder: Path = SVC) -> dict[str, Any]:
    """A stored checkpoint as plain data."""
    file = folder / ("checkpoint.ckpt" if folder == SVC else "model_100000.pt")
    tree: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return tree


def config(folder: Path = SVC) -> dict[str, Any]:
    """The config of a stored checkpoint."""
    tree: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return tree


def write(path: Path, tree: Any, folder: Path | None = SVC) -> Path:
    """Write a changed checkpoint, with the config of the one it came from beside it."""
    torch.save(tree, path)
    if folder is not None:
        shutil.copy(folder / "config.yaml", path.parent / "config.yaml")
    return path


def renamed(tree: dict[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """A Lightning-like checkpoint with other key names."""
    return tree | {"state_dict": {rename(key): value for key, value in tree["state_dict"].items()}}


def small_net() -> dict[str, Tensor]:
    """A DiffNet of 16 bins and 24 channels of condition."""
    state = load_file(GOLDEN / "samplers_small" / "weights.safetensors")
    state.pop("betas")
    return state


def small_config() -> dict[str, Any]:
    """The config of ``small_net``, in diff-svc's names."""
    return config(GOLDEN / "samplers_small")


def buffers(steps: int = 1000, low: float = -12.0, high: float = 0.0) -> dict[str, Tensor]:
    """The buffers of the old GaussianDiffusion that importers look at."""
    betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    edges = {"spec_min": torch.full((1, 1, 1), low), "spec_max": torch.full((1, 1, 1), high)}
    return {"betas": betas.float(), "alphas_cumprod": (1 - betas).cumprod(0).float(), **edges}
