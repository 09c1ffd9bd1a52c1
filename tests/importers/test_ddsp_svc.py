"""DDSP-SVC's checkpoints, and those of its relatives in the same layout."""

import pytest
import torch
import voice_files
from safetensors.torch import load_file

import zoo
from zoo.checkpoint import CheckpointError

IO = load_file(voice_files.DDSP / "io.safetensors")
YAML = {
    "data": {"sampling_rate": 44100, "block_size": 512, "encoder_out_channels": 40},
    "model": {"type": "Diffusion", "n_layers": 3, "n_chans": 40, "n_hidden": 24, "n_spk": 3, "use_pitch_aug": True},
    "infer": {"speedup": 20, "method": "ddim"},
}


def load(path, **options):
    reports = []
    model = zoo.load(path, report=reports.append, **options)
    return model, reports[0]


def test_the_yaml_of_the_project(tmp_path):
    model, report = load(
        voice_files.write(tmp_path / "model_100000.pt", voice_files.read(voice_files.DDSP), None), config=YAML
    )
    assert report.importer == "ddsp-svc"
    assert report.step == 100000
    assert report.assumed == report.remarks == ()
    assert model.config["sampler"]["name"] == "ddim"
    assert model.config["sampling"]["steps"] == 50
    assert model.config["denoiser"]["dilation_cycle"] == 1
    # 512 / 44100 s a frame, 20 ms a unit
    assert model.conditioner.unit_step == pytest.approx(0.5805, abs=1e-4)
    assert model.config["notes"]["block_size"] == "512"
    assert "model.decoder.betas" in report.dropped
    units, f0 = IO["units"][:, :18], IO["f0_hz"]
    assert model.conditioner(units=units, f0=f0, volume=IO["volume"], spk=1)["cond"].shape == (1, 24, 30)


def test_a_model_of_the_first_hundred_steps(tmp_path):
    path = voice_files.write(tmp_path / "model_0.pt", voice_files.read(voice_files.DDSP), None)
    config = YAML | {"model": YAML["model"] | {"k_step_max": 100}}
    model, _ = load(path, config=config)
    assert model.sampling.spacing(model.schedule, model.sampling.steps) == [80.0, 60.0, 40.0, 20.0, 0.0, 0.0]


def test_a_sampler_that_is_chosen_by_hand_is_told_of(tmp_path):
    path = voice_files.write(tmp_path / "model_0.pt", voice_files.read(voice_files.DDSP), None)
    model, report = load(path, config=YAML | {"infer": {"speedup": 10, "method": "dpm-solver"}})
    assert model.config["sampler"]["name"] == "plms"
    assert report.assumed == ("sampler = plms: the config asks for 'dpm-solver', see zoo.sample(sampler=...)",)


def test_a_single_voice_without_augmentation(tmp_path):
    tree = voice_files.read(voice_files.DDSP)
    for key in ("spk_embed.weight", "aug_shift_embed.weight"):
        del tree["model"][key]
    model, _ = load(voice_files.write(tmp_path / "model_0.pt", tree, None), config={})
    cond = model.conditioner(units=IO["units"], f0=IO["f0_hz"], volume=IO["volume"])["cond"]
    assert cond.shape == (1, 24, 30)


def test_its_network_alone(tmp_path):
    state = voice_files.read(voice_files.DDSP)["model"]
    prefix = "decoder.denoise_fn."
    net = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    model, report = load(voice_files.write(tmp_path / "net.pt", net, None), format="ddsp-svc")
    assert all(torch.equal(model.denoiser.state_dict()[key], value) for key, value in net.items())
    assert "there is no conditioner in the file: pass cond=" in report.assumed


@pytest.mark.parametrize("key", ["unit_embed.bias", "decoder.denoise_fn.mlp.0.bias", "decoder.spec_max"])
def test_a_missing_tensor_is_named(tmp_path, key):
    tree = voice_files.read(voice_files.DDSP)
    del tree["model"][key]
    with pytest.raises(CheckpointError, match=key.rpartition("denoise_fn.")[2].replace(".", r"\.")):
        zoo.load(voice_files.write(tmp_path / "model_0.pt", tree, None), config=YAML)


def test_a_table_of_other_voices_is_refused(tmp_path):
    path = voice_files.write(tmp_path / "model_0.pt", voice_files.read(voice_files.DDSP), None)
    config = YAML | {"model": YAML["model"] | {"n_spk": 5}}
    with pytest.raises(CheckpointError, match=r"model\.n_spk is 5 in the config, the weights say 3"):
        zoo.load(path, config=config)


def test_our_own_file_is_the_same_bit_for_bit(tmp_path):
    model, _ = load(voice_files.write(tmp_path / "model_0.pt", voice_files.read(voice_files.DDSP), None), config=YAML)
    zoo.save(model, tmp_path / "ours.safetensors")
    again = zoo.load(tmp_path / "ours.safetensors")
    before, after = ({**one.state_dict(), **one.part_tensors()} for one in (model, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
