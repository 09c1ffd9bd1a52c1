"""The importer of denoising-diffusion-pytorch: every layout of its files, and what a config may say of them."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.lucidrains import Lucidrains
from zoo.importers.source import Source

GOLDEN = Path(__file__).parents[1] / "golden" / "image" / "lucid-unet-selfcond"
RANDOM = {"random_fourier_features": True}


@pytest.fixture(scope="module")
def original():
    case = yaml.safe_load((GOLDEN / "config.yaml").read_text())
    facts = case["outputs"]["out"]
    return {
        "file": torch.load(GOLDEN / "model-1.pt", weights_only=True),
        "config": case["model"],
        "io": load_file(GOLDEN / "io.safetensors"),
        # the reference differs from itself by fp32_noise when its float32 sums are reordered
        "bound": max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"]),
    }


@pytest.fixture
def error_of(original):
    """How far a loaded model is from the original, in units of what rounding explains."""

    @torch.no_grad()
    def measure(model):
        io = original["io"]
        out = model.denoiser(io["x"], io["t"], self_cond=io["x_self_cond"])
        return float((out - io["out"]).abs().max()) / original["bound"]

    return measure


@pytest.fixture
def net(original):
    """The averaged network's own state_dict, which is what was recorded."""
    prefix = "ema_model.model."
    held = original["file"]["ema"]
    return {key.removeprefix(prefix): tensor for key, tensor in held.items() if key.startswith(prefix)}


@pytest.fixture
def diffusion(net):
    """GaussianDiffusion's state_dict, with the buffers of a schedule of 50 steps."""
    betas = torch.linspace(1e-3, 0.2, 50, dtype=torch.float64)
    table = torch.cumprod(1 - betas, 0)
    buffers = {
        "betas": betas,
        "alphas_cumprod": table,
        "alphas_cumprod_prev": table,
        "sqrt_recip_alphas_cumprod": table.rsqrt(),
        "posterior_mean_coef1": betas,
        "log_one_minus_alphas_cumprod": (1 - table).log(),
        "loss_weight": torch.ones(50),
    }
    return {
        **{key: tensor.float() for key, tensor in buffers.items()},
        **{f"model.{key}": tensor for key, tensor in net.items()},
    }


def shifted(state):
    """Other weights than those of the golden case."""
    return {key: tensor + 0.01 if key.startswith("model.") else tensor for key, tensor in state.items()}


def saved(tree, path):
    torch.save(tree, path)
    return path


def loaded(path, **arguments):
    reports = []
    return zoo.load(path, report=reports.append, **arguments), reports[0]


def test_a_trainer_s_file_gives_the_average(original, error_of):
    model, report = loaded(GOLDEN / "model-1.pt", config=original["config"])
    assert error_of(model) < 1
    assert (report.importer, report.weights, report.step) == ("lucidrains", "ema", 100)
    assert "model.model.init_conv.weight" in report.dropped
    assert {"ema.initted", "ema.step"} <= set(report.dropped)
    assert model.shape == (1, None, None)
    denoiser = model.config["denoiser"]
    assert denoiser["self_conditioned"]
    assert denoiser["time_embedding"] == "random"
    assert (denoiser["stem_channels"], denoiser["heads"], denoiser["head_channels"]) == (16, [2, 4], [16, 16])


def test_raw_and_averaged_weights_are_told_apart(diffusion, tmp_path, error_of):
    ema = {f"ema_model.{key}": tensor for key, tensor in diffusion.items()}
    online = {f"online_model.{key}": tensor for key, tensor in shifted(diffusion).items()}
    held = {"initted": torch.tensor([True]), "step": torch.tensor([7]), **ema, **online}
    path = saved({"step": 7, "model": shifted(diffusion), "ema": held, "scaler": None}, tmp_path / "model-1.pt")
    assert error_of(zoo.load(path)) < 1
    assert error_of(zoo.load(path, weights="raw")) > 100
    path = saved({"step": 7, "model": diffusion}, tmp_path / "model-2.pt")
    model, report = loaded(path)
    assert error_of(model) < 1
    assert report.weights == "raw"
    path = saved(held, tmp_path / "ema.pt")
    assert error_of(zoo.load(path)) < 1
    assert error_of(zoo.load(path, weights="raw")) > 100


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("whole", [True, False])
def test_a_plain_state_dict_is_found_by_its_keys(net, diffusion, tmp_path, error_of, prefix, whole):
    state = {f"{prefix}{key}": tensor for key, tensor in (diffusion if whole else net).items()}
    model, report = loaded(saved(state, tmp_path / "x.pt"))
    assert error_of(model) < 1
    assert report.weights == "unknown"
    assert model.config["schedule"]["name"] == ("table" if whole else "jabri-sigmoid")


