from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "ddim-multi-attn-bayesian"


@pytest.fixture(scope="session")
def original():
    """Weights, config, inputs and outputs of the code that these checkpoints come from."""
    config = yaml.safe_load((GOLDEN / "config.yaml").read_text())
    io = load_file(GOLDEN / "io.safetensors")
    facts = config["outputs"]["out"]
    # the reference differs from itself by fp32_noise when its float32 sums are reordered
    bound = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])
    return {"weights": load_file(GOLDEN / "weights.safetensors"), "config": config["model"], "io": io, "bound": bound}


@pytest.fixture
def error_of(original):
    """How far a loaded model is from the original, in units of what rounding explains."""

    @torch.no_grad()
    def measure(model):
        io = original["io"]
        return float((model.denoiser(io["x"], io["t"]) - io["out"]).abs().max()) / original["bound"]

    return measure
