"""The importer of EDM's networks: bare and preconditioned, their configs, and the pickles that are refused."""

import copy
import json
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.attention_orders import split_qkv
from zoo.importers.edm import EDM
from zoo.importers.source import Source

GOLDEN = Path(__file__).parents[1] / "golden" / "image"


class Case:
    """Weights, config, inputs and outputs of the original code."""

    def __init__(self, name):
        facts = yaml.safe_load((GOLDEN / name / "config.yaml").read_text())
        self.config, self.io = facts["model"], load_file(GOLDEN / name / "io.safetensors")
        self.weights = load_file(GOLDEN / name / "model.safetensors")
        self.bare = {key.removeprefix("model."): tensor for key, tensor in self.weights.items()}
        facts = facts["outputs"]["out"]
        # the reference differs from itself by fp32_noise when its float32 sums are reordered
        self.bound = max(1e-5 * facts["absmax"], 20 * facts["fp32_noise"])

    @torch.no_grad()
    def error_of(self, model):
        """How far a model is from the original, in units of what rounding explains."""
        out = model.denoise(self.io["x"], self.io["sigma"]).x_0
        return float((out - self.io["out"]).abs().max()) / self.bound


@pytest.fixture(scope="module")
def ddpmpp():
    return Case("edm-precond-edm-ddpmpp")


@pytest.fixture(scope="module")
def ncsnpp():
    return Case("edm-precond-ve-ncsnpp")


def stored(weights, path):
    torch.save(weights, path)
    return path


def loaded(path, **arguments):
    reports = []
    model = zoo.load(path, report=reports.append, **arguments)
    return model, reports[0]


def test_a_preconditioned_model_gives_the_numbers_of_the_original(ncsnpp, tmp_path):
    path = stored(ncsnpp.weights, tmp_path / "model.pt")
    model, report = loaded(path, format="edm", config=ncsnpp.config)
    assert ncsnpp.error_of(model) < 1
    assert model.config["parameterization"] == {"name": "ve-precond", "learned_variance": False}
    assert model.config["denoiser"]["encoder"] == "residual"
    assert model.config["denoiser"]["resample_filter"] == [1.0, 3.0, 3.0, 1.0]
    assert model.config["denoiser"]["dropout"] == 0.13
    assert (model.schedule.sigma_min, model.schedule.sigma_max) == (0.02, 100.0)
    assert report.assumed == ()
    assert all(key.endswith("resample_filter") for key in report.dropped)


def test_without_a_config_it_is_the_published_kind(ddpmpp, tmp_path):
    model, report = loaded(stored(ddpmpp.weights, tmp_path / "model.pt"))
    assert ddpmpp.error_of(model) < 1
    assert report.importer == "edm"
    assert "cls = 'EDMPrecond': as all published models of this project" in report.assumed
    assert "dropout = 0.1: it matters for further training only" in report.assumed
    assert model.shape == (3, 16, 16)
    assert model.config["denoiser"]["augment_channels"] == 9
    assert model.config["sampler"]["name"] == "heun"


def test_a_bare_network_is_the_same_network(ddpmpp, tmp_path):
    bare = stored(ddpmpp.bare, tmp_path / "bare.pt")
    assert ddpmpp.error_of(zoo.load(bare)) < 1
    assert ddpmpp.error_of(zoo.load(bare, config=ddpmpp.config)) < 1
    model, report = loaded(bare, config={"cls": "SongUNet", "dropout": 0.2})
    assert ddpmpp.error_of(model) < 1
    assert report.assumed == ("cls = 'EDMPrecond': as all published models of this project",)


def test_the_preconditioner_is_that_of_the_config(ddpmpp, tmp_path):
    path = stored(ddpmpp.weights, tmp_path / "model.pt")
    for cls, name in (("EDMPrecond", "edm"), ("VPPrecond", "vp-precond"), ("VEPrecond", "ve-precond")):
        model = zoo.load(path, config={"cls": f"training.networks.{cls}"})
        assert model.config["parameterization"]["name"] == name
        assert (ddpmpp.error_of(model) < 1) == (name == "edm")
    model = zoo.load(path, config={"cls": "EDMPrecond", "sigma_data": 0.6, "sigma_max": float("inf")})
    assert model.config["parameterization"]["sigma_data"] == 0.6
    assert model.config["schedule"] == {"name": "edm", "sigma_min": 0.002, "sigma_max": 80.0}
    # sigma(1) = sqrt(e^(19.9 / 2 + 0.1) - 1)
    assert zoo.load(path, config={"cls": "VPPrecond"}).schedule.sigma_max == pytest.approx(152.167, abs=1e-3)


