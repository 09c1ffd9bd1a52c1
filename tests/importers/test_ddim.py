"""The importer of the DDPM UNet: every layout of its files, and every way in which a config may fail them."""

import copy
import json

import pytest
import torch
import yaml

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.fields import MissingField
from zoo.importers.source import Source

SIZE = {"data.image_size": 16}


@pytest.fixture
def state(original):
    return {**original["weights"], "logvar": torch.zeros(1000)}


@pytest.fixture
def plain(state, tmp_path):
    torch.save(state, tmp_path / "model-790000.ckpt")
    return tmp_path / "model-790000.ckpt"


@pytest.fixture
def shifted(state):
    """Other weights than those of the golden case."""
    return {name: tensor + 0.01 for name, tensor in state.items()}


def in_parallel(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


def training(state, ema=None):
    adam = {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    return [in_parallel(state), adam, 12, 3456, *([ema] if ema else [])]


def loaded(path, **arguments):
    reports = []
    model = zoo.load(path, report=reports.append, **arguments)
    return model, reports[0]


def test_a_released_file_gives_the_numbers_of_the_original(plain, original, error_of):
    config = copy.deepcopy(original["config"])
    config["model"]["var_type"] = "fixedlarge"
    model, report = loaded(plain, format="ddim", config=config)
    assert error_of(model) < 1
    assert model.config["notes"] == {"var_type": "fixedlarge"}
    assert report.importer == "ddim"
    assert report.weights == "unknown"
    assert report.dropped == ("logvar",)
    assert len(report.kept) == len(original["weights"])
    assert not model.training
    assert model.shape == (3, 16, 16)
    assert model.config["denoiser"]["dropout"] == 0.1


def test_the_importer_is_found_by_the_keys(plain, error_of):
    assert error_of(zoo.load(plain, config=SIZE)) < 1


def test_a_training_list_holds_two_copies(state, shifted, tmp_path, error_of):
    path = tmp_path / "ckpt.pth"
    torch.save(training(shifted, state), path)
    model, report = loaded(path, config=SIZE)
    assert error_of(model) < 1
    assert (report.weights, report.step) == ("ema", 3456)
    assert "1.state.0.exp_avg" in report.dropped
    assert "0.module.conv_in.weight" in report.dropped
    assert error_of(zoo.load(path, config=SIZE, weights="ema")) < 1
    assert error_of(zoo.load(path, config=SIZE, weights="raw")) > 100
    torch.save(training(state, shifted), path)
    assert error_of(zoo.load(path, config=SIZE, weights="raw")) < 1


def test_a_training_list_without_ema_has_raw_weights_only(state, tmp_path, error_of):
    path = tmp_path / "ckpt.pth"
    torch.save(training(state), path)
    model, report = loaded(path, config=SIZE)
    assert error_of(model) < 1
    assert report.weights == "raw"
    with pytest.raises(CheckpointError, match="holds the raw weights only, and ema was asked for"):
        zoo.load(path, config=SIZE, weights="ema")


def test_a_pndm_run_is_a_folder(state, shifted, tmp_path, error_of):
    torch.save(training(shifted), tmp_path / "train.ckpt")
    torch.save(state, tmp_path / "ema.ckpt")
    (tmp_path / "other.pt").write_bytes(b"is not even opened")
    model, report = loaded(tmp_path, config=SIZE)
    assert error_of(model) < 1
    assert (report.weights, report.step) == ("ema", 3456)
    assert error_of(zoo.load(tmp_path, config=SIZE, weights="raw")) > 100
    assert error_of(zoo.load(tmp_path / "ema.ckpt", config=SIZE, weights="ema")) < 1
    with pytest.raises(CheckpointError, match="holds the ema weights only"):
        zoo.load(tmp_path / "ema.ckpt", config=SIZE, weights="raw")


def test_a_run_folder_brings_its_config(state, tmp_path, original, error_of):
    torch.save(training(state, state), tmp_path / "ckpt.pth")
    # as yaml.dump writes the namespaces of argparse
    text = yaml.safe_dump(original["config"]).replace(":\n", ": !!python/object:argparse.Namespace\n", 3)
    (tmp_path / "config.yml").write_text(
        "!!python/object:argparse.Namespace\n" + text.replace("ch_mult: !!python/object:argparse.Namespace", "ch_mult:")
    )
    model, report = loaded(tmp_path)
    assert error_of(model) < 1
    assert report.remarks == ("its config was read from config.yml in the same folder",)


@pytest.mark.parametrize("suffix", [".yml", ".json"])
def test_a_config_may_be_a_file(plain, original, tmp_path, error_of, suffix):
    path = tmp_path / f"config{suffix}"
    path.write_text(json.dumps(original["config"]) if suffix == ".json" else yaml.safe_dump(original["config"]))
    assert error_of(zoo.load(plain, config=path)) < 1
    assert error_of(zoo.load(plain, config=str(path))) < 1


def test_pndm_names_the_same_things_its_own_way(plain, original, error_of):
    config = {
        "Schedule": {"type": "quad", "beta_start": 1e-4, "beta_end": 0.02, "diffusion_step": 1000},
        "Model": {"struc": "DDIM", "image_size": 16, **original["config"]["model"]},
    }
    model, report = loaded(plain, config=config)
    assert error_of(model) < 1
    assert model.config["schedule"]["name"] == "scaled-linear"
    assert "image_size" not in " ".join(report.assumed)
    config["Model"]["ch"] = 64
    with pytest.raises(CheckpointError, match=r"Model\.ch is 64 in the config, the weights say 32"):
        zoo.load(plain, config=config)


def test_the_size_of_the_images_is_asked_for(plain):
    with pytest.raises(MissingField, match=r"data\.image_size cannot be read from the weights: pass config="):
        zoo.load(plain)
    with pytest.raises(MissingField, match=r"did you mean 'data\.image_sise'\?"):
        zoo.load(plain, config={"data": {"image_sise": 16}})


def test_the_size_of_the_images_may_follow_from_the_attention(plain):
    model, report = loaded(plain, config={"model.attn_resolutions": [16, 8]})
    assert model.shape == (3, 16, 16)
    assert any(line.startswith("data.image_size = 16: only then") for line in report.assumed)


def test_what_was_assumed_is_reported(plain, original):
    assert loaded(plain, config=original["config"])[1].assumed == (
        "the second 3 of the 6 output channels are a variance",
    )
    assumed = loaded(plain, config=SIZE)[1].assumed
    assert "diffusion.beta_end = 0.02: as all published models of this network" in assumed
    assert "model.dropout = 0.0: it matters for further training only" in assumed


@pytest.mark.parametrize(
    ("section", "field", "value", "said"),
    [
        ("model", "ch", 128, "model.ch is 128 in the config, the weights say 32 (conv_in.weight)"),
        ("model", "in_channels", 1, "model.in_channels is 1"),
        ("model", "out_ch", 3, "model.out_ch is 3"),
        ("model", "ch_mult", [1, 2, 2], "model.ch_mult is [1, 2, 2] in the config, the weights say [1, 2]"),
        ("model", "num_res_blocks", 2, "model.num_res_blocks is 2"),
        ("model", "resamp_with_conv", False, "model.resamp_with_conv is False"),
        ("model", "attn_resolutions", [8], "level(s) [1], the weights attend on [0, 1]"),
        ("data", "image_size", 32, "model.attn_resolutions is [16, 8] in the config, with data.image_size = 32"),
        ("data", "channels", 1, "data.channels is 1"),
        ("diffusion", "num_diffusion_timesteps", 500, "the weights say 1000 (logvar)"),
        ("diffusion", "beta_schedule", "jabri", "this importer knows const, cosine, jsd, linear, quad, sigmoid"),
        ("model", "dropout", "high", "model.dropout: expected"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused(plain, original, section, field, value, said):
    config = copy.deepcopy(original["config"])
    config[section][field] = value
    with pytest.raises(CheckpointError) as error:
        zoo.load(plain, config=config)
    assert said in str(error.value)


def test_all_contradictions_are_told_at_once(plain, original):
    config = copy.deepcopy(original["config"])
    config["model"] |= {"ch": 1, "out_ch": 1, "num_res_blocks": 9}
    with pytest.raises(CheckpointError) as error:
        zoo.load(plain, config=config)
    assert len(str(error.value).splitlines()) == 4


def test_data_in_zero_to_one_is_scaled(plain):
    model = zoo.load(plain, config={**SIZE, "data.rescaled": False})
    assert torch.equal(model.scaling.encode(torch.tensor([[-1.0, 0.0, 1.0]])), torch.tensor([[0.0, 0.5, 1.0]]))
    with pytest.raises(CheckpointError, match="models of logits are not supported"):
        zoo.load(plain, config={**SIZE, "data.logit_transform": True})


@pytest.mark.parametrize("kind", ["linear", "quad", "const", "sigmoid", "cosine"])
def test_schedules_keep_their_numbers(plain, kind):
    T, low, high = 1000, 1e-4, 0.02
    betas = {
        "linear": lambda: torch.linspace(low, high, T, dtype=torch.float64),
        "quad": lambda: torch.linspace(low**0.5, high**0.5, T, dtype=torch.float64) ** 2,
        "const": lambda: torch.full((T,), high, dtype=torch.float64),
        "sigmoid": lambda: torch.linspace(-6, 6, T, dtype=torch.float64).sigmoid() * (high - low) + low,
        "cosine": lambda: None,
    }[kind]()
    model = zoo.load(plain, config={**SIZE, "diffusion.beta_schedule": kind})
    if betas is not None:
        # float64 products in another order
        torch.testing.assert_close(model.schedule.alpha_bar, (1 - betas).cumprod(0), rtol=1e-12, atol=0)
    assert model.schedule.steps == T


def test_missing_weights_are_named(state, tmp_path):
    del state["mid.block_2.conv1.weight"]
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"missing: denoiser\.mid\.block_2\.conv1\.weight"):
        zoo.load(tmp_path / "x.ckpt", config=SIZE)


def test_tensors_that_nobody_knows_are_named(state, tmp_path):
    torch.save({**state, "extra.weight": torch.ones(1)}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"unexpected: denoiser\.extra\.weight"):
        zoo.load(tmp_path / "x.ckpt", config=SIZE)
    torch.save([*training(state, state), {"critic": torch.ones(1)}], tmp_path / "y.ckpt")
    with pytest.raises(CheckpointError, match=r"does not know these tensors: 5\.critic"):
        zoo.load(tmp_path / "y.ckpt", config=SIZE)


def test_matching_reads_no_tensor(plain):
    from zoo.importers.ddim import DDIM

    source = Source(plain)
    assert DDIM().matches(source)
    assert source.unread() == []


def test_an_imported_model_is_saved_and_loaded_as_ours(plain, tmp_path, error_of, original):
    path = tmp_path / "ours.safetensors"
    model, report = loaded(plain, config=original["config"])
    zoo.save(model, path, weights=report.weights)
    assert error_of(zoo.load(path)) < 1
    assert error_of(zoo.load(path, weights="raw")) < 1
