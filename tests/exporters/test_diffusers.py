"""Models written for diffusers: it loads them, and they answer as ours do."""

import json

import pytest
import torch

import zoo
from zoo.exporters.errors import ExportError

diffusers = pytest.importorskip("diffusers")

# diffusers turns its tables into arrays in a way that numpy 2 complains of
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NETWORKS = {
    "unet2d": {
        "name": "unet2d",
        "widths": [8, 16],
        "down": ["conv", "conv-attention"],
        "up": ["conv", "conv-attention"],
    }
    | {"blocks_per_level": 1, "norm_groups": 4, "head_channels": 4, "classes": 3},
    "unet2d-adm": {"name": "unet2d", "widths": [8, 16], "down": ["residual", "residual-attention"]}
    | {"up": ["residual-attention", "residual"], "blocks_per_level": 1, "norm_groups": 4, "scale_shift": True},
    "unet2d-uneven-heads": {"name": "unet2d", "widths": [16, 24, 24], "down": ["conv", "conv-attention", "conv"]}
    | {"up": ["conv", "conv", "conv-attention"], "blocks_per_level": 2, "norm_groups": 8, "head_channels": 10}
    | {"symmetric_padding": False, "time_width": 20, "middle_scale": 1.5},
    "unet2d-ncsnpp": {"name": "unet2d", "widths": [32, 32, 64], "down": ["fir", "fir", "fir-attention"]}
    | {"up": ["fir", "fir-attention", "fir-attention"], "blocks_per_level": 1, "embedding": "fourier"}
    | {"norm_groups": None, "center_input": True, "middle_scale": 2**0.5, "norm_eps": 1e-6, "head_channels": None},
    "unet2d-learned": {"name": "unet2d", "widths": [8, 16], "down": ["conv", "conv"], "up": ["conv", "conv"]}
    | {"blocks_per_level": 1, "norm_groups": 4, "middle_attention": False, "embedding": "learned", "time_steps": 1000},
    "unet2d-no-middle": {"name": "unet2d", "widths": [8, 16], "down": ["conv", "conv"], "up": ["conv", "conv"]}
    | {"blocks_per_level": 1, "norm_groups": 4, "middle": False, "class_embedding": "timestep"},
    "unet": {"name": "unet", "base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 2, "resolution": 8}
    | {"attention_resolutions": [4], "norm_groups": 4, "classes": 3},
    "adm": {"name": "adm", "base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "resolution": 8}
    | {"attention_resolutions": [4], "norm_groups": 4, "head_channels": 4, "resample": "residual", "classes": 3},
    "adm-conv": {"name": "adm", "base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "resolution": 8}
    | {"attention_resolutions": [4], "norm_groups": 4, "heads": 2, "scale_shift": False},
}
LABELLED = ("unet", "adm", "unet2d", "unet2d-no-middle")


def model(network="unet2d", **arguments):
    """A small model whose every weight matters, and whose samples stay small."""
    torch.manual_seed(3)
    tree = {"shape": [3, 8, 8], "denoiser": NETWORKS[network], **arguments}
    made = zoo.build(tree).eval()
    for name, weight in made.denoiser.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.01 if "conv_out" in name else 0.1)
    return made


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_the_network_answers_the_same_there_and_back_here(network, tmp_path):
    ours = model(network)
    zoo.export(ours, tmp_path / "pipeline", sampling={"spacing": "leading"})
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "pipeline", subfolder="unet").eval()
    again = zoo.load(tmp_path / "pipeline")
    x, t = torch.randn(3, 3, 16, 8), torch.tensor([1, 500, 999])
    labels = torch.tensor([0, 2, 1]) if network in LABELLED else None
    given = {} if labels is None else {"labels": labels}
    out = ours.denoiser(x, t, **given)
    # float32 sums in another order, in networks whose outputs are of the order of 1
    close = {"rtol": 0, "atol": 1e-5 * max(1.0, float(out.abs().max()))}
    torch.testing.assert_close(theirs(x, t, class_labels=labels).sample, out, **close)
    torch.testing.assert_close(again.denoiser(x, t, **given), out, **close)
    assert again.shape == ours.shape


def test_no_class_becomes_the_last_class(tmp_path):
    ours = model("unet")
    remarks = zoo.export(ours, tmp_path / "pipeline", sampling={"spacing": "leading"})
    assert "no class is the class 3 there" in remarks
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "pipeline", subfolder="unet").eval()
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 7])
    with torch.no_grad():
        out = theirs(x, t, class_labels=torch.tensor([3, 3])).sample
        torch.testing.assert_close(out, ours.denoiser(x, t), rtol=0, atol=1e-5)


