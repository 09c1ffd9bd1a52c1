"""diff-svc's checkpoints: whole, simplified, bare, of an older kind, of DiffSinger; and damaged ones."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import voice_files
from safetensors.torch import load_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.fields import MissingField

BARE = {"dilation_cycle_length": 4}
IO = load_file(voice_files.SVC / "io.safetensors")


def load(path, **options):
    reports = []
    model = zoo.load(path, report=reports.append, **options)
    return model, reports[0]


@torch.no_grad()
def is_the_model(model):
    """The condition and the network's output are those of the original; 1e-4 is what reordered sums may do."""
    cond = model.conditioner(**{name: IO[name] for name in ("units", "mel2ph", "energy")}, f0=IO["f0_log2"])["cond"]
    eps = model.denoiser(IO["x_T"][:, 0], torch.tensor([990.0]), cond=cond)
    return torch.equal(cond, IO["cond"]) and float((eps - IO["eps_t990"][:, 0]).abs().max()) < 1e-4


def test_a_checkpoint_of_the_trainer(tmp_path):
    model, report = load(voice_files.write(tmp_path / "model_ckpt_steps_112000.ckpt", voice_files.read()))
    assert is_the_model(model)
    assert report.importer == "diff-svc"
    assert report.weights == "raw"
    assert report.step == 112000
    assert report.assumed == ()
    assert "state_dict.model.posterior_variance" in report.dropped
    assert "state_dict.model.fs2.mel_out.weight" in report.dropped
    assert {"conditioner.pitch_embed.weight", "conditioner.energy_embed.weight", "scaling.low"} <= set(report.kept)
    assert model.config["notes"]["hop_size"] == "512"
    assert model.config["sampler"]["name"] == "plms"
    assert model.sampling.spacing(model.schedule, model.sampling.steps)[:2] == [990.0, 980.0]
    assert torch.equal(model.schedule.alpha_bar, voice_files.read()["state_dict"]["model.alphas_cumprod"].double())


def test_a_simplified_checkpoint_tells_its_step_by_its_name(tmp_path):
    tree = dict.fromkeys(voice_files.read()) | {"epoch": 3, "state_dict": voice_files.read()["state_dict"]}
    model, report = load(voice_files.write(tmp_path / "clean_model_ckpt_steps_5000.ckpt", tree))
    assert is_the_model(model)
    assert report.step == 5000


@pytest.mark.parametrize("prefix", ["", "module.model.", "anything."])
def test_any_prefix_of_the_whole_is_found(tmp_path, prefix):
    tree = voice_files.renamed(voice_files.read(), lambda key: prefix + key.removeprefix("model."))
    model, _ = load(voice_files.write(tmp_path / "model.ckpt", tree))
    assert is_the_model(model)


def test_a_folder_of_a_run_gives_its_newest_file(tmp_path):
    for step in (900, 1000):
        voice_files.write(tmp_path / f"model_ckpt_steps_{step}.ckpt", voice_files.read() | {"global_step": step})
    (tmp_path / "vocoder.ckpt").write_bytes(b"nobody looks at this")
    model, report = load(tmp_path)
    assert is_the_model(model)
    assert report.step == 1000


def test_a_numpy_number_among_the_plain_values(tmp_path):
    tree = voice_files.read() | {"checkpoint_callback_best": np.float64(0.25)}
    assert is_the_model(load(voice_files.write(tmp_path / "model.ckpt", tree))[0])


@pytest.mark.parametrize("prefix", ["", "denoise_fn.", "net."])
def test_a_bare_network(tmp_path, prefix):
    state = voice_files.small_net()
    path = voice_files.write(tmp_path / "net.pt", {prefix + key: value for key, value in state.items()}, None)
    model, report = load(path, format="diff-svc", config=BARE)
    assert all(torch.equal(model.denoiser.state_dict()[key], value) for key, value in state.items())
    assert model.conditioner is None
    assert [line.partition(" ")[0] for line in report.assumed] == ["timesteps", "max_beta", "scaling:", "there"]


def test_a_bare_network_fits_several_formats(tmp_path):
    path = voice_files.write(tmp_path / "net.pt", voice_files.small_net(), None)
    with pytest.raises(CheckpointError, match=r"pass format= one of ddsp-svc, diff-svc, diffsinger"):
        zoo.load(path)


def test_what_shapes_cannot_tell_is_asked_for(tmp_path):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read(), None)
    with pytest.raises(MissingField, match=r"dilation_cycle_length cannot be read from the weights: pass config="):
        zoo.load(path)
    with pytest.raises(MissingField, match=r"f0_min cannot be read from the weights"):
        zoo.load(path, config=BARE)


