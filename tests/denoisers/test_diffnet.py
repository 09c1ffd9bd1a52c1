from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from zoo.core.errors import ArgumentValueError
from zoo.denoisers.diffnet import DiffNet

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def golden(case):
    """The network of a case, without its weights, and the recorded tensors."""
    config = yaml.safe_load((GOLDEN / case / "config.yaml").read_text())
    cond_channels = config["hidden_size"]
    if "backbone_args" in config:
        own = config["backbone_args"]
        net = DiffNet(
            mel_bins=config["in_dims"],
            cond_channels=cond_channels,
            residual_channels=own["num_channels"],
            layers=own["num_layers"],
            dilation_cycle=own["dilation_cycle_length"],
            n_feats=config["n_feats"],
        )
    else:
        net = DiffNet(
            mel_bins=config["audio_num_mel_bins"],
            cond_channels=cond_channels,
            residual_channels=config["residual_channels"],
            layers=config["residual_layers"],
            dilation_cycle=config["dilation_cycle_length"],
        )
    io = load_file(GOLDEN / case / "io.safetensors")
    # the original has a dimension for features even where there is one
    io = {key: value[:, 0] if value.ndim == 4 and value.shape[1] == 1 else value for key, value in io.items()}
    return config, net.eval(), io


def assert_near(ours, theirs, tolerance=1e-4):
    """The tolerance is relative to the largest value: that of the golden README for one forward."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("case", ["diffnet_24k_80mel", "diffnet_cycle1_odd", "openvpi_wavenet_nfeats2"])
def test_equals_the_original_on_its_own_weights(case):
    _, net, io = golden(case)
    net.load_state_dict(load_file(GOLDEN / case / "weights.safetensors"))
    assert_near(net(io["spec"], io["diffusion_step"], cond=io["cond"]), io["out"])
    if "diffusion_step_float" in io:
        assert_near(net(io["spec"], io["diffusion_step_float"], cond=io["cond"]), io["out_float_step"])


@torch.no_grad()
def test_equals_the_original_inside():
    _, net, io = golden("diffnet_24k_80mel")
    net.load_state_dict(load_file(GOLDEN / "diffnet_24k_80mel" / "weights.safetensors"))
    assert_near(net.mlp(io["step_embedding"]), io["step_mlp"])
    x, skip = net.residual_layers[0](io["after_input_projection"], io["step_mlp"], io["cond"], None)
    assert_near(x, io["block0_x"])
    assert_near(skip, io["block0_skip"])


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("case", ["diffnet_fullsize_24k", "diffnet_fullsize_44k"])
def test_equals_the_original_at_full_size(case):
    config, net, io = golden(case)
    state = net.state_dict()
    for k, key in enumerate(sorted(state)):
        shape = tuple(state[key].shape)
        drawn = np.random.RandomState(config["formula_base"] + k).standard_normal(int(np.prod(shape)))
        drawn = drawn / np.sqrt(drawn.size / shape[0]) if len(shape) > 1 else drawn * 0.1
        state[key] = torch.from_numpy(drawn.reshape(shape).astype(np.float32))
    net.load_state_dict(state)
    assert_near(net(io["spec"], io["diffusion_step"], cond=io["cond"]), io["out"])


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 31_956_224),
        ({"mel_bins": 80, "residual_channels": 256}, 15_086_416),
        ({"residual_channels": 512, "dilation_cycle": 1}, 54_994_560),
    ],
    ids=["44.1k", "24k", "ddsp"],
)
def test_published_sizes(arguments, parameters):
    with torch.device("meta"):
        net = DiffNet(**arguments)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize("dilation_cycle", [1, 3])
def test_the_receptive_field_ends_where_the_dilations_say(dilation_cycle):
    net = DiffNet(**{**DiffNet.TINY, "layers": 4, "dilation_cycle": dilation_cycle}).double().eval()
    torch.nn.init.normal_(net.output_projection.weight)
    reach = sum(2 ** (i % dilation_cycle) for i in range(4))
    length = reach + 9
    x, cond = (torch.randn(1, channels, length + 2 * reach, dtype=torch.float64) for channels in (8, 6))
    x[..., length:], cond[..., length:] = 0, 0
    t = torch.tensor([5])
    alone = net(x[..., :length], t, cond=cond[..., :length])
    # the most innocent padding reaches exactly so far into the item
    padded = net(x, t, cond=cond)[..., :length]
    error = (padded - alone).abs().amax((0, 1))
    assert error[: length - reach].max() < 1e-13
    assert error[length - reach] > 1e-9
    # and with the length told it reaches nowhere
    told = net(x, t, cond=cond, lengths=torch.tensor([length]))
    torch.testing.assert_close(told[..., :length], alone, rtol=0, atol=1e-13)
    assert not told[..., length:].any()


def test_a_new_network_predicts_zero_and_all_of_it_trains():
    net = DiffNet(**DiffNet.TINY)
    x, cond, t = torch.randn(2, 8, 9), torch.randn(2, 6, 9), torch.tensor([3, 900])
    with torch.no_grad():
        assert torch.equal(net(x, t, cond=cond), net.output_projection.bias[None, :, None].expand_as(x))
    torch.nn.init.normal_(net.output_projection.weight)
    net(x, t, cond=cond).square().mean().backward()
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_the_table_has_a_row_for_each_cycle():
    with torch.device("meta"):
        names = [row.name for row in DiffNet(layers=9).sections(860)]
        flat = [row.name for row in DiffNet(dilation_cycle=1).sections(860)]
    assert names == ["in", "layers 0-3, dilation 1-8", "layers 4-7, dilation 1-8", "layer 8, dilation 1", "out"]
    assert flat == ["in", "layers 0-19, dilation 1", "out"]


@pytest.mark.parametrize(
    "name", ["mel_bins", "n_feats", "cond_channels", "residual_channels", "layers", "dilation_cycle"]
)
def test_what_cannot_be_built(name):
    with pytest.raises(ArgumentValueError) as caught:
        DiffNet(**{**DiffNet.TINY, name: 0})
    assert str(caught.value) == f"{name} must be at least 1, got 0"
