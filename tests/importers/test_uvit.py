"""The importer of U-ViT: which switches the keys tell, and which diffusion a file is of."""

from pathlib import Path

import pytest
import torch
import yaml

import zoo
from zoo.checkpoint import CheckpointError
from zoo.denoisers.uvit import UViT
from zoo.importers.fields import MissingField

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "uvit-class-latent"
CONFIG = yaml.safe_load((GOLDEN / "config.yaml").read_text())["model"]


def loaded(path, **arguments):
    reports = []
    model = zoo.load(path, report=reports.append, **arguments)
    return model, reports[0]


def saved(tmp_path, **arguments):
    torch.manual_seed(0)
    net = UViT(**{**UViT.TINY, **arguments}).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    return net, tmp_path / "net.pth"


def test_the_importer_is_found_by_the_keys():
    model, report = loaded(GOLDEN / "nnet_ema.pth", config={"nnet": CONFIG})
    assert (report.importer, report.weights) == ("uvit", "ema")
    denoiser = model.config["denoiser"]
    assert (denoiser["time_mlp"], denoiser["qkv_bias"], denoiser["final_conv"]) == (True, True, False)
    assert (denoiser["classes"], denoiser["null_class"]) == (11, False)
    assert any(one.startswith("dataset.cfg = False: 11 rows") for one in report.assumed)
    told = zoo.load(GOLDEN / "nnet_ema.pth", config={"nnet": CONFIG, "dataset": {"cfg": True}})
    assert (told.config["denoiser"]["classes"], told.config["denoiser"]["null_class"]) == (10, True)


@torch.no_grad()
@pytest.mark.parametrize(
    "arguments", [{"classes": None}, {"long_skips": False, "null_class": False}, {"qkv_bias": True}, {"depth": 4}]
)
def test_reads_what_it_writes(tmp_path, arguments):
    net, path = saved(tmp_path, **arguments)
    fields = {"num_heads": 2, "dataset.cfg": net.null_class}
    again = zoo.load(path, config=fields)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 900.0])
    labels = None if net.classes is None else torch.tensor([0, 2])
    assert torch.equal(again.denoiser(x, t, labels=labels), net(x, t, labels=labels))


def test_time_is_continuous_or_discrete(tmp_path):
    _, path = saved(tmp_path)
    t = torch.tensor(0.5, dtype=torch.float64)
    continuous = zoo.load(path, config={"num_heads": 2})
    m = continuous.schedule(t)
    assert float(continuous.parameterization.c_noise(t, m)) == pytest.approx(999 * 0.5, abs=1e-6)
    assert continuous.parameterization.c_in(m) == pytest.approx(1)
    discrete = zoo.load(path, config={"num_heads": 2, "time": "discrete"})
    assert discrete.schedule.steps == 1000
    assert discrete.parameterization.c_noise(999.0, discrete.schedule(torch.tensor(999.0))) == 1000
    label = torch.tensor([1.0, 1000.0])
    assert discrete.parameterization.time(label, discrete.schedule).tolist() == [0, 999]


def test_what_is_missing_or_wrong(tmp_path):
    _, path = saved(tmp_path)
    with pytest.raises(MissingField, match="num_heads cannot be read"):
        zoo.load(path)
    for fields, message in (
        ({"depth": 6}, "depth is 6 in the config, the weights say 2"),
        ({"conv": False}, "conv is False in the config, the weights say True"),
        ({"time": "never"}, "expected discrete or continuous"),
        ({"pred": "x0"}, "this importer knows noise_pred"),
    ):
        with pytest.raises(CheckpointError) as caught:
            zoo.load(path, config={"num_heads": 2, **fields})
        assert message in str(caught.value)
    assert zoo.load(path, config={"num_heads": 2, "depth": 3}).config["denoiser"]["depth"] == 2
