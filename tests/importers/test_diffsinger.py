"""OpenVPI's checkpoints: Lightning files of acoustic models, with and without shallow diffusion."""

import pytest
import torch
import voice_files
from safetensors.torch import load_file

import zoo
from zoo.checkpoint import CheckpointError
from zoo.importers.fields import MissingField

AUX = voice_files.GOLDEN / "openvpi_aux_decoder"
FLOW = voice_files.GOLDEN / "openvpi_reflow"
DDPM = {
    "audio_num_mel_bins": 16,
    "hidden_size": 24,
    "backbone_type": "wavenet",
    "backbone_args": {"num_channels": 48, "num_layers": 4, "dilation_cycle_length": 2},
    "diffusion_type": "ddpm",
    "timesteps": 1000,
    "K_step": 400,
    "diff_accelerator": "ddim",
    "diff_speedup": 20,
    "max_beta": 0.02,
    "use_shallow_diffusion": True,
    "shallow_diffusion_args": {"aux_decoder_arch": "convnext"},
    "spec_min": [-12],
    "spec_max": [0],
}
REFLOW = {
    "hidden_size": 24,
    "diffusion_type": "reflow",
    "backbone_type": "lynxnet2",
    "backbone_args": {"glu_type": "atanglu", "kernel_size": 7},
    "time_scale_factor": 1000,
    "T_start": 0.4,
    "sampling_steps": 10,
    "spec_min": [-12.0],
    "spec_max": [0.0],
}


def lightning(net, extra, category="acoustic"):
    """A file of OpenVPI's trainer."""
    parts = {"diffusion." + net: net_state(net), "aux_decoder.": load_file(AUX / "model.safetensors")} | extra
    state = {f"model.{prefix}{key}": value for prefix, part in parts.items() for key, value in part.items()}
    return {
        "epoch": 1,
        "global_step": 2000,
        "category": category,
        "trainer_stage": 0,
        "state_dict": state,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}}],
        "loops": {"fit_loop": {}},
    }


def net_state(net):
    if net == "denoise_fn.":
        return voice_files.small_net()
    prefix = "velocity_fn."
    return {key.removeprefix(prefix): value for key, value in load_file(FLOW / "model.safetensors").items()}


def load(path, **options):
    reports = []
    model = zoo.load(path, report=reports.append, **options)
    return model, reports[0]


def ddpm(**changes):
    words = {"txt_embed.weight": torch.zeros(3, 24), "pitch_embed.weight": torch.zeros(24, 1)}
    return lightning("denoise_fn.", {"diffusion.": voice_files.buffers(), "fs2.": words}, **changes)


@torch.no_grad()
def test_ddpm_with_shallow_diffusion(tmp_path):
    model, report = load(voice_files.write(tmp_path / "model_ckpt_steps_2000.ckpt", ddpm(), None), config=DDPM)
    assert report.importer == "diffsinger"
    assert report.step == 2000
    assert report.assumed == (
        "this model refines a mel: pass start= and start_t=399",
        "fs2.* reads the words of a song and stays behind: pass cond=",
    )
    assert {"state_dict.model.fs2.txt_embed.weight", "state_dict.model.diffusion.betas"} <= set(report.dropped)
    assert "optimizer_states.0.state.0.exp_avg" in report.dropped
    assert model.config["sampler"]["name"] == "ddim"
    # the aux decoder's mel is the recorded one, and the network refines it
    io = load_file(AUX / "io.safetensors")
    cond = io["cond_BTH"].transpose(1, 2)
    mel = model.conditioner.mel(cond)
    torch.testing.assert_close(mel.transpose(1, 2), io["out_infer"], rtol=0, atol=1e-3)
    states = list(zoo.walk(model, start=mel, start_t=399, cond=cond))
    assert [moment.at.t for moment in states] == [*map(float, range(380, -1, -20)), 0.0]


def test_rectified_flow(tmp_path):
    path = voice_files.write(tmp_path / "model_ckpt_steps_2000.ckpt", lightning("velocity_fn.", {}), None)
    model, report = load(path, config=REFLOW)
    assert report.assumed == ("this model refines a mel: pass start= and start_t=0.6",)
    assert model.config["scaling"] == {"name": "min-max", "low": -12.0, "high": 0.0}
    assert model.config["sampling"]["steps"] == 10
    # the network's time is 0 at noise and 1000 at data
    assert float(model.parameterization.c_noise(torch.tensor(0.25), None)) == 750