WALKS = {
    "ddim": {"sampler": "ddim", "sampling": {"spacing": "leading"}},
    "ddim-clipped": {
        "sampler": "ddim",
        "sampling": {"spacing": "trailing", "clip": {"name": "clip", "recompute_eps": False}},
    },
    "ddim-first": {"sampler": "ddim", "sampling": {"spacing": {"name": "leading", "offset": 1, "end": "first"}}},
    "plms": {"sampling": {"spacing": {"name": "leading", "end": "first"}}},
    "pndm": {"sampling": {"spacing": "leading"}},
    "dpmpp-2m": {"sampler": "dpmpp-2m", "sampling": {"spacing": "trailing"}},
    "dpmpp-2m-heun": {
        "sampler": {"name": "dpmpp-2m", "solver": "heun"},
        "sampling": {"spacing": {"name": "linspace", "skip_last": True}},
    },
    "dpm-multistep": {
        "sampler": {"name": "dpm-multistep", "order": 3, "predict": "x0"},
        "sampling": {"steps": 12, "spacing": "trailing"},
    },
    "unipc": {"sampler": {"name": "unipc", "order": 3}, "sampling": {"spacing": "trailing"}},
    "euler": {"sampler": "euler", "sampling": {"spacing": "log-snr"}},
    "heun": {"sampler": "heun", "sampling": {"spacing": "karras"}},
    "dpm2": {"sampler": "dpm2", "sampling": {"spacing": {"name": "linspace", "rounded": False}}},
    "lms": {"sampler": "lms", "sampling": {"spacing": "leading"}},
    "flow": {
        "schedule": {"name": "flow", "shift": 3.0},
        "parameterization": {"name": "flow", "time_scale": 1000.0},
        "sampler": {"name": "flow-rk", "method": "euler"},
        "sampling": {"spacing": {"name": "linspace", "last": 0.003 / 1.002}},
    },
}


@torch.no_grad()
@pytest.mark.parametrize(
    ("walk", "parameterization"),
    [*((walk, "eps") for walk in WALKS), *((walk, "v") for walk in ("ddim", "plms", "pndm", "dpm-multistep", "unipc"))],
)
def test_samples_are_the_same_there(walk, parameterization, tmp_path):
    settings = {"schedule": "scaled-linear", "parameterization": parameterization, **WALKS[walk]}
    if walk in ("plms", "pndm"):
        settings["sampler"] = {"name": walk, "history": parameterization}
        settings["sampler"] |= {"middle": "diffusers"} if walk == "pndm" else {}
    ours = model("unet2d-adm", **settings)
    zoo.export(ours, tmp_path / "pipeline")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    assert type(pipeline).__name__ in ("DDIMPipeline", "DDPMPipeline")
    compare_walks(ours, pipeline.unet.eval(), _scheduler(tmp_path / "pipeline"), settings["sampling"].get("steps", 20))


