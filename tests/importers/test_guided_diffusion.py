"""The importer of guided-diffusion: every switch of its network, flags, file names, classifiers, published files."""

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from openai_unets import theirs
from torch.testing import assert_close

import zoo
from registry import importers
from zoo.checkpoint import CheckpointError
from zoo.classifiers.adm import ADMClassifier
from zoo.denoisers.adm import ADM
from zoo.importers.fields import Fields, MissingField
from zoo.importers.openai_files import PUBLISHED, published
from zoo.importers.openai_names import Network
from zoo.importers.source import Source

GOLDEN = Path(__file__).parents[1] / "golden" / "image"
SMALL = {
    "base_channels": 32,
    "channel_mult": (1, 2),
    "blocks_per_level": 1,
    "attention_resolutions": (8,),
    "resolution": 16,
    "heads": 4,
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def drawn(net):
    """Weights that all matter."""
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape) / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1)
    return net.eval()


def written(folder, net, *, name="model.pt", order="legacy", pool=None, prefix=""):
    torch.save({prefix + key: tensor for key, tensor in theirs(net, order, pool).items()}, folder / name)
    return folder / name


@torch.no_grad()
@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({}, {"num_heads": 4}),
        ({"heads": 1}, {"num_heads": 1}),
        ({"resample": "residual", "classes": 5}, {"num_heads": 4}),
        ({"head_channels": 16}, {"num_head_channels": 16, "num_heads": 3}),
        ({"heads_up": 2}, {"num_heads": 4, "num_heads_upsample": 2}),
        ({"resample": "plain", "scale_shift": False}, {"num_heads": 4}),
        ({"channel_mult": (0.5, 1), "base_channels": 64}, {"num_heads": 4}),
        ({"channel_mult": (1, 1, 2), "blocks_per_level": 2, "attention_resolutions": (16, 4)}, {"num_heads": 4}),
        ({"channel_mult": (1,), "attention_resolutions": ()}, {"num_heads": 4}),
        ({"in_channels": 1, "out_channels": 2}, {"num_heads": 4}),
        ({"low_res_channels": 3, "out_channels": 6, "resample": "residual"}, {"num_heads": 4, "in_channels": 3}),
        ({"low_res_channels": 1, "in_channels": 1}, {"num_heads": 4, "cls": "SuperResModel"}),
    ],
)
@pytest.mark.parametrize("order", ["legacy", "new"])
def test_every_switch(tmp_path, arguments, fields, order):
    net = drawn(ADM(**{**SMALL, **arguments}))
    path = written(tmp_path, net, order=order, prefix="module." if order == "new" else "")
    fields = {**fields, "use_new_attention_order": order == "new", "image_size": 16}
    model = zoo.load(path, format="guided-diffusion", config=fields)
    x, t = torch.randn(2, net.in_channels, 16, 12), torch.tensor([3.0, 900.5])
    given = {}
    if net.classes:
        given["labels"] = torch.tensor([1, 4])
    if net.low_res_channels:
        given["low_res"] = torch.randn(2, net.low_res_channels, 8, 6)
    # the same numbers in the same order of sums
    assert torch.equal(model.denoiser(x, t, **given), net(x, t, **given))
    assert model.shape == (net.in_channels, 16, 16)
    assert model.parameterization.learned_variance == (net.out_channels == 2 * net.in_channels)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial-norm"])
@pytest.mark.parametrize("resample", ["conv", "residual"])
def test_classifiers(tmp_path, pool, resample):
    arguments = {key: value for key, value in SMALL.items() if key != "heads"}
    net = drawn(ADMClassifier(**arguments, classes=7, head_channels=16, pool=pool, resample=resample))
    path = written(tmp_path, net, pool=pool)
    classifier = zoo.load(path, config={"num_head_channels": 16, "image_size": 16})
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 900])
    expected = net(x, t)
    # float32 sums over weights that lie elsewhere in memory may have another order
    close = partial(assert_close, rtol=0, atol=1e-5 * float(expected.abs().max()))
    close(classifier(x, t), expected)
    zoo.save(classifier, tmp_path / "ours.safetensors")
    close(zoo.load(tmp_path / "ours.safetensors")(x, t), expected)


