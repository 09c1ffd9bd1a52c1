"""diff-svc's own path: its recorded numbers, and its habits."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import registry
import zoo
from zoo.core.errors import ArgumentValueError
from zoo.voice.audio import Sound
from zoo.voice.base import F0, Units, Vocoder, VoiceError
from zoo.voice.old import OldManner, as_old, fitted, old_mel
from zoo.voice.settings import voice_of

GOLDEN = Path(__file__).parents[1] / "golden" / "voice"
CASES = {"diffsvc_44k_energy": 50, "diffsvc_24k_fs2encoder": 100}
# Of the largest value: what reordered float32 sums do to a chain of steps
CHAIN = 1e-3


@pytest.fixture(scope="module", params=CASES)
def case(request):
    folder = GOLDEN / request.param
    return zoo.load(folder / "checkpoint.ckpt"), load_file(folder / "io.safetensors"), CASES[request.param]


def made(model, io, interval, **how):
    return old_mel(
        model,
        io["units"],
        io["f0_log2"],
        io["mel2ph"],
        energy=io["energy"] if model.conditioner.energy_embed is not None else None,
        interval=interval,
        **how,
    ).transpose(1, 2)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CHAIN * float(theirs.abs().max()))


def test_the_mel_is_the_recorded_one(case):
    model, io, interval = case
    close(made(model, io, interval, x_T=io["x_T"][:, 0]), io[f"plms_speedup{interval}_mel_out"])


def test_so_is_one_that_begins_with_the_mel_of_the_source(case):
    model, io, _ = case
    found = made(
        model,
        io,
        50,
        ref_mel=io["ref_mels"].transpose(1, 2),
        add_noise_step=200,
        noise=io["shallow_noise"].transpose(0, 1),
    )
    close(found, io["shallow_addnoise200_speedup50_mel_out"])


def test_the_key_is_shifted_as_the_condition_was_recorded(case):
    model, io, interval = case
    found = made(model, io, interval, key=float(io["key_shift"]), x_T=io["x_T"][:, 0])
    plain = zoo.sample(
        model,
        sampler="plms",
        spacing={"name": "diff-svc", "interval": interval},
        x_T=io["x_T"][:, 0],
        cond=io["cond_shifted"],
    )
    close(found, plain.transpose(1, 2) * (io["mel2ph"] > 0)[:, :, None])


def test_every_time_is_walked_as_ddpm(case):
    model, io, _ = case
    found = made(model, io, 1, ref_mel=io["ref_mels"].transpose(1, 2), add_noise_step=3, seed=0)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("samples", "length", "wanted"),
    [(5, 3, [2.0, 3.0, 4.0]), (2, 4, [0.0, 1.0, 0.5, 0.5]), (0, 2, [0.0, 0.0]), (3, 3, [0.0, 1.0, 2.0])],
)
def test_sound_is_fitted_as_the_old_code_does(samples, length, wanted):
    assert fitted(torch.arange(float(samples)), length).tolist() == wanted


class Whistle(F0):
    def __call__(self, wav, sample_rate, *, hop, frames):
        return torch.full((frames,), 220.0)


class Constant(Units):
    channels, rate = 32, 50.0

    def __call__(self, wav, sample_rate):
        return torch.ones(max(1, len(wav) * 50 // sample_rate), 32)


class Steps(Vocoder):
    """Tells of the mel and the pitch that it got."""

    log, needs_f0, sample_rate, hop = "ln", True, 44_100, 512

    def __init__(self):
        self.seen = []

    def __call__(self, mel, f0=None, *, seed=0):
        self.seen.append((mel, f0))
        return torch.full((1, mel.shape[-1] * 512), 0.25)


@pytest.fixture
def voice():
    model = zoo.load(GOLDEN / "diffsvc_44k_energy" / "checkpoint.ckpt")
    return model, voice_of(model, f0_=Whistle(), units_=Constant(), vocoder_=Steps())


def recording(rate=22_050):
    generator = torch.Generator().manual_seed(0)
    parts = [
        (0.2 if number != 1 else 0.0) * torch.randn(count * rate, generator=generator)
        for number, count in enumerate((6, 2, 1))
    ]
    return Sound(torch.cat(parts), rate)


def test_slices_follow_one_another_and_silence_is_silent(voice):
    model, parts = voice
    pieces = list(as_old(recording(), model, parts, OldManner(interval=250)))
    assert len(pieces) == 3
    assert not pieces[1].any()
    assert sum(map(len, pieces)) == pytest.approx(9 * 44_100, abs=2)


def test_the_vocoder_gets_natural_logarithms_in_the_old_bounds_and_a_pitch_without_gaps(voice):
    model, parts = voice
    list(as_old(recording(), model, parts, OldManner(interval=250, key=12)))
    mel, f0 = parts.vocoder.seen[0]
    assert mel.min() >= -6 * 2.30259 - 1e-4
    assert mel.max() <= 1.5 * 2.30259 + 1e-4
    assert mel.shape[-1] == f0.shape[-1]
    torch.testing.assert_close(f0, torch.full_like(f0, 440.0))


def test_the_settings_come_from_the_old_config(voice):
    _, parts = voice
    assert parts.rule == "diff-svc"
    assert (type(parts.mel).__name__, parts.mel.sample_rate, parts.mel.hop) == ("NsfHifiGanMel", 44_100, 512)
    model = zoo.load(GOLDEN / "diffsvc_24k_fs2encoder" / "checkpoint.ckpt")
    found = voice_of(model, units_=Constant(), vocoder_=Steps())
    assert (type(found.mel).__name__, found.mel.sample_rate, found.mel.bins) == ("PwgMel", 24_000, 80)
    assert found.f0.pad == "diff-svc"
    with pytest.raises(VoiceError, match="vocoder"):
        voice_of(model, units_=Constant())


@pytest.fixture
def changed(tmp_path):
    """The model of a folder whose config says something else."""

    def load(**change):
        case = GOLDEN / "diffsvc_44k_energy"
        shutil.copy(case / "checkpoint.ckpt", tmp_path / "model_ckpt_steps_1.ckpt")
        tree = yaml.safe_load((case / "config.yaml").read_text())
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree | change))
        return zoo.load(tmp_path)

    return load


def test_the_walk_is_as_long_as_the_config_says(changed):
    model, io = changed(K_step=400), load_file(GOLDEN / "diffsvc_44k_energy" / "io.safetensors")
    x = io["x_T"][:, 0]
    spacing = {"name": "diff-svc", "interval": 100, "k_step": 400}
    short = zoo.sample(model, sampler="plms", spacing=spacing, x_T=x, cond=io["cond"])
    close(made(model, io, 100, x_T=x), short.transpose(1, 2) * (io["mel2ph"] > 0)[:, :, None])


class Hiccup(F0):
    """A pitch with gaps."""

    def __call__(self, wav, sample_rate, *, hop, frames):
        return 220.0 * (torch.arange(frames) % 10 < 5)


@pytest.mark.parametrize("use_uv", [False, True])
def test_models_that_hide_the_pitch_of_gaps_hide_it_from_the_vocoder_too(changed, use_uv):
    model = changed(use_uv=use_uv)
    parts = voice_of(model, f0_=Hiccup(), units_=Constant(), vocoder_=Steps())
    list(as_old(recording(), model, parts, OldManner(interval=250)))
    _, f0 = parts.vocoder.seen[0]
    assert set(f0.round().unique().tolist()) == ({0.0, 220.0} if use_uv else {220.0})


def test_models_of_others_are_refused(voice):
    _, parts = voice
    with pytest.raises(VoiceError, match="diff-svc"):
        list(as_old(recording(), zoo.build("tiny-diffnet"), parts, OldManner()))
    with pytest.raises(ArgumentValueError, match="add_noise_step"):
        OldManner(interval=20, add_noise_step=10)


@pytest.mark.parametrize(
    ("said", "method"),
    [
        ({}, {"name": "parselmouth", "pad": "diff-svc"}),
        ({"use_crepe": "True"}, {"name": "crepe", "gaps": "closed"}),
        ({"block_size": "512", "f0_extractor": "fcpe"}, {"name": "fcpe"}),
        ({"block_size": "512", "f0_extractor": "parselmouth"}, {"name": "parselmouth", "pad": "openvpi"}),
    ],
)
def test_pitch_is_found_as_it_was_in_training(said, method):
    model = zoo.build("tiny-diffnet", notes={"audio_sample_rate": "44100", "f0_min": "50", **said})
    found = voice_of(model, units_=Constant(), vocoder_=Steps()).f0
    built = registry.f0.build({**method, "f0_min": 50})
    assert type(found) is type(built)
    assert all(getattr(found, name) == value for name, value in method.items() if name != "name")
    assert found.f0_min == 50