def test_stored_noise_levels_are_the_authority(ddpmpp, tmp_path):
    config = {**ddpmpp.config, "cls": "iDDPMPrecond"}
    with pytest.raises(CheckpointError, match="an iDDPMPrecond has a tensor u"):
        zoo.load(stored(ddpmpp.weights, tmp_path / "none.pt"), config=config)
    u = torch.tensor([50.0, 3.0, 1.0, 0.1, 0.0])
    path = stored({**ddpmpp.weights, "u": u}, tmp_path / "model.pt")
    model, report = loaded(path)
    assert model.config["parameterization"]["name"] == "iddpm-precond"
    assert torch.equal(model.parameterization.tensors()["u"], u.double())
    assert "parameterization.u" in report.kept
    sigma = torch.tensor([40.0, 1.9, 0.2], dtype=torch.float64)
    labels = model.parameterization.c_noise(sigma, model.schedule(sigma))
    assert labels.tolist() == [3.0, 1.0, 0.0]  # M - 1 - (0, 2, 3) with M = 4
    zoo.save(model, tmp_path / "ours.safetensors")
    again = zoo.load(tmp_path / "ours.safetensors")
    assert torch.equal(again.parameterization.tensors()["u"], u.double())
    with pytest.raises(CheckpointError, match="the weights hold the noise levels u of an iDDPMPrecond"):
        zoo.load(path, config=ddpmpp.config)


def test_prefixes_and_copies(ddpmpp, tmp_path):
    other = {key: tensor + 0.01 for key, tensor in ddpmpp.weights.items()}
    parallel = {f"module.{key}": tensor for key, tensor in ddpmpp.weights.items()}
    assert ddpmpp.error_of(zoo.load(stored(parallel, tmp_path / "parallel.pt"))) < 1
    model, report = loaded(stored({"ema": ddpmpp.weights, "net": other, "step": 3}, tmp_path / "both.pt"))
    assert ddpmpp.error_of(model) < 1
    assert report.weights == "ema"
    assert ddpmpp.error_of(zoo.load(tmp_path / "both.pt", weights="raw")) > 10


def test_half_precision_files_are_computed_in_float32(ddpmpp, tmp_path):
    half = {key: tensor.half() for key, tensor in ddpmpp.weights.items()}
    model = zoo.load(stored(half, tmp_path / "half.pt"))
    assert model.dtype == torch.float32
    # weights of eleven bits
    assert ddpmpp.error_of(model) < 1000


