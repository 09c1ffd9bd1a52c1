"""The importer of improved-diffusion: what its files are told from, and its own defaults."""

import pytest
import torch
from openai_unets import theirs

import zoo
from zoo.checkpoint import CheckpointError
from zoo.denoisers.adm import ADM
from zoo.importers.fields import MissingField

SMALL = {
    "base_channels": 32,
    "out_channels": 6,
    "channel_mult": (1, 2),
    "blocks_per_level": 3,
    "attention_resolutions": (8,),
    "resolution": 16,
    "heads": 4,
}


def written(folder, name="ema_0.9999_000100.pt", **arguments):
    torch.manual_seed(0)
    net = ADM(**{**SMALL, **arguments}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape) / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1)
    torch.save(theirs(net), folder / name)
    return folder / name, net


@torch.no_grad()
@pytest.mark.parametrize(
    "config",
    [
        {
            "image_size": 16,
            "num_channels": 32,
            "num_res_blocks": 3,
            "channel_mult": "1,2",
            "attention_resolutions": "8",
        },
        {"cls": "UNetModel", "model_channels": 32, "attention_resolutions": [2], "num_heads": 4, "num_classes": None},
    ],
    ids=["flags", "arguments"],
)
def test_both_forms_of_config(tmp_path, config):
    path, net = written(tmp_path)
    reports = []
    model = zoo.load(path, format="improved-diffusion", config=config, report=reports.append)
    x, t = torch.randn(2, 3, 16, 24), torch.tensor([3.25, 900.0])
    assert torch.equal(model.denoiser(x, t), net(x, t))
    assert model.parameterization.learned_variance
    assert (reports[0].weights, reports[0].step) == ("ema", 100)


def test_times_are_rescaled_unless_told_otherwise(tmp_path):
    path, _ = written(tmp_path)
    config = {"num_heads": 4, "image_size": 16, "diffusion_steps": 4000}
    assert zoo.load(path, format="improved-diffusion", config=config).parameterization.time_scale == 0.25
    off = {**config, "rescale_timesteps": False}
    assert zoo.load(path, format="improved-diffusion", config=off).parameterization.time_scale == 1.0
    # the other project's scripts leave them as they are
    assert zoo.load(path, format="guided-diffusion", config=config).parameterization.time_scale == 1.0


def test_both_projects_could_have_made_this(tmp_path):
    path, _ = written(tmp_path)
    with pytest.raises(CheckpointError, match=r"pass format= one of guided-diffusion, improved-diffusion"):
        zoo.load(path, config={"num_heads": 4})


@pytest.mark.parametrize(
    "arguments", [{"resample": "residual"}, {"resample": "plain"}, {"channel_mult": (2, 2)}], ids=str
)
def test_what_its_code_does_not_have(tmp_path, arguments):
    path, _ = written(tmp_path, **arguments)
    with pytest.raises(CheckpointError, match=r"does not look like 'improved-diffusion' weights"):
        zoo.load(path, format="improved-diffusion", config={"num_heads": 4})


def test_heads_are_asked_for(tmp_path):
    path, _ = written(tmp_path)
    with pytest.raises(
        MissingField, match=r"num_heads cannot be read from the weights: pass config=\{'num_heads': 4\}"
    ):
        zoo.load(path, format="improved-diffusion")
