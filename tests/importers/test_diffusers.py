"""The importer of diffusers: every place its files lie in, and what a config may say of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.fields import MissingField

GOLDEN = Path(__file__).parents[1] / "golden" / "image"
FP16, LEGACY = GOLDEN / "diffusers-fp16-variant", GOLDEN / "diffusers-ddpm-cifar10-legacy-bin"
FILE = "diffusion_pytorch_model"


@torch.no_grad()
def error_of(model, folder=FP16):
    """How far a loaded model is from the original, in units of what rounding explains."""
    io = load_file(folder / "io.safetensors")
    facts = yaml.safe_load((folder / "config.yaml").read_text())["outputs"]["out"]
    # the reference differs from itself by fp32_noise when its float32 sums are reordered
    bound = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])
    return float((model.denoiser(io["x"], io["t"]) - io["out"]).abs().max()) / bound


@pytest.fixture(scope="module")
def weights():
    """The weights in full precision: those that the outputs were recorded with."""
    return {key: tensor.float() for key, tensor in load_file(FP16 / "unet" / f"{FILE}.fp16.safetensors").items()}


@pytest.fixture
def folder(tmp_path, weights):
    """A pipeline: unet/, scheduler/ and model_index.json."""
    root = tmp_path / "pipeline"
    (root / "unet").mkdir(parents=True)
    (root / "scheduler").mkdir()
    shutil.copy(FP16 / "unet" / "config.json", root / "unet" / "config.json")
    save_file(weights, root / "unet" / f"{FILE}.safetensors")
    write(root / "model_index.json", {"_class_name": "DDPMPipeline"})
    write(root / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", "beta_end": 0.03})
    return root


def write(path, tree):
    path.write_text(json.dumps(tree))


def change(path, **settings):
    write(path, json.loads(path.read_text()) | settings)


def loaded(path, **arguments):
    reports = []
    return zoo.load(path, report=reports.append, **arguments), reports[0]


def test_a_pipeline(folder):
    model, report = loaded(folder)
    assert error_of(model) < 1
    assert (report.importer, report.weights, report.dropped) == ("diffusers", "unknown", ())
    assert model.shape == (1, 16, 16)
    assert model.config["schedule"]["beta_end"] == 0.03
    assert model.config["sampler"]["name"] == "ddim"
    assert model.config["sampling"]["clip"] == {"name": "clip", "low": -1.0, "high": 1.0, "recompute_eps": False}


@pytest.mark.parametrize("path", ["unet", f"unet/{FILE}.safetensors"])
def test_the_network_alone_still_finds_its_scheduler(folder, path):
    model = zoo.load(folder / path)
    assert error_of(model) < 1
    assert model.config["schedule"]["beta_end"] == 0.03


def test_an_old_flat_folder_with_old_names():
    model, report = loaded(LEGACY)
    assert error_of(model, LEGACY) < 1
    assert model.config["sampler"]["name"] == "ddpm"
    # everything lies in one place, also what belongs to nobody
    assert not any("io." in name for name in report.kept)
    file, _ = loaded(LEGACY / f"{FILE}.bin")
    assert error_of(file, LEGACY) < 1


def test_half_precision_where_there_is_nothing_else():
    model, report = loaded(FP16)
    assert error_of(model) < 1
    assert model.dtype == torch.float32
    assert any("DDPMScheduler" in line for line in report.assumed)


def test_full_precision_is_taken_before_a_variant(folder, weights):
    wrong = {key: tensor + 1 for key, tensor in weights.items()}
    for name in (f"{FILE}.fp16.safetensors", f"{FILE}.bf16.safetensors"):
        save_file(wrong, folder / "unet" / name)
    torch.save(wrong, folder / "unet" / f"{FILE}.bin")
    model, report = loaded(folder)
    assert error_of(model) < 1
    remark = f"read unet/{FILE}.safetensors; beside it lie "
    assert any(line.startswith(remark) and "fp16" in line for line in report.remarks)


@pytest.mark.parametrize("name", ["{}-{:05}-of-00003.safetensors", "{}.fp16-{:05}-of-00003.safetensors"])
def test_shards_are_put_together(folder, weights, name):
    (folder / "unet" / f"{FILE}.safetensors").unlink()
    keys = sorted(weights)
    for part in range(3):
        shard = {key: weights[key] for key in keys[part::3]}
        save_file(shard, folder / "unet" / name.format(FILE, part + 1))
    assert error_of(zoo.load(folder)) < 1
    (folder / "unet" / name.format(FILE, 2)).unlink()
    with pytest.raises(CheckpointError, match=r"of 3 files these are missing: \[2\]"):
        zoo.load(folder)


def test_a_training_folder_has_both_copies(folder, weights):
    shutil.copytree(folder / "unet", folder / "unet_ema")
    save_file({key: tensor * 0 for key, tensor in weights.items()}, folder / "unet" / f"{FILE}.safetensors")
    model, report = loaded(folder)
    assert report.weights == "ema"
    assert error_of(model) < 1
    assert error_of(zoo.load(folder, weights="raw")) > 1


def test_the_config_may_be_given(folder):
    tree = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").unlink()
    assert error_of(zoo.load(folder, config=tree)) < 1
    scheduler = {"_class_name": "PNDMScheduler", "skip_prk_steps": True}
    model = zoo.load(folder, config={"unet": tree, "scheduler": scheduler})
    assert error_of(model) < 1
    assert model.config["sampler"]["name"] == "plms"
    with pytest.raises(MissingField, match="down_block_types"):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_out_channels": [16, 16]}, "the weights say"),
        ({"layers_per_block": 3}, "the weights say 1"),
        ({"down_block_types": ["DownBlock2D"]}, "the weights have 2 levels"),
        ({"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]}, "CrossAttnDownBlock2D not supported"),
        ({"act_fn": "mish"}, "act_fn is 'mish'"),
        ({"downsample_padding": 2}, "downsample_padding is 2"),
        ({"time_embedding_type": "other"}, "time_embedding_type is 'other'"),
        ({"class_embed_type": "other"}, "class_embed_type is 'other'"),
        ({"resnet_time_scale_shift": "ada_group"}, "resnet_time_scale_shift is 'ada_group'"),
        ({"_class_name": "UNet2DConditionModel"}, "holds a UNet2DConditionModel"),
    ],
)
def test_refuses_a_network_that_is_another(folder, settings, message):
    change(folder / "unet" / "config.json", **settings)
    with pytest.raises(CheckpointError, match=message):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_class_name": "CMStochasticIterativeScheduler"}, "has no counterpart here"),
        ({"beta_schedule": "other"}, "beta_schedule 'other'"),
        ({"prediction_type": "other"}, "prediction_type 'other'"),
        ({"timestep_spacing": "other"}, "timestep_spacing 'other'"),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "other"}, "algorithm_type 'other'"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "timestep_type"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"beta_start": "a lot"}, "scheduler|beta_start"),
    ],
)
def test_refuses_a_scheduler_that_it_cannot_take_apart(folder, settings, message):
    change(folder / "scheduler" / "scheduler_config.json", **settings)
    with pytest.raises(CheckpointError, match=message):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"_class_name": "DDPMScheduler", "variance_type": "fixed_large", "clip_sample": False},
            {"sampler": {"name": "ddpm", "variance": "fixed-large"}, "steps": 1000, "spacing": "leading", "clip": None},
        ),
        ({"_class_name": "EulerAncestralDiscreteScheduler"}, {"sampler": {"name": "euler-ancestral"}}),
        ({"_class_name": "KDPM2AncestralDiscreteScheduler"}, {"sampler": {"name": "dpm2-ancestral"}}),
        ({"_class_name": "LCMScheduler"}, {"sampler": {"name": "lcm"}, "steps": 4, "spacing": "lcm"}),
        ({"_class_name": "ScoreSdeVeScheduler"}, {"parameterization": "score", "spacing": "log-snr", "steps": 2000}),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
            {"sampler": {"name": "dpmpp-2m", "eta": 1.0, "lower_order_final": False}},
        ),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "solver_order": 3},
            {"sampler": {"name": "dpmpp-3m", "weights": "diffusers"}},
        ),
        ({"use_beta_sigmas": True, "_class_name": "UniPCMultistepScheduler"}, {"spacing": "beta"}),
        ({"beta_schedule": "squaredcos_cap_v2"}, {"schedule": "cosine"}),
        ({"beta_schedule": "exp"}, {"schedule": "exponential"}),
    ],
)
def test_schedulers_by_their_parts(folder, settings, expected):
    write(folder / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", **settings})
    tree = zoo.load(folder).config
    found = {
        "sampler": tree["sampler"],
        "schedule": tree["schedule"]["name"],
        "parameterization": tree["parameterization"]["name"],
        "steps": tree["sampling"]["steps"],
        "spacing": tree["sampling"]["spacing"]["name"],
        "clip": tree["sampling"]["clip"],
    }
    for key, value in expected.items():
        assert found[key] == value if key != "sampler" else value.items() <= found[key].items()


def test_betas_one_by_one_are_a_table_and_survive_a_file(folder, tmp_path):
    betas = torch.linspace(0.01, 0.2, 30, dtype=torch.float64)
    change(folder / "scheduler" / "scheduler_config.json", trained_betas=betas.tolist(), num_train_timesteps=30)
    model = zoo.load(folder)
    torch.testing.assert_close(model.schedule.alpha_bar, torch.cumprod(1 - betas, 0), rtol=1e-12, atol=0)
    zoo.save(model, tmp_path / "model.safetensors")
    again = zoo.load(tmp_path / "model.safetensors")
    assert torch.equal(again.schedule.alpha_bar, model.schedule.alpha_bar)


def test_a_tensor_that_nobody_knows_is_not_left_behind(folder, weights):
    save_file({**weights, "extra.weight": torch.ones(2)}, folder / "unet" / f"{FILE}.safetensors")
    with pytest.raises(CheckpointError, match=r"extra\.weight"):
        zoo.load(folder)
