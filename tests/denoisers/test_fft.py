from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from zoo.core.errors import ArgumentValueError
from zoo.denoisers.fft import FFTDenoiser

GOLDEN = Path(__file__).parents[1] / "golden" / "voice" / "diffsvc_fft_denoiser"
MARKER = "embed_positions._float_tensor"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@torch.no_grad()
def test_equals_the_original_on_its_own_weights():
    config = yaml.safe_load((GOLDEN / "config.yaml").read_text())
    net = FFTDenoiser(
        mel_bins=config["audio_num_mel_bins"],
        cond_channels=config["hidden_size"],
        residual_channels=config["residual_channels"],
        layers=config["dec_layers"],
        heads=config["num_heads"],
        kernel_size=config["dec_ffn_kernel_size"],
        dropout=config["dropout"],
    ).eval()
    net.load_state_dict(load_file(GOLDEN / "weights.safetensors"))
    io = load_file(GOLDEN / "io.safetensors")
    out = net(io["spec"][:, 0], io["diffusion_step"], cond=io["cond"])
    # the tolerance of the golden README for one forward
    torch.testing.assert_close(out, io["out"][:, 0], rtol=0, atol=1e-4 * float(io["out"].abs().max()))


def test_the_marker_of_the_files_is_left_out_and_the_callers_dict_kept():
    net = FFTDenoiser(**FFTDenoiser.TINY)
    assert MARKER not in net.state_dict()
    state = {**net.state_dict(), MARKER: torch.tensor([float("nan")])}
    net.load_state_dict(state)
    assert MARKER in state


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "heads must divide the 8 channels, got 3"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be odd, so that no frame is lost, got 4"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1, got -0.1"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(ArgumentValueError) as caught:
        FFTDenoiser(**{**FFTDenoiser.TINY, **arguments})
    assert str(caught.value) == message
