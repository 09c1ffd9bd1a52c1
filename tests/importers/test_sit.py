"""The importer of SiT: DiT's keys read as a flow toward the data."""

from pathlib import Path

import pytest
import torch
import yaml

import zoo
from zoo.denoisers.dit import SiT

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "dit-pixel-nosigma"
CONFIG = yaml.safe_load((GOLDEN / "config.yaml").read_text())["model"]


@pytest.fixture
def model():
    return zoo.load(GOLDEN / "model.pt", format="sit", config=CONFIG)


def test_time_is_one_at_data(model):
    """What the network is told, and what its output means, on the path x_t = t x_1 + (1 - t) x_0 of its paper."""
    m = model.schedule(torch.tensor(0.25, dtype=torch.float64))
    assert float(model.parameterization.c_noise(torch.tensor(0.25), m)) == 0.75
    data, noise = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    target = model.parameterization.target(data, noise, m.like(data))
    torch.testing.assert_close(target, data - noise, rtol=0, atol=1e-6)


@torch.no_grad()
def test_spare_channels_are_found(tmp_path):
    torch.manual_seed(0)
    net = SiT(channels=16, depth=1, heads=2, patch=4, resolution=16, classes=10, spare_channels=True).eval()
    for weight in net.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    torch.save({"ema": net.state_dict(), "model": net.state_dict(), "opt": {"state": {}}}, tmp_path / "0100.pt")
    again = zoo.load(tmp_path / "0100.pt", format="sit", config={"num_heads": 2, "num_classes": 10})
    assert again.config["denoiser"]["spare_channels"]
    assert again.config["denoiser"]["null_class"]
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([0.0, 0.5])
    assert torch.equal(again.denoiser(x, t), net(x, t))


@torch.no_grad()
def test_samples_as_configured(model):
    assert zoo.sample(model, 1, steps=2, labels=torch.tensor([3])).shape == (1, 3, 32, 32)