def test_the_options_of_a_training_run_are_a_config(ddpmpp, tmp_path):
    network = {
        key: value for key, value in ddpmpp.config.items() if key not in ("cls", "img_resolution", "img_channels")
    }
    options = {"network_kwargs": {"class_name": "training.networks.EDMPrecond", **network}, "batch_size": 512}
    (tmp_path / "training_options.json").write_text(json.dumps(options))
    stored(ddpmpp.weights, tmp_path / "model.pt")
    model, report = loaded(tmp_path)
    assert ddpmpp.error_of(model) < 1
    assert report.assumed == ()
    assert report.remarks == ("its config was read from training_options.json in the same folder",)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("cls", "DhariwalUNet", "the weights are those of a SongUNet"),
        ("model_type", "DhariwalUNet", "the weights are those of a SongUNet"),
        ("cls", "EDM2Precond", "this importer knows EDMPrecond, VPPrecond, VEPrecond, iDDPMPrecond"),
        ("img_resolution", 32, "img_resolution is 32 in the config, the weights say 16"),
        ("img_channels", 1, "img_channels is 1 in the config, the weights say 3"),
        ("label_dim", 10, "label_dim is 10 in the config, the weights say 0"),
        ("augment_dim", 0, "augment_dim is 0 in the config, the weights say 9"),
        ("model_channels", 128, "model_channels is 128 in the config, the weights say 16"),
        ("channel_mult", [2, 2], "channel_mult is [2, 2] in the config, the weights say [1, 2]"),
        ("channel_mult_emb", 2, "channel_mult_emb is 2 in the config, the weights say 4"),
        ("channel_mult_noise", 1, "channel_mult_noise is 1 in the config, the weights say 2"),
        ("num_blocks", 4, "num_blocks is 4 in the config, the weights say 1"),
        ("attn_resolutions", [16], "attn_resolutions is [16] in the config, the weights attend at [8]"),
        ("embedding_type", "positional", "the weights say 'fourier' (map_noise.freqs)"),
        ("encoder_type", "skip", "the weights say 'residual'"),
        ("decoder_type", "skip", "the weights say 'standard'"),
        ("resample_filter", [1, 1], "resample_filter is [1, 1] in the config, the weights say [1.0, 3.0, 3.0, 1.0]"),
        ("dropout", "high", "dropout: expected"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused(ncsnpp, tmp_path, field, value, said):
    with pytest.raises(CheckpointError) as error:
        zoo.load(stored(ncsnpp.weights, tmp_path / "model.pt"), config={**ncsnpp.config, field: value})
    assert said in str(error.value)


def test_tensors_that_nobody_knows_are_named(ddpmpp, tmp_path):
    with pytest.raises(CheckpointError, match=r"enc\.16x16_blob0\.weight is in no network of EDM"):
        zoo.load(stored({**ddpmpp.weights, "model.enc.16x16_blob0.weight": torch.ones(1)}, tmp_path / "a.pt"))
    with pytest.raises(CheckpointError, match="critic"):
        zoo.load(stored({**ddpmpp.weights, "critic": torch.ones(1)}, tmp_path / "b.pt"))
    weights = copy.copy(ddpmpp.weights)
    del weights["model.dec.16x16_up.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"missing: denoiser\.up\.1\.upsample\.conv2\.weight"):
        zoo.load(stored(weights, tmp_path / "c.pt"))


def test_matching_reads_no_tensor(ddpmpp, tmp_path):
    source = Source(stored(ddpmpp.weights, tmp_path / "model.pt"))
    assert EDM().matches(source)
    assert source.unread() == []


def test_an_imported_model_is_saved_and_loaded_as_ours(ncsnpp, tmp_path):
    model = zoo.load(stored(ncsnpp.weights, tmp_path / "model.pt"), config=ncsnpp.config)
    zoo.save(model, tmp_path / "ours.safetensors")
    assert ncsnpp.error_of(zoo.load(tmp_path / "ours.safetensors")) < 1


def test_rows_of_q_k_and_v_by_hand():
    # two heads of two channels: row = what, head and channel are told apart by their digits
    part, head, channel = (torch.arange(n) for n in (3, 2, 2))
    name = 100 * part[:, None, None] + 10 * head[None, :, None] + channel[None, None]
    fused = {"new": name, "legacy": name.permute(1, 0, 2), "edm": name.permute(1, 2, 0)}
    for order, rows in fused.items():
        for index, one in enumerate(split_qkv(rows.reshape(12, 1, 1), 2, order)):
            assert one.flatten().tolist() == [100 * index + row for row in (0, 1, 10, 11)]
            assert one.shape == (4, 1, 1)


class _Pickled:
    """Unpickles through torch_utils.persistence, as NVIDIA's networks do."""

    def __reduce__(self):
        import torch_utils.persistence

        return torch_utils.persistence._reconstruct_persistent_obj, ({"marker": "executed"},)


@pytest.fixture
def published(ddpmpp, tmp_path, monkeypatch):
    """A folder with a module torch_utils that leaves a mark when it is used, and a pickle that uses it."""
    (tmp_path / "torch_utils").mkdir()
    (tmp_path / "torch_utils" / "__init__.py").write_text("")
    (tmp_path / "torch_utils" / "persistence.py").write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "class EDMPrecond:\n"
        f"    init_kwargs = {ddpmpp.config!r}\n"
        "    def state_dict(self):\n"
        "        return torch.load(Path(__file__).parent / 'weights.pt')\n"
        "def _reconstruct_persistent_obj(meta):\n"
        "    Path(__file__).with_name(meta['marker']).touch()\n"
        "    return EDMPrecond()\n"
    )
    stored(ddpmpp.weights, tmp_path / "torch_utils" / "weights.pt")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "edm-cifar10-32x32-cond-vp.pkl"
    path.write_bytes(pickle.dumps({"ema": _Pickled(), "loss_fn": None}))
    for name in ("torch_utils", "torch_utils.persistence"):
        monkeypatch.delitem(sys.modules, name)
    return path


def refusal_of(path):
    with pytest.raises(CheckpointError) as error:
        zoo.load(path, format="edm")
    return str(error.value)


def test_a_published_pickle_is_refused_and_nothing_in_it_runs(published):
    said = refusal_of(published)
    assert "is refused: this pickle wants to run torch_utils.persistence._reconstruct_persistent_obj" in said
    assert re.search(r'\n    python -c "import json, pickle, sys, torch; net = pickle\.load\(.*\)" \S+\.pkl$', said)
    assert not (published.parent / "torch_utils" / "executed").exists()
    assert "torch_utils" not in sys.modules


@pytest.mark.slow
def test_what_the_refusal_says_to_do_works(published, ddpmpp):
    command = shlex.split(refusal_of(published).rpartition("\n")[2])
    subprocess.run([sys.executable, *command[1:]], cwd=published.parent, check=True)
    assert (published.parent / "torch_utils" / "executed").exists()
    folder = published.parent
    assert ddpmpp.error_of(zoo.load(folder / "model.pt", config=folder / "config.json")) < 1