def test_a_classifier_by_the_flags_of_classifier_sample(tmp_path):
    """Those of the diffusion stand among them, and are not the classifier's; its heads are 64 wide, without a flag."""
    arguments = {key: value for key, value in SMALL.items() if key != "heads"} | {"channel_mult": (1, 4)}
    net = drawn(ADMClassifier(**arguments, classes=7, head_channels=64))
    flags = {
        "image_size": 16,
        "num_channels": 192,
        "num_res_blocks": 3,
        "attention_resolutions": "32,16,8",
        "num_head_channels": 32,
        "class_cond": True,
        "classifier_width": 32,
        "classifier_depth": 1,
        "classifier_attention_resolutions": "8",
        "classifier_pool": "attention",
        "classifier_use_scale_shift_norm": True,
        "classifier_resblock_updown": True,
    }
    path = written(tmp_path, net, pool="attention")
    classifier = zoo.load(path, config=flags)
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([3])
    assert torch.equal(classifier(x, t), net(x, t))
    with pytest.raises(CheckpointError, match=r"classifier_depth is 4 in the config, the weights say 1"):
        zoo.load(path, config={**flags, "classifier_depth": 4})


@torch.no_grad()
def test_flags_of_the_scripts(tmp_path):
    net = drawn(ADM(**SMALL, out_channels=6, classes=1000))
    flags = {
        "image_size": 16,
        "num_channels": 32,
        "num_res_blocks": 1,
        "channel_mult": "1,2",
        "attention_resolutions": "8",
        "class_cond": True,
        "learn_sigma": True,
        "use_fp16": True,
        "diffusion_steps": 4000,
        "noise_schedule": "cosine",
        "rescale_timesteps": True,
        "timestep_respacing": "250",
        "dropout": 0.1,
    }
    reports = []
    model = zoo.load(written(tmp_path, net), format="guided-diffusion", config=flags, report=reports.append)
    x, t, labels = torch.randn(1, 3, 16, 16), torch.tensor([3]), torch.tensor([999])
    assert torch.equal(model.denoiser(x, t, labels=labels), net(x, t, labels=labels))
    assert model.config["denoiser"]["heads"] == 4
    assert any("num_heads = 4" in line for line in reports[0].assumed)
    assert model.config["denoiser"]["dropout"] == 0.1
    assert model.config["schedule"]["name"] == "cosine"
    assert model.schedule.steps == 4000
    # rescaled: the network is told times of a thousand
    assert model.parameterization.c_noise(2000.0, None) == 500.0
    assert float(model.parameterization.time(torch.tensor(500.0), model.schedule)) == 2000.0
    assert model.config["sampler"] == {"name": "ddpm", "variance": "learned-range"}


def test_linear_beta_scales_with_the_number_of_steps(tmp_path):
    path = written(tmp_path, drawn(ADM(**SMALL)))
    config = {"num_heads": 4, "image_size": 16, "diffusion_steps": 500, "sigma_small": True, "predict_xstart": True}
    model = zoo.load(path, format="guided-diffusion", config=config)
    assert (model.config["schedule"]["beta_start"], model.config["schedule"]["beta_end"]) == (2e-4, 0.04)
    assert model.config["sampler"]["variance"] == "fixed-small"
    assert model.config["parameterization"]["name"] == "x0"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_channels": 64}, "num_channels is 64 in the config, the weights say 32 (time_embed.0.weight)"),
        ({"num_res_blocks": 2}, "num_res_blocks is 2 in the config, the weights say 1"),
        ({"channel_mult": "1,4"}, "channel_mult is '1,4' in the config, the weights say [1, 2]"),
        ({"channel_mult": [1, 4]}, "channel_mult is [1, 4] in the config, the weights say [1, 2]"),
        ({"attention_resolutions": "16,8"}, "with image_size = 16 the weights attend at [8]"),
        ({"attention_resolutions": [4]}, "attention_resolutions is [4] in the config, the weights attend at [2]"),
        ({"class_cond": True}, "class_cond is True in the config, the weights say False"),
        ({"learn_sigma": True}, "learn_sigma is True in the config, the weights say False"),
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm is False in the config, the weights say True"),
        ({"resblock_updown": True}, "resblock_updown is True in the config, the weights say False"),
        ({"conv_resample": False}, "conv_resample is False in the config, the weights say True"),
        ({"cls": "EncoderUNetModel"}, "cls is 'EncoderUNetModel' in the config, the weights are those of a denoiser"),
        ({"noise_schedule": "quad"}, "noise_schedule is 'quad' in the config, this importer knows cosine, linear"),
        ({"num_heads": 3}, "num_heads = 3 does not divide 64, the channels that the weights attend over"),
        ({"num_heads": 0}, "num_heads = 0 does not divide 64"),
    ],
)
def test_contradictions(tmp_path, fields, message):
    path = written(tmp_path, ADM(**SMALL))
    with pytest.raises(CheckpointError) as caught:
        zoo.load(path, format="guided-diffusion", config={"num_heads": 4, "image_size": 16, **fields})
    assert message in str(caught.value)


