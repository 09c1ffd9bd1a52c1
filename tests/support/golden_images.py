"""The recorded runs of image networks: which importer reads a case, and how it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

import zoo

# Their family, and the name of our importer.
FORMATS = {
    "ddim-unet": "ddim",
    "diffusers-unet2d": "diffusers",
    "dit": "dit",
    "edm": "edm",
    "guided-diffusion": "guided-diffusion",
    "improved-diffusion": "improved-diffusion",
    "lucidrains-unet": "lucidrains",
    "sit": "sit",
    "u-vit": "uvit",
}
# Their name of an input, and ours.
CONDITIONS = {"y": "labels", "low_res": "low_res", "x_self_cond": "self_cond", "augment": "augment"}


@torch.no_grad()
def check_image_case(folder: Path) -> None:
    """Load the weights of a case and compare every recorded output."""
    case = yaml.safe_load((folder / "config.yaml").read_text())
    io = load_file(folder / "io.safetensors")
    for output, facts in case["outputs"].items():
        # fp32_noise: how far the reference differs from itself when float32 sums are reordered
        tolerance = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])
        torch.testing.assert_close(_answer(folder, case, io, output), io[output], rtol=0, atol=tolerance)


def load_case(folder: Path, case: dict[str, Any], output: str = "out") -> Any:
    """The model of a case, from the file or, where that is how it is published, from the folder."""
    path = folder / case["checkpoint"]["file"]
    if case["family"] == "diffusers-unet2d":
        path = folder
    weights = "raw" if output == "out_raw" else None
    return zoo.load(path, format=FORMATS[case["family"]], config=case["model"], weights=weights)


def _answer(folder: Path, case: dict[str, Any], io: dict[str, torch.Tensor], output: str) -> torch.Tensor:
    model = load_case(folder, case, output)
    given = {ours: io[theirs] for theirs, ours in CONDITIONS.items() if theirs in io}
    if isinstance(model, zoo.Diffusion):
        if "sigma" in io:
            return model.denoise(io["x"], io["sigma"], **given).x_0
        if output == "out_cfg":
            return _guided(model, io)
        return model.denoiser(io["x"], io["t"], **given)
    return model(io["x"], io["t"])


def _guided(model: Any, io: dict[str, torch.Tensor]) -> torch.Tensor:
    """DiT's forward_with_cfg: the first half of the batch with its labels and without, the first 3 channels guided.

    The second half has times of its own.
    """
    half = len(io["x"]) // 2
    labels = torch.cat([io["y"][:half], torch.full((half,), -1)])
    given, none = model.denoiser(torch.cat([io["x"][:half]] * 2), io["t"], labels=labels).chunk(2)
    guided = none[:, :3] + 4.0 * (given - none)[:, :3]
    return torch.cat([torch.cat([guided, rest[:, 3:]], 1) for rest in (given, none)])