def test_the_first_diffsinger_keeps_its_words_to_itself(tmp_path):
    words = {"fs2.encoder.embed_tokens.weight": 5, "fs2.encoder.layers.0.op.layer_norm1.weight": 2, "fs2.dur.weight": 3}
    state = {f"model.denoise_fn.{key}": value for key, value in voice_files.small_net().items()}
    state |= {f"model.{key}": value for key, value in voice_files.buffers(100).items()}
    state |= {f"model.{key}": torch.zeros(size) for key, size in words.items()}
    config = {"dilation_cycle_length": 2, "timesteps": 100, "K_step": 51, "pndm_speedup": 10, "max_beta": 0.02}
    model, report = load(voice_files.write(tmp_path / "m.ckpt", {"state_dict": state}, None), config=config)
    assert model.conditioner is None
    assert report.assumed == ("fs2.* reads the words of a song and stays behind: pass cond=",)
    assert "state_dict.model.fs2.dur.weight" in report.dropped
    # its last step goes to clean data
    times = model.sampling.spacing(model.schedule, model.sampling.steps)
    assert times == [50.0, 40.0, 30.0, 20.0, 10.0, 0.0, -1.0]


def test_every_time_is_told_of_and_walked_in_tens(tmp_path):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read(), None)
    model, report = load(path, config=voice_files.config() | {"pndm_speedup": 1})
    assert model.config["sampling"]["steps"] == 100
    assert 'sampler="ddpm"' in report.assumed[0]


@pytest.mark.parametrize(("interval", "k_step", "first"), [(300, 1000, 900), (20, 500, 480), (7, 1000, 994)])
def test_any_interval_gives_the_old_times(tmp_path, interval, k_step, first):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read(), None)
    model, _ = load(path, config=voice_files.config() | {"pndm_speedup": interval, "K_step": k_step})
    times = model.sampling.spacing(model.schedule, model.sampling.steps)
    assert times == [*map(float, reversed(range(0, k_step, interval))), 0.0]
    assert times[0] == first


def test_a_config_that_disagrees_with_the_stored_tables_is_told_of(tmp_path, caplog):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read(), None)
    said = {"max_beta": 0.06, "spec_min": [-6.0], "spec_max": 0}
    model, report = load(path, config=voice_files.config() | said)
    assert is_the_model(model)
    assert report.remarks == (
        "max_beta is 0.06 in the config, the stored schedule is another, which counts",
        "spec_min in the config is another than the stored one, which counts",
    )
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == list(report.remarks)
    _, report = load(path, config=voice_files.config() | {"timesteps": 500, "K_step": 500})
    assert report.remarks[0].startswith("timesteps is 500 in the config, the stored schedule has 1000")


def test_a_config_of_another_network_is_refused_with_all_its_misfits(tmp_path):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read(), None)
    wrong = {"residual_layers": 20, "hidden_size": 256, "use_energy_embed": False, "K_step": 2000}
    with pytest.raises(CheckpointError) as error:
        zoo.load(path, config=voice_files.config() | wrong)
    assert all(f"\n    {name} is " in str(error.value) for name in wrong)