def test_the_stored_schedule_is_the_authority(diffusion, tmp_path):
    path = saved(diffusion, tmp_path / "x.pt")
    model, report = loaded(path, config={"beta_schedule": "cosine"})
    assert torch.equal(model.schedule.alpha_bar, diffusion["alphas_cumprod"].double())
    assert "schedule.alphas_cumprod" in report.kept
    assert not [line for line in report.assumed if "schedule" in line or "timesteps" in line]
    with pytest.raises(CheckpointError, match=r"timesteps is 1000 in the config, the weights say 50 \(alphas_cumprod"):
        zoo.load(path, config={"timesteps": 1000})


def test_a_schedule_that_is_not_whole_comes_from_the_config():
    model, report = loaded(GOLDEN / "model-1.pt")
    assert model.config["schedule"]["name"] == "jabri-sigmoid"
    assert "beta_schedule = 'sigmoid': as GaussianDiffusion's default" in report.assumed
    assert "timesteps = 1000: as GaussianDiffusion's default" in report.assumed
    assert "betas" in " ".join(report.dropped)


@pytest.mark.parametrize(
    ("told", "schedule"),
    [
        ({"beta_schedule": "cosine", "timesteps": 40}, {"name": "cosine", "steps": 40}),
        (
            {"beta_schedule": "linear", "timesteps": 500},
            {"name": "linear", "steps": 500, "beta_start": 2e-4, "beta_end": 0.04},
        ),
        ({"schedule_fn_kwargs": {"tau": 0.5}}, {"name": "jabri-sigmoid", "steps": 1000, "tau": 0.5}),
    ],
)
def test_schedules_by_name(told, schedule):
    found = zoo.load(GOLDEN / "model-1.pt", config=told).config["schedule"]
    assert {key: found[key] for key in schedule} == schedule


@pytest.mark.parametrize(("theirs", "ours"), [("pred_noise", "eps"), ("pred_x0", "x0"), ("pred_v", "v")])
def test_objectives(theirs, ours):
    model = zoo.load(GOLDEN / "model-1.pt", config={"objective": theirs})
    parameterization = model.config["parameterization"]
    assert (parameterization["name"], parameterization["learned_variance"]) == (ours, False)


