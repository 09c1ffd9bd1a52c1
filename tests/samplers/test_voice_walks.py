"""Whole sampling runs of diff-svc and both trees of DiffSinger, from their recorded noise, with one small net."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zoo
from zoo.core.diffusion import Diffusion
from zoo.core.scaling import MinMax
from zoo.denoisers.diffnet import DiffNet

GOLDEN = Path(__file__).parents[1] / "golden" / "voice" / "samplers_small"
IO = {name: load_file(GOLDEN / f"{name}.safetensors") for name in ("io", "io_moon", "io_openvpi")}
CONFIG = yaml.safe_load((GOLDEN / "config.yaml").read_text())
WEIGHTS = load_file(GOLDEN / "weights.safetensors")
COND = IO["io"]["cond"]
X_T = IO["io"]["x_T"][:, 0]
MEL = IO["io"]["ref_mels"].transpose(1, 2)
START_NOISE = IO["io"]["shallow_noise"].transpose(0, 1)  # (draws, B, M, T)


def model(steps=1000, interpolation="log-nsr"):
    """The net under the first so many steps of its schedule."""
    state = dict(WEIGHTS)
    # float64 from the float32 betas: the stored float32 alphas_cumprod has lost digits of 1 - alphas_cumprod
    alpha_bar = (1 - state.pop("betas").double()).cumprod(0)[:steps]
    net = DiffNet(
        mel_bins=CONFIG["audio_num_mel_bins"],
        cond_channels=CONFIG["hidden_size"],
        residual_channels=CONFIG["residual_channels"],
        layers=CONFIG["residual_layers"],
        dilation_cycle=CONFIG["dilation_cycle_length"],
    )
    net.load_state_dict(state)
    table = {"name": "table", "alphas_cumprod": alpha_bar.tolist(), "interpolation": interpolation}
    scaling = MinMax(low=CONFIG["spec_min"], high=CONFIG["spec_max"])
    return Diffusion.wrap(net, schedule=table, parameterization="eps", scaling=scaling)


def assert_run(mel, file, key):
    """mel: (1, M, T) against the recorded (1, T, M); 1e-3 is the tolerance of the golden README for chains."""
    theirs = IO[file][key].transpose(1, 2)
    torch.testing.assert_close(mel, theirs, rtol=0, atol=1e-3 * float(theirs.abs().max()))


def old_times(interval, k_step=1000):
    return {"name": "diff-svc", "k_step": k_step, "interval": interval}


@pytest.mark.parametrize("interval", [20, 50, 100])
def test_plms(interval):
    mel = zoo.sample(model(), sampler="plms", spacing=old_times(interval), x_T=X_T, cond=COND)
    assert_run(mel, "io", f"plms_speedup{interval}_mel_out")


@pytest.mark.parametrize(("k", "interval"), [(100, 10), (500, 20)])
def test_plms_from_a_given_mel(k, interval):
    mel = zoo.sample(
        model(),
        sampler="plms",
        spacing=old_times(interval, k),
        start=MEL,
        start_t=k - 1,
        noise=START_NOISE,
        cond=COND,
    )
    assert_run(mel, "io", f"shallow_addnoise{k}_speedup{interval}_mel_out")


def test_a_ragged_batch_samples_each_item_as_if_alone():
    lengths = torch.tensor([36, 1, 20])
    x_T, cond = torch.randn(3, 16, 36, generator=torch.Generator().manual_seed(0)), COND.expand(3, -1, -1)
    settings = {"sampler": "plms", "spacing": old_times(100)}
    together = zoo.sample(model(), x_T=x_T, cond=cond, lengths=lengths, **settings)
    for i, length in enumerate(lengths.tolist()):
        part = (slice(i, i + 1), slice(None), slice(length))
        alone = zoo.sample(model(), x_T=x_T[part], cond=cond[part], **settings)
        # eleven forwards of float32 sums in another order, on mels of -5..0
        torch.testing.assert_close(together[part], alone, rtol=0, atol=1e-3)
    assert together.isfinite().all()


def test_ancestral_with_clamp():
    noise = IO["io"]["ddpm_chain_noise"][:, :, 0]
    times = [*range(int(IO["io"]["ddpm_chain_K"]) - 1, -2, -1)]
    mel = zoo.sample(model(), sampler="ddpm", times=times, guidance="clip", x_T=X_T, noise=noise, cond=COND)
    assert_run(mel, "io", "ddpm_chain_mel_out")


def test_ancestral_without_clamp_from_a_given_mel():
    noise = torch.cat([START_NOISE, IO["io_openvpi"]["ddpm_K20_noises"][:, :, 0]])
    times = [*range(19, -2, -1)]
    mel = zoo.sample(model(), sampler="ddpm", times=times, start=MEL, start_t=19, noise=noise, cond=COND)
    assert_run(mel, "io_openvpi", "ddpm_K20_noclip_mel_out")


@pytest.mark.parametrize("interval", [20, 100])
def test_plms_of_the_first_diffsinger_ends_at_clean_data(interval):
    mel = zoo.sample(
        model(),
        sampler="plms",
        steps=1000 // interval,
        spacing={"name": "leading", "whole": True},
        x_T=IO["io_moon"]["x_T"][:, 0],
        cond=COND,
    )
    assert_run(mel, "io_moon", f"plms_moon_speedup{interval}_mel_out_unmasked")


@pytest.mark.parametrize(("theirs", "ours"), [("ddim", "ddim"), ("pndm", "plms")])
def test_openvpi(theirs, ours):
    mel = zoo.sample(model(), sampler=ours, spacing=old_times(50), x_T=X_T, cond=COND)
    assert_run(mel, "io_openvpi", f"{theirs}_speedup50_mel_out")
    mel = zoo.sample(
        model(),
        sampler=ours,
        spacing=old_times(20, 400),
        start=MEL,
        start_t=399,
        noise=START_NOISE,
        cond=COND,
    )
    assert_run(mel, "io_openvpi", f"shallow_K400_{theirs}_speedup20_mel_out")


@pytest.mark.parametrize("interval", [50, 100])
def test_openvpi_unipc(interval):
    # log alpha is linear between whole times, and the grid is even from time 999 to time 0
    times = torch.linspace(999, 0, 1000 // interval + 1, dtype=torch.float64).tolist()
    unipc = {"name": "unipc", "order": 2, "variant": "bh2"}
    mel = zoo.sample(model(interpolation="log-alpha"), sampler=unipc, times=times, x_T=X_T, cond=COND)
    assert_run(mel, "io_openvpi", f"unipc_speedup{interval}_mel_out")


def test_openvpi_unipc_from_a_given_mel():
    times = torch.linspace(399, 0, 21, dtype=torch.float64).tolist()
    unipc = {"name": "unipc", "order": 2, "variant": "bh2"}
    mel = zoo.sample(
        model(400, "log-alpha"), sampler=unipc, times=times, start=MEL, start_t=399, noise=START_NOISE, cond=COND
    )
    assert_run(mel, "io_openvpi", "shallow_K400_unipc_speedup20_mel_out")