def test_our_own_file_is_the_same_bit_for_bit(tmp_path):
    model, _ = load(voice_files.write(tmp_path / "model.ckpt", voice_files.read()))
    zoo.save(model, tmp_path / "ours.safetensors")
    again = zoo.load(tmp_path / "ours.safetensors")
    before, after = ({**one.state_dict(), **one.part_tensors()} for one in (model, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert again.config == model.config
    mels = [zoo.sample(one, shape=(128, 30), steps=4, cond=IO["cond"]) for one in (model, again)]
    assert torch.equal(*mels)


NET = "model.denoise_fn."


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (f"{NET}mlp.0.weight", r"missing: denoiser\.mlp\.0\.weight"),
        (f"{NET}output_projection.bias", r"missing: denoiser\.output_projection\.bias"),
        (f"{NET}residual_layers.0.dilated_conv.weight", r"missing: denoiser\.residual_layers\.0\.dilated_conv\.weight"),
        ("model.fs2.pitch_embed.weight", r"missing: conditioner\.pitch_embed\.weight"),
        ("model.fs2.energy_embed.weight", r"use_energy_embed is True in the config, the weights say False"),
        ("model.alphas_cumprod", r"has no tensor state_dict\.model\.alphas_cumprod, though it has betas"),
        ("model.spec_min", r"has no tensor state_dict\.model\.spec_min"),
    ],
)
def test_a_missing_tensor_is_named(tmp_path, key, message):
    tree = voice_files.read()
    del tree["state_dict"][key]
    with pytest.raises(CheckpointError, match=message):
        zoo.load(voice_files.write(tmp_path / "model.ckpt", tree))


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        (f"{NET}input_projection.weight", lambda x: x.transpose(0, 1), r"shape \(24, 128, 1\), found \(128, 24"),
        (f"{NET}skip_projection.bias", lambda x: x[1:], r"skip_projection\.bias: .* \(24,\), found \(23,\)"),
        (f"{NET}output_projection.bias", lambda x: x[None], r"expected shape \(128,\), found \(1, 128\)"),
        (f"{NET}residual_layers.0.conditioner_projection.weight", lambda x: x.flatten(), r"found \(1536,\)"),
        ("model.fs2.pitch_embed.weight", lambda x: x.T, r"expected shape \(300, 32\), found \(32, 300\)"),
        ("model.alphas_cumprod", lambda x: x[None], r"alphas_cumprod, of shape \(1, 1000\), must fall from 1 to 0"),
        ("model.alphas_cumprod", lambda x: x * torch.nan, r"alphas_cumprod.* must fall from 1 to 0"),
        ("model.spec_min", lambda x: torch.zeros(1, 1, 5), r"spec_min has 5 numbers for 128 bins"),
    ],
)  # fmt: skip
def test_a_reshaped_tensor_is_named(tmp_path, key, change, message):
    tree = voice_files.read()
    tree["state_dict"][key] = change(tree["state_dict"][key]).contiguous()
    with pytest.raises(CheckpointError, match=message):
        zoo.load(voice_files.write(tmp_path / "model.ckpt", tree))


@pytest.mark.parametrize("key", ["fs2.pitch_predictor.embed_positions._float_tensor", "fs2.mel_out.weight", "betas"])
def test_nan_in_a_tensor_that_nobody_uses(tmp_path, key):
    tree = voice_files.read()
    tree["state_dict"][f"model.{key}"].fill_(torch.nan)
    assert is_the_model(load(voice_files.write(tmp_path / "model.ckpt", tree))[0])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.something.weight", r"does not know these tensors: state_dict\.model\.something\.weight"),
        ("model.fs2.something", r"does not know these tensors: state_dict\.model\.fs2\.something"),
        (f"{NET}something", r"unexpected: denoiser\.something"),
    ],
)
def test_an_unknown_tensor_is_named(tmp_path, key, message):
    tree = voice_files.read()
    tree["state_dict"][key] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=message):
        zoo.load(voice_files.write(tmp_path / "model.ckpt", tree))


def test_a_network_under_another_name_is_not_half_loaded(tmp_path):
    tree = voice_files.renamed(voice_files.read(), lambda key: key.replace("denoise_fn", "net"))
    path = voice_files.write(tmp_path / "model.ckpt", tree)
    with pytest.raises(CheckpointError, match=r"does not know these tensors: state_dict\.model\.betas"):
        zoo.load(path, format="diff-svc")


def test_a_truncated_file(tmp_path):
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read())
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="is truncated or corrupted"):
        zoo.load(path)


class Code:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = voice_files.write(tmp_path / "model.ckpt", voice_files.read() | {"epoch": Code()})
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"is refused: this pickle wants to run posix\.mkdir"):
        zoo.load(path)
    assert not (tmp_path / "it-ran").exists()
    assert path.read_bytes() == before


def test_the_optimizer_is_left_behind(tmp_path):
    # a gigabyte to whoever copies it, one number on the disk
    huge = torch.zeros(1).expand(1 << 28)
    states = [{"state": {0: {"exp_avg": huge, "exp_avg_sq": huge}}, "param_groups": [{"lr": 1e-4}]}]
    model, report = load(voice_files.write(tmp_path / "m.ckpt", voice_files.read() | {"optimizer_states": states}))
    assert is_the_model(model)
    assert "optimizer_states.0.state.0.exp_avg" in report.dropped


@pytest.mark.slow
def test_the_optimizer_is_never_read(tmp_path):
    states = [{"state": {0: {"exp_avg": torch.ones(1 << 27)}}}]
    path = voice_files.write(tmp_path / "m.ckpt", voice_files.read() | {"optimizer_states": states})
    assert path.stat().st_size > 1 << 29
    script = (
        "import resource, sys, torch, zoo; zoo.load(sys.argv[1]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(file):
        return int(subprocess.check_output([sys.executable, "-c", script, str(file)], text=True)) >> 10

    small = voice_files.write(tmp_path / "small.ckpt", voice_files.read())
    # half a gigabyte of it would show
    assert peak(path) - peak(small) < 64