def test_data_that_was_not_normalized_is_in_zero_to_one():
    assert zoo.load(GOLDEN / "model-1.pt").config["scaling"]["name"] == "identity"
    model = zoo.load(GOLDEN / "model-1.pt", config={"auto_normalize": False})
    assert torch.equal(model.scaling.encode(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([0.0, 0.5, 1.0]))


def test_sampling_is_told_by_the_config():
    told = {"image_size": [16, 24], "sampling_timesteps": 5, "ddim_sampling_eta": 0.5}
    model = zoo.load(GOLDEN / "model-1.pt", config=told)
    assert model.shape == (1, 16, 24)
    assert model.config["sampling"]["steps"] == 5
    assert model.config["sampler"] == {"name": "ddim", "eta": 0.5}
    assert zoo.sample(model, 2).shape == (2, 1, 16, 24)
    assert zoo.load(GOLDEN / "model-1.pt", config={"image_size": 16}).shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dim", 64, "dim is 64 in the config, the weights say 24 (time_mlp.3.weight)"),
        ("unet.dim", 64, "unet.dim is 64 in the config"),
        ("init_dim", 24, "init_dim is 24 in the config, the weights say 16"),
        ("dim_mults", [1, 2, 4], "dim_mults is [1, 2, 4] in the config, the weights say [1, 2]"),
        ("channels", 3, "channels is 3 in the config, the weights say 1"),
        ("self_condition", False, "self_condition is False in the config, the weights say True"),
        ("learned_variance", True, "learned_variance is True in the config, the weights say False"),
        ("attn_heads", 4, "attn_heads is 4 in the config, the weights say [2, 4]"),
        ("attn_dim_head", [16, 32], "attn_dim_head is [16, 32] in the config, the weights say [16, 16]"),
        ("full_attn", True, "full_attn is True in the config, the weights say [False, True]"),
        ("learned_sinusoidal_dim", 8, "learned_sinusoidal_dim is 8 in the config, the weights say 16"),
        ("beta_schedule", "quad", "this importer knows cosine, linear, sigmoid"),
        ("objective", "pred_score", "this importer knows pred_noise, pred_v, pred_x0"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused(field, value, said):
    with pytest.raises(CheckpointError) as error:
        zoo.load(GOLDEN / "model-1.pt", config={field: value})
    assert said in str(error.value)


@pytest.mark.parametrize(
    "config", [{"attn_heads": [2, 4], "attn_dim_head": 16}, {"full_attn": None}, {"full_attn": [False, True]}]
)
def test_one_value_for_all_levels_or_one_each(config, error_of):
    assert error_of(zoo.load(GOLDEN / "model-1.pt", config=config)) < 1


@pytest.mark.parametrize("told", [{}, {"channels": 2}, {"channels": 1}, {"self_condition": True}])
def test_as_many_channels_made_as_seen_are_the_image_s_unless_it_is_told(net, tmp_path, told):
    """Two of one channel: x beside an estimate of it, and a mean beside a variance; or one image of two."""
    state = {**net, "final_conv.weight": torch.ones(2, 16, 1, 1), "final_conv.bias": torch.ones(2)}
    model = zoo.load(saved(state, tmp_path / "x.pt"), config=told)
    itself = told not in ({}, {"channels": 2})
    assert model.denoiser.self_conditioned == itself
    assert model.denoiser.in_channels == (1 if itself else 2)
    parameterization = model.config["parameterization"]
    assert (parameterization["name"], parameterization["learned_variance"]) == ("eps" if itself else "v", itself)


def test_fixed_frequencies_may_have_another_period(net, tmp_path):
    state = {key: tensor for key, tensor in net.items() if key != "time_mlp.0.weights"}
    state["time_mlp.1.weight"] = torch.ones(96, 24)
    path = saved(state, tmp_path / "x.pt")
    assert zoo.load(path, config={"sinusoidal_pos_emb_theta": 500}).config["denoiser"]["max_period"] == 500.0
    assert zoo.load(path).config["denoiser"]["time_embedding"] == "sinusoidal"
    with pytest.raises(CheckpointError, match=r"there is no time_mlp\.0\.weights"):
        zoo.load(path, config=RANDOM)


def test_group_norms_of_release_1_9(net, tmp_path):
    """The same keys, but for the norms of the blocks."""
    old = {}
    for key, tensor in net.items():
        stem, _, block_norm = key.rpartition(".norm.g")
        if not block_norm and stem.endswith(("block1", "block2")):
            old |= {f"{stem}.norm.weight": tensor.flatten(), f"{stem}.norm.bias": torch.zeros(tensor.numel())}
        else:
            old[key] = tensor
    model = zoo.load(saved(old, tmp_path / "x.pt"), config={"resnet_block_groups": 4})
    assert model.config["denoiser"]["norm_groups"] == 4
    assert model.denoiser.last.norm_1.num_groups == 4
    assert any(line.startswith("resnet_block_groups = 8") for line in loaded(tmp_path / "x.pt")[1].assumed)


@pytest.mark.parametrize("what", ["memory", "strided"])
def test_older_releases_are_refused(net, tmp_path, what):
    if what == "memory":
        old = {key: tensor for key, tensor in net.items() if not key.endswith("mem_kv")}
    else:
        old = {key.replace("downs.0.3.1", "downs.0.3"): tensor for key, tensor in net.items()}
        old["downs.0.3.weight"] = torch.ones(24, 16, 4, 4)
    with pytest.raises(CheckpointError, match=r"is of a release of denoising-diffusion-pytorch before 1\.9"):
        zoo.load(saved(old, tmp_path / "x.pt"))


def test_other_networks_and_damaged_files_are_refused(net, tmp_path):
    outputs = {**net, "final_conv.weight": torch.ones(5, 16, 1, 1), "final_conv.bias": torch.ones(5)}
    with pytest.raises(CheckpointError, match="makes 5 channels of 2: expected as many"):
        zoo.load(saved(outputs, tmp_path / "x.pt"))
    missing = {key: tensor for key, tensor in net.items() if key != "mid_block2.block1.proj.weight"}
    with pytest.raises(CheckpointError, match=r"missing: denoiser\.mid_2\.conv_1\.weight"):
        zoo.load(saved(missing, tmp_path / "y.pt"))
    with pytest.raises(CheckpointError, match=r"unexpected: denoiser\.extra\.weight"):
        zoo.load(saved({**net, "extra.weight": torch.ones(1)}, tmp_path / "z.pt"))


def test_what_is_shown_to_a_network_of_continuous_time_is_said(diffusion, tmp_path):
    told = "log of the signal-to-noise ratio"
    assert any(told in line for line in loaded(GOLDEN / "model-1.pt", config=RANDOM)[1].assumed)
    # a table of times settles it
    assert not any(told in line for line in loaded(saved(diffusion, tmp_path / "x.pt"))[1].assumed)


def test_matching_reads_no_tensor():
    source = Source(GOLDEN / "model-1.pt")
    assert Lucidrains().matches(source)
    assert source.unread() == []


def test_an_imported_model_is_saved_and_loaded_as_ours(diffusion, tmp_path, error_of):
    model, report = loaded(saved(diffusion, tmp_path / "x.pt"), config=RANDOM)
    zoo.save(model, tmp_path / "ours.safetensors", weights=report.weights)
    again = zoo.load(tmp_path / "ours.safetensors")
    assert error_of(again) < 1
    assert torch.equal(again.schedule.alpha_bar, model.schedule.alpha_bar)
