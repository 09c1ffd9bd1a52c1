from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from zoo.core.errors import ArgumentValueError
from zoo.denoisers.lynxnet import LYNXNet, LYNXNet2

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@torch.no_grad()
@pytest.mark.parametrize(
    "case",
    [
        "openvpi_lynxnet",
        "openvpi_lynxnet_relu",
        "openvpi_lynxnet_silu_strong",
        "openvpi_lynxnet2_atanglu_cache",
        "openvpi_lynxnet2_swiglu",
    ],
)
def test_equals_the_original_on_its_own_weights(case):
    config = yaml.safe_load((GOLDEN / case / "config.yaml").read_text())
    own = config["backbone_args"]
    arguments = {
        "mel_bins": config["in_dims"],
        "cond_channels": config["hidden_size"],
        "channels": own["num_channels"],
        "layers": own["num_layers"],
        "expansion": own["expansion_factor"],
        "kernel_size": own["kernel_size"],
        "n_feats": config["n_feats"],
    }
    if config["backbone_type"] == "lynxnet":
        net = LYNXNet(**arguments, activation=own["activation"].lower(), strong_cond=own["strong_cond"])
    else:
        net = LYNXNet2(**arguments, glu=own["glu_type"], conv_conditioner=own["use_conditioner_cache"])
    net.load_state_dict(load_file(GOLDEN / case / "weights.safetensors"))
    io = load_file(GOLDEN / case / "io.safetensors")
    x = io["spec"][:, 0] if config["n_feats"] == 1 else io["spec"]
    out = net.eval()(x, io["diffusion_step"], cond=io["cond"])
    # the tolerance of the golden README for one forward
    tolerance = 1e-4 * float(io["out"].abs().max())
    torch.testing.assert_close(out, io["out"].reshape(out.shape), rtol=0, atol=tolerance)


@torch.no_grad()
def test_the_two_projections_of_the_condition_are_one_map():
    conv, linear = (LYNXNet2(**LYNXNet2.TINY, conv_conditioner=is_conv).eval() for is_conv in (True, False))
    torch.nn.init.normal_(conv.output_projection.weight)
    state = conv.state_dict()
    state["conditioner_projection.weight"] = state["conditioner_projection.weight"][..., 0]
    linear.load_state_dict(state)
    x, cond, t = torch.randn(2, 8, 9), torch.randn(2, 6, 9), torch.tensor([3, 900])
    # two kernels, one sum each of six products
    torch.testing.assert_close(conv(x, t, cond=cond), linear(x, t, cond=cond), rtol=0, atol=1e-5)


@pytest.mark.parametrize("net", [LYNXNet, LYNXNet2])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"kernel_size": 4}, "kernel_size must be odd, so that no frame is lost, got 4"),
        ({"expansion": 0.1}, "expansion must leave at least 1 of 8 channels, got 0.1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
    ],
)
def test_what_cannot_be_built(net, arguments, message):
    with pytest.raises(ArgumentValueError) as caught:
        net(**{**net.TINY, **arguments})
    assert str(caught.value) == message