def test_what_the_weights_do_not_tell_is_asked_for_by_name(tmp_path):
    path = written(tmp_path, ADM(**SMALL, resample="residual"))
    with pytest.raises(MissingField, match=r"num_head_channels cannot be read from the weights.*64"):
        zoo.load(path)


@torch.no_grad()
def test_an_open_size(tmp_path):
    """Neither needed by the network nor told: attention sits where the weights have it, and samples want a shape."""
    net = drawn(ADM(**SMALL, resample="residual"))
    model = zoo.load(written(tmp_path, net), config={"num_heads": 4})
    assert model.shape == (3, None, None)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(model.denoiser(x, torch.tensor([3])), net(x, torch.tensor([3])))
    only = zoo.load(tmp_path / "model.pt", config={"num_heads": 4, "attention_resolutions": "8"})
    assert only.shape == (3, 16, 16)


def test_names_of_training_files(tmp_path):
    net = drawn(ADM(**SMALL, resample="residual"))
    config = {"num_heads": 4, "image_size": 16}
    reports = []
    for name in ("model000100.pt", "ema_0.9999_000100.pt", "model000200.pt", "net.pt"):
        zoo.load(written(tmp_path, net, name=name), config=config, report=reports.append)
    assert [(report.weights, report.step) for report in reports] == [
        ("raw", 100),
        ("ema", 100),
        ("raw", 200),
        ("unknown", None),
    ]


