"""The importer of DiT: plain, training and diffusers layouts, and what their weights cannot tell."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.fields import MissingField

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "dit-pixel-nosigma"
CONFIG = yaml.safe_load((GOLDEN / "config.yaml").read_text())["model"]


@pytest.fixture(scope="module")
def state():
    return torch.load(GOLDEN / "model.pt", weights_only=True)["ema"]


@pytest.fixture
def error_of():
    io = load_file(GOLDEN / "io.safetensors")
    facts = yaml.safe_load((GOLDEN / "config.yaml").read_text())["outputs"]["out"]
    # the reference differs from itself by fp32_noise when its float32 sums are reordered
    bound = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])

    @torch.no_grad()
    def measure(model):
        out = model.denoiser(io["x"], io["t"], labels=io["y"])
        return float((out - io["out"]).abs().max()) / bound

    return measure


def loaded(path, **arguments):
    reports = []
    model = zoo.load(path, report=reports.append, **arguments)
    return model, reports[0]


def test_a_training_file_holds_two_copies(state, tmp_path, error_of):
    path = tmp_path / "0050000.pt"
    raw = {f"module.{name}": tensor + 0.01 for name, tensor in state.items()}
    adam = {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"model": raw, "ema": state, "opt": adam}, path)
    model, report = loaded(path, format="dit", config=CONFIG)
    assert error_of(model) < 1
    assert report.weights == "ema"
    assert {"opt.state.0.exp_avg", "model.module.pos_embed"} <= set(report.dropped)
    assert error_of(zoo.load(path, format="dit", config=CONFIG, weights="raw")) > 100


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin", ".ckpt", ".pth"])
def test_a_plain_file(state, tmp_path, error_of, suffix):
    path = tmp_path / f"net{suffix}"
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    (save_file if suffix == ".safetensors" else torch.save)(parallel, path)
    model, report = loaded(path, format="dit", config={"model": CONFIG})
    assert error_of(model) < 1
    assert report.weights == "unknown"
    assert model.shape == (3, 32, 32)
    parameterization = model.config["parameterization"]
    assert (parameterization["name"], parameterization["learned_variance"]) == ("eps", False)


def test_keys_are_those_of_sit_too():
    with pytest.raises(CheckpointError, match="fit several importers; pass format= one of dit, sit"):
        zoo.load(GOLDEN / "model.pt", config=CONFIG)


def test_heads_of_an_unpublished_size_are_asked_for():
    with pytest.raises(MissingField, match="num_heads cannot be read from the weights"):
        zoo.load(GOLDEN / "model.pt", format="dit")


def test_a_table_may_have_a_row_for_no_class():
    model, report = loaded(GOLDEN / "model.pt", format="dit", config={"num_heads": 2})
    assert model.config["denoiser"]["classes"] == 4
    assert any(
        "class_dropout_prob = 0.1: as published, so the last of 5 rows is no class" in one for one in report.assumed
    )
    told = zoo.load(GOLDEN / "model.pt", format="dit", config={"num_heads": 2, "num_classes": 5})
    assert (told.config["denoiser"]["classes"], told.config["denoiser"]["null_class"]) == (5, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": 2}, "patch_size is 2 in the config, the weights say 4 (x_embedder.proj.weight)"),
        ({"input_size": 64}, "input_size is 64 in the config, the weights say 32 (pos_embed)"),
        ({"num_heads": 3}, "num_heads is 3 in the config, which does not divide the width of 64"),
        ({"mlp_ratio": 4.0}, "mlp_ratio is 4.0 in the config, the weights say 2"),
        ({"learn_sigma": True}, "learn_sigma is True in the config, the weights say False"),
        ({"num_classes": 7}, "num_classes is 7 in the config, the table has 5 rows"),
    ],
)
def test_a_config_of_another_network(fields, message):
    with pytest.raises(CheckpointError, match="does not belong to these weights") as caught:
        zoo.load(GOLDEN / "model.pt", format="dit", config={**CONFIG, **fields})
    assert message in str(caught.value)


def of_diffusers(state):
    """The same weights under the names that diffusers gives them; its table has a row for no class."""
    found = {}
    for key, tensor in state.items():
        head, _, rest = key.partition(".")
        if head == "x_embedder":
            found[f"pos_embed.{rest}"] = tensor
        elif head == "final_layer":
            part, _, kind = rest.rpartition(".")
            found[f"proj_out_{2 if part == 'linear' else 1}.{kind}"] = tensor
        elif head in ("t_embedder", "y_embedder"):
            name = {"mlp.0": "timestep_embedder.linear_1", "mlp.2": "timestep_embedder.linear_2"}
            part, _, kind = rest.rpartition(".")
            new = f"class_embedder.{rest}" if head == "y_embedder" else f"{name[part]}.{kind}"
            found |= {f"transformer_blocks.{i}.norm1.emb.{new}": tensor.clone() for i in range(2)}
        elif head == "blocks":
            i, _, rest = rest.partition(".")
            part, _, kind = rest.rpartition(".")
            if part == "attn.qkv":
                for name, chunk in zip("qkv", tensor.chunk(3), strict=True):
                    found[f"transformer_blocks.{i}.attn1.to_{name}.{kind}"] = chunk.clone()
            else:
                name = {"attn.proj": "attn1.to_out.0", "mlp.fc1": "ff.net.0.proj", "mlp.fc2": "ff.net.2",
                        "adaLN_modulation.1": "norm1.linear"}[part]  # fmt: skip
                found[f"transformer_blocks.{i}.{name}.{kind}"] = tensor
    return found


@pytest.fixture
def pipeline(state, tmp_path):
    (tmp_path / "transformer").mkdir()
    save_file(of_diffusers(state), tmp_path / "transformer" / "diffusion_pytorch_model.safetensors")
    config = {"num_attention_heads": 2, "attention_head_dim": 32, "sample_size": 32, "num_embeds_ada_norm": 4}
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_the_folder_of_diffusers_is_the_same_network(pipeline, error_of):
    model, report = loaded(pipeline, config={"num_attention_heads": 2, "sample_size": 32, "time_shift": 0.0})
    assert report.importer == "dit"
    assert error_of(model) < 1


@pytest.mark.parametrize("inside", ["", "transformer", "transformer/diffusion_pytorch_model.safetensors"])
def test_the_folder_of_diffusers_brings_its_config_and_its_time(pipeline, error_of, inside):
    model, report = loaded(pipeline / inside)
    assert model.config["denoiser"]["time_shift"] == 1.0
    assert any(one.startswith("time_shift = 1.0: as diffusers computes") for one in report.assumed)
    # the times are embedded otherwise
    assert error_of(model) > 10


def test_blocks_of_diffusers_with_embedders_of_their_own(pipeline, state):
    weights = of_diffusers(state)
    weights["transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"] += 1
    save_file(weights, pipeline / "transformer" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(CheckpointError, match="blocks with embedders of their own cannot be read"):
        zoo.load(pipeline)


@torch.no_grad()
def test_equals_diffusers(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1, sample_size=8,
        num_embeds_ada_norm=5,
    ).eval()  # fmt: skip
    theirs.save_pretrained(tmp_path / "transformer")
    x, t, labels = torch.randn(2, 4, 8, 8), torch.tensor([10, 900]), torch.tensor([1, 5])
    expected = theirs(x, timestep=t, class_labels=labels).sample
    # one of their norms has eps 1e-5, and DiT 1e-6
    torch.testing.assert_close(zoo.load(tmp_path).denoiser(x, t, labels=labels), expected, rtol=0, atol=1e-4)