def _scheduler(folder):
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    return getattr(diffusers, config["_class_name"]).from_pretrained(folder, subfolder="scheduler")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline whose scheduler each test replaces by its own."""
    folder = tmp_path_factory.mktemp("pipelines") / "pipeline"
    zoo.export(model("unet2d-adm"), folder, sampling={"spacing": "leading"})
    return folder


@pytest.fixture(scope="module")
def network(pipeline):
    return diffusers.UNet2DModel.from_pretrained(pipeline, subfolder="unet").eval()


SCHEDULERS = {
    "DDIMScheduler": [
        {},
        {"clip_sample": False, "timestep_spacing": "trailing", "beta_schedule": "scaled_linear"},
        {"set_alpha_to_one": False, "steps_offset": 1, "thresholding": True, "prediction_type": "sample"},
        {"trained_betas": [0.001 + 1e-5 * i for i in range(1000)], "prediction_type": "v_prediction"},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    ],
    "PNDMScheduler": [{}, {"skip_prk_steps": True}, {"skip_prk_steps": True, "prediction_type": "v_prediction"}],
    "DPMSolverMultistepScheduler": [
        {},
        {"solver_order": 3, "timestep_spacing": "leading", "steps_offset": 1},
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "timestep_spacing": "trailing"},
        {"solver_order": 1, "euler_at_final": True, "thresholding": True},
        {"solver_type": "heun", "beta_schedule": "scaled_linear"},
    ],
    "DPMSolverSinglestepScheduler": [{"lower_order_final": True}],
    "UniPCMultistepScheduler": [
        {},
        {"solver_order": 3, "predict_x0": False, "final_sigmas_type": "sigma_min", "timestep_spacing": "trailing"},
        {"solver_type": "bh1", "final_sigmas_type": "sigma_min", "disable_corrector": list(range(100))},
    ],
    "DEISMultistepScheduler": [{}, {"solver_order": 3}],
    "EulerDiscreteScheduler": [
        {},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"},
        {"timestep_spacing": "leading", "steps_offset": 1, "prediction_type": "v_prediction"},
    ],
    "HeunDiscreteScheduler": [{}],
    "KDPM2DiscreteScheduler": [{}],
    "LMSDiscreteScheduler": [{}],
    "FlowMatchEulerDiscreteScheduler": [{}, {"shift": 3.0}],
    "FlowMatchHeunDiscreteScheduler": [{}],
    "EDMEulerScheduler": [{}],
    "EDMDPMSolverMultistepScheduler": [{}, {"sigma_schedule": "exponential", "sigma_data": 0.7}],
}


@torch.no_grad()
@pytest.mark.parametrize(("name", "settings"), [(name, one) for name, several in SCHEDULERS.items() for one in several])
def test_a_scheduler_of_theirs_becomes_ours(name, settings, pipeline, network):
    theirs = getattr(diffusers, name)(**settings)
    theirs.save_pretrained(pipeline / "scheduler")
    compare_walks(zoo.load(pipeline), network, theirs)


def compare_walks(ours, network, scheduler, steps=20):
    scheduler.set_timesteps(steps)
    noise = torch.randn(2, 3, 8, 8)
    state, start = noise, noise
    # these keep x_t / alpha, beginning above the schedule's own noise
    divided = type(scheduler).__name__.startswith(("Euler", "Heun", "KDPM2", "LMS", "EDM"))
    if divided:
        state = noise * scheduler.init_noise_sigma
        first = zoo.walk(ours, x_T=noise, steps=steps)
        start = state * next(iter(first)).at.alpha
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(state, t) if hasattr(scheduler, "scale_model_input") else state
        state = scheduler.step(network(scaled, t).sample, t, state).prev_sample
    *_, last = zoo.walk(ours, x_T=start, steps=steps)
    # their tables are float32: a part in 10^6 of the largest state on the way
    scale = max(float(state.abs().max()), float(start.abs().max()), 1.0)
    torch.testing.assert_close(last.x_t, (last.at.alpha if divided else 1.0) * state, rtol=0, atol=1e-5 * scale)


@torch.no_grad()
def test_half_precision_is_a_variant(tmp_path):
    ours = model("unet2d-adm")
    zoo.export(ours, tmp_path / "pipeline", half=True, sampling={"spacing": "leading"})
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "pipeline", subfolder="unet", variant="fp16").eval()
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([5])
    reports = []
    again = zoo.load(tmp_path / "pipeline", report=reports.append)
    torch.testing.assert_close(theirs.float()(x, t).sample, again.denoiser(x, t), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling": {"name": "mean-std", "mean": 0.5, "std": 0.5}}, "scaling"),
        ({"schedule": "ve", "parameterization": "score"}, "needs a table of trained times"),
        ({"sampler": "er-sde"}, "diffusers has no scheduler for it"),
        ({"sampling": {"spacing": "log-snr"}}, "DDIMScheduler does the same for leading, trailing"),
        ({"sampler": "euler", "sampling": {"spacing": "karras", "clip": True}}, "clips nothing"),
        ({"sampling": {"clip": [0.0, 1.0]}}, r"not to \[0, 1\]"),
        ({"parameterization": "score"}, "parameterization 'score'"),
        ({"parameterization": "v", "sampler": "plms", "sampling": {"spacing": "leading"}}, "sampler.history"),
        (
            {"schedule": {"name": "linear", "zero_terminal_snr": True}, "parameterization": "v", "sampler": "lms"},
            "pure noise",
        ),
    ],
)
def test_refuses_what_it_cannot_say(arguments, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        zoo.export(model("unet2d-adm", **arguments), tmp_path / "pipeline")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("unet2d", {"down": ["conv-attention", "residual-attention", "conv"], "widths": [8, 16, 16]}, "in one way"),
        ("unet2d-ncsnpp", {"in_channels": 1}, "takes 3 channels, not 1"),
        ("unet2d", {"norm_groups": None}, "norm_groups"),
        ("unet2d", {"middle_norm_groups": 0}, "middle_norm_groups"),
        ("unet", {"channel_mult": [2, 2]}, "channel_mult begins with 2"),
        ("unet", {"resample_with_conv": False}, "resample_with_conv"),
        ("adm", {"low_res_channels": 3}, "low_res_channels"),
        ("adm", {"resample": "plain"}, "halved by a mean alone"),
        ("adm", {"head_channels": None, "heads": 4, "attention_resolutions": [8, 4]}, "heads of one width"),
    ],
)
def test_refuses_networks_that_it_has_no_words_for(network, changes, message, tmp_path):
    spec = {**NETWORKS[network], **changes}
    levels = len(spec.get("widths", []))
    for way in ("down", "up"):
        if levels and len(spec[way]) < levels:
            spec[way] = [*spec[way], *["conv"] * (levels - len(spec[way]))]
    made = zoo.build(
        {"shape": [spec.get("in_channels", 3), 8, 8], "denoiser": spec, "sampling": {"spacing": "leading"}}
    )
    with pytest.raises(ExportError, match=message):
        zoo.export(made, tmp_path / "pipeline")


def test_does_not_write_over_anything(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        zoo.export(model(), tmp_path)
    with pytest.raises(ExportError, match="there is no folder"):
        zoo.export(model(), tmp_path / "a" / "b")
    with pytest.raises(ExportError, match="schedule: only sampler and sampling"):
        zoo.export(model(), tmp_path / "c", schedule="cosine")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