@pytest.mark.parametrize(("rule", "method"), [("euler", "euler"), ("rk2", "midpoint"), ("rk4", "rk4"), ("rk5", "rk5")])
def test_the_rule_of_the_config_is_followed(tmp_path, rule, method):
    path = voice_files.write(tmp_path / "m.ckpt", lightning("velocity_fn.", {}), None)
    model, report = load(path, config=REFLOW | {"sampling_algorithm": rule, "T_start": 0.0})
    sampler = model.config["sampler"]
    assert (sampler["name"], sampler["method"]) == ("flow-rk", method)
    assert report.assumed == ()


def test_a_rule_that_is_not_known_is_told_of(tmp_path):
    path = voice_files.write(tmp_path / "m.ckpt", lightning("velocity_fn.", {}), None)
    model, report = load(path, config=REFLOW | {"sampling_algorithm": "dopri", "T_start": 0.0})
    assert model.config["sampler"]["method"] == "euler"
    assert report.assumed == ("sampler = euler: the config asks for 'dopri', which is not known here",)


def test_older_names_of_the_config(tmp_path):
    old = {"residual_channels": 48, "residual_layers": 4, "dilation_cycle_length": 2, "diff_decoder_type": "wavenet"}
    kept = {name: DDPM[name] for name in ("audio_num_mel_bins", "hidden_size", "timesteps", "K_step")}
    model, _ = load(voice_files.write(tmp_path / "m.ckpt", ddpm(), None), config=kept | old | {"pndm_speedup": 50})
    assert model.config["denoiser"]["dilation_cycle"] == 2
    assert model.config["sampling"]["steps"] == 8


def test_what_shapes_cannot_tell_is_asked_for(tmp_path):
    path = voice_files.write(tmp_path / "m.ckpt", ddpm(), None)
    with pytest.raises(MissingField, match=r"backbone_args\.dilation_cycle_length cannot be read"):
        zoo.load(path)
    path = voice_files.write(tmp_path / "m.ckpt", lightning("velocity_fn.", {}), None)
    with pytest.raises(MissingField, match=r"backbone_args\.glu_type cannot be read"):
        zoo.load(path)


def test_misfits_are_named_by_the_names_of_the_config(tmp_path):
    path = voice_files.write(tmp_path / "m.ckpt", ddpm(), None)
    wrong = DDPM | {"backbone_args": DDPM["backbone_args"] | {"num_layers": 20}, "diffusion_type": "reflow"}
    with pytest.raises(CheckpointError) as error:
        zoo.load(path, config=wrong)
    assert "backbone_args.num_layers is 20 in the config, the weights say 4" in str(error.value)
    assert "diffusion_type is 'reflow' in the config, the weights lie under 'diffusion.denoise_fn.'" in str(error.value)


def test_a_variance_model_is_refused(tmp_path):
    tree = ddpm(category="variance")
    tree = voice_files.renamed(tree, lambda key: key.replace(".diffusion.", ".pitch_predictor."))
    path = voice_files.write(tmp_path / "m.ckpt", tree, None)
    with pytest.raises(CheckpointError, match="category 'variance', which predicts pitch and other curves"):
        zoo.load(path)


def test_an_aux_decoder_for_other_mels_is_refused(tmp_path):
    tree = ddpm()
    key = "model.aux_decoder.decoder.outconv"
    for name in (f"{key}.weight", f"{key}.bias"):
        tree["state_dict"][name] = tree["state_dict"][name][:5].clone()
    with pytest.raises(CheckpointError, match="the aux decoder makes 5 bins, the network takes 16"):
        zoo.load(voice_files.write(tmp_path / "m.ckpt", tree, None), config=DDPM)


@pytest.mark.parametrize("kind", ["ddpm", "reflow"])
def test_our_own_file_is_the_same_bit_for_bit(tmp_path, kind):
    tree, config = (ddpm(), DDPM) if kind == "ddpm" else (lightning("velocity_fn.", {}), REFLOW)
    model, _ = load(voice_files.write(tmp_path / "m.ckpt", tree, None), config=config)
    zoo.save(model, tmp_path / "ours.safetensors")
    again = zoo.load(tmp_path / "ours.safetensors")
    before, after = ({**one.state_dict(), **one.part_tensors()} for one in (model, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert again.config == model.config