def test_the_folder_of_a_training(tmp_path):
    config = {"num_heads": 4, "image_size": 16}
    steps = {}
    for step in (100, 200):
        for copy in ("model", "ema_0.9999_"):
            net = drawn(ADM(**SMALL, resample="residual"))
            written(tmp_path, net, name=f"{copy}{step:06d}.pt")
            steps[copy, step] = net
        torch.save({"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}, tmp_path / f"opt{step:06d}.pt")
    reports = []
    ema = zoo.load(tmp_path, format="guided-diffusion", config=config, report=reports.append)
    raw = zoo.load(tmp_path, format="guided-diffusion", config=config, weights="raw")
    assert torch.equal(ema.denoiser.conv_in.weight, steps["ema_0.9999_", 200].conv_in.weight)
    assert torch.equal(raw.denoiser.conv_in.weight, steps["model", 200].conv_in.weight)
    assert (reports[0].weights, reports[0].step) == ("ema", 200)


def test_the_optimizer_is_no_network(tmp_path):
    torch.save({"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}, tmp_path / "opt000100.pt")
    with pytest.raises(
        CheckpointError, match=r"is the state of the optimizer, not a network; those of this step are mod"
    ):
        zoo.load(tmp_path / "opt000100.pt")


def test_strangers_among_the_keys(tmp_path):
    weights = theirs(ADM(**SMALL))
    torch.save({**weights, "input_blocks.1.0.extra.weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"unexpected: denoiser\.down\.0\.block\.0\.extra\.weight"):
        zoo.load(tmp_path / "model.pt", format="guided-diffusion", config={"num_heads": 4})
    torch.save({**weights, "stranger": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"stranger is in no network of this project"):
        zoo.load(tmp_path / "model.pt", format="guided-diffusion", config={"num_heads": 4})


class OnMeta(Source):
    """Keys and shapes of a network without memory."""

    def __init__(self, weights):
        self.weights = weights

    @property
    def path(self):
        return Path("meta.pt")

    def __iter__(self):
        return iter(self.weights)

    def __contains__(self, key):
        return key in self.weights

    def shape(self, key):
        return tuple(self.weights[key].shape)


NAMES = {
    "adm-64": "64x64_diffusion.pt",
    "adm-128": "128x128_diffusion.pt",
    "adm-256": "256x256_diffusion.pt",
    "adm-256-uncond": "256x256_diffusion_uncond.pt and lsun_*.pt",
    "adm-512": "512x512_diffusion.pt",
    "adm-upsampler-64-256": "64_256_upsampler.pt",
    "adm-upsampler-128-512": "128_512_upsampler.pt",
    "adm-classifier-64": "64x64_classifier.pt",
    "adm-classifier-128": "128x128_classifier.pt",
    "adm-classifier-256": "256x256_classifier.pt and 256x256_classifier_uncond.pt",
    "adm-classifier-512": "512x512_classifier.pt",
    "improved-cifar10": "cifar10_uncond_*.pt",
    "improved-imagenet-64": "imagenet64_uncond_*.pt",
    "improved-imagenet-64-cond": "imagenet64_cond_*.pt",
    "improved-upsampler-64-256": "upsample_cond_*.pt",
    "improved-lsun-256": "lsun_uncond_*.pt",
}


def test_levels_of_a_classifier_that_are_all_alike(tmp_path):
    """Where nothing tells a block that halves from one that does not, the config has to."""
    arguments = {**SMALL, "heads": 2, "channel_mult": (1, 1), "attention_resolutions": (), "head_channels": None}
    net = drawn(ADMClassifier(**arguments, classes=7, pool="adaptive"))
    path = written(tmp_path, net, pool="adaptive")
    with pytest.raises(MissingField, match=r"num_res_blocks cannot be read from the weights"):
        zoo.load(path, config={"num_heads": 2})
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([3])
    with torch.no_grad():
        assert torch.equal(zoo.load(path, config={"num_heads": 2, "num_res_blocks": 1})(x, t), net(x, t))
    with pytest.raises(CheckpointError, match=r"num_res_blocks is 2 in the config, with these weights it is one of"):
        zoo.load(path, config={"num_heads": 2, "num_res_blocks": 2})


@pytest.mark.parametrize("name", NAMES)
def test_published_files_need_no_config(name):
    """By their shapes alone they become the shipped config of the same network."""
    built = zoo.build(name, device="meta")
    classifier = name.startswith("adm-classifier")
    source = OnMeta(theirs(built if classifier else built.denoiser, pool="attention" if classifier else None))
    assert published(Network(source)).name == NAMES[name]
    importer = importers.build("improved-diffusion" if name.startswith("improved") else "guided-diffusion")
    tree = zoo.config.resolve(importer.config(source, Fields(None)))
    shipped = zoo.config.resolve(name)
    room = "classifier" if classifier else "denoiser"
    unlike = {key for key in shipped[room] if shipped[room][key] != tree[room][key]}
    assert unlike <= {"heads"}  # not read beside a width of heads
    for key in ("schedule", "parameterization", "sampler", "sampling", "shape"):
        assert tree.get(key) == shipped.get(key)


def test_every_published_file_is_in_the_list():
    assert set(NAMES.values()) == {file.name for file in PUBLISHED}


def test_the_recorded_runs_say_what_they_are():
    facts = yaml.safe_load((GOLDEN / "adm-superres" / "config.yaml").read_text())
    model = zoo.load(GOLDEN / "adm-superres" / "model.pt", format="guided-diffusion", config=facts["model"])
    assert model.config["denoiser"]["low_res_channels"] == 3
    assert model.shape == (3, 32, 32)
