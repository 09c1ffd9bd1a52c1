"""Recorded mels, pitch, units, cuts and sounds of the voice code bases, asked of our public functions.

The cases lie beside this file; a larger collection is walked where it exists (the folder ``voice`` of ``ZOO_GOLDEN``).
Every tensor of a case is either an input or has a row that says how we make it.
"""

import functools
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from zoo.voice import vocoders
from zoo.voice.f0.curves import coarse, denormalised, normalised
from zoo.voice.f0.from_mel import read_pitch_of_mel
from zoo.voice.f0.praat import Parselmouth
from zoo.voice.mel import HifiGanMel, NsfHifiGanMel, OpenvpiMel, PwgMel
from zoo.voice.slicing import slices
from zoo.voice.units.align import mel2ph
from zoo.voice.units.hubert import HubertSoft

ROOT = Path(__file__).parents[2]
ROOTS = (Path(__file__).parent / "voice", Path(os.environ.get("ZOO_GOLDEN", ROOT.parent / "shared/golden")) / "voice")
CASES = re.compile(r"mel_.*|openvpi_mel.*|f0_.*|mel2ph.*|slicer.*|pitch_extractor.*|.*hifigan.*|hubert_soft.*")
FOLDERS = {
    folder.name: folder
    for root in ROOTS
    if root.is_dir()
    for folder in sorted(root.iterdir())
    if CASES.fullmatch(folder.name)
}
INPUTS = re.compile(
    r"wav_in|wav|wav16k|sr|mel|mel_ln|mel_log10_in|f0|f0_hz|rand_ini|source_noise|pre_noise|stereo_in_float"
    r"|stereo_pcm16_wav_out"
    # what is inside the network
    r"|after_pos_first|encoder_layer4_first|feature_extractor_out_firstrows|feature_projection_out_first"
)
FORWARD = 1e-4
"""Of the largest value of the reference: what reordered float32 sums may do to it."""


def close(ours, theirs, *, bound=FORWARD, exact=False):
    if exact:
        assert torch.equal(ours.to(theirs.dtype), theirs)
        return
    torch.testing.assert_close(ours.to(theirs), theirs, rtol=0, atol=bound * float(theirs.abs().max()))


def sizes(config):
    names = {
        "audio_sample_rate": "sample_rate",
        "sampling_rate": "sample_rate",
        "fft_size": "n_fft",
        "n_fft": "n_fft",
        "hop_size": "hop",
        "win_size": "win",
        "audio_num_mel_bins": "bins",
        "num_mel_bins": "bins",
        "num_mels": "bins",
        "fmin": "fmin",
        "fmax": "fmax",
    }
    return {names[key]: value for key, value in config.items() if key in names}


def mel_of_diff_svc(io, config, path, rows):
    mel = (PwgMel if config["audio_sample_rate"] == 24_000 else NsfHifiGanMel)(**sizes(config))
    rate, hop = mel.sample_rate, mel.hop
    wav = io["wav_in"]
    method = Parselmouth(pad="diff-svc", f0_min=config["f0_min"], f0_max=config["f0_max"])
    frames = mel.frames(len(wav))
    heard = F.pad(wav, (0, max(0, frames * hop - len(wav)))) if isinstance(mel, PwgMel) else wav
    pitch = method(heard, rate, hop=hop, frames=frames)
    rows["mel_basis"] = lambda theirs: close(mel.basis, theirs, bound=1e-6)
    rows["mel"] = rows["mel_log10"] = lambda theirs: close(mel(wav).T, theirs)
    rows["mel_ln"] = lambda theirs: close(HifiGanMel(**sizes(config))(wav).T, theirs)
    # Praat is the same program in both; its frames differ in nothing
    rows["f0_parselmouth_raw"] = lambda theirs: close(method.raw(heard, rate, hop=hop), theirs, bound=1e-6)
    rows["f0"] = lambda theirs: close(pitch, theirs, bound=1e-6)
    rows["pitch_coarse"] = lambda theirs: close(
        coarse(
            pitch,
            f0_min=config["f0_min"],
            f0_max=config["f0_max"],
            bins=config["f0_bin"],
            rounding="half-even",
        ),
        theirs,
        exact=True,
    )
    rows["wav_out"] = lambda theirs: close(heard, theirs)
    rows["stereo_pcm16_mel_log10"] = lambda theirs: close(mel(io["stereo_pcm16_wav_out"]).T, theirs)


def mel_of_hifigan(io, config, path, rows):
    for name in set(io) - {"wav"}:
        part = config if name == "mel_ln" else config.get(name.removeprefix("mel_ln/"), {})
        rows[name] = lambda theirs, part=part: close(HifiGanMel(**sizes(part))(io["wav"]), theirs)


def mel_of_openvpi(io, config, path, rows):
    mel, wav = OpenvpiMel(**sizes({"audio_sample_rate": 44_100, **config})), io["wav"]
    for name in io:
        if found := re.fullmatch(r"mel_ln_keyshift(.+)_speed(.+)", name):
            key, speed = map(float, found.groups())
            rows[name] = lambda theirs, key=key, speed=speed: close(mel(wav, key_shift=key, speed=speed).T, theirs)
    method = Parselmouth(pad="openvpi", f0_min=config["f0_min"], f0_max=config["f0_max"])
    pitch = method(wav, mel.sample_rate, hop=mel.hop, frames=mel.frames(len(wav)))
    rows["f0_parselmouth"] = lambda theirs: close(pitch, theirs, bound=1e-6)
    # float32 there
    rows["f0_parselmouth_interp"] = lambda theirs: close(denormalised(normalised(pitch).octaves), theirs, bound=1e-5)
    rows["uv"] = lambda theirs: close(normalised(pitch).unvoiced, theirs, exact=True)


def curves(io, config, path, rows):
    f0 = io["f0_hz"]
    for rate, low in (("24k", 50.0), ("44k", 40.0)):
        gapless = normalised(f0)
        edges = {"f0_min": low, "f0_max": 1100.0, "bins": 256}
        hertz = denormalised(gapless.octaves)
        # float32 there
        rows[f"norm_interp_{rate}"] = lambda theirs, gapless=gapless: close(gapless.octaves, theirs, bound=1e-6)
        rows[f"norm_interp_useuv_{rate}"] = rows[f"norm_interp_{rate}"]
        rows[f"uv_{rate}"] = lambda theirs, gapless=gapless: close(gapless.unvoiced, theirs, exact=True)
        rows[f"denorm_{rate}"] = lambda theirs, hertz=hertz: close(hertz, theirs, bound=1e-5)
        rows[f"coarse_torch_{rate}"] = lambda theirs, edges=edges: close(coarse(f0, **edges), theirs, exact=True)
        rows[f"coarse_numpy_{rate}"] = lambda theirs, edges=edges, rate=rate: close(
            coarse(f0, **edges, rounding="half-even"), theirs, exact=True
        )


def alignment(io, config, path, rows):
    for name in io:
        frames, units = map(int, re.fullmatch(r"mel2ph_T(\d+)_U(\d+)", name).groups())
        rows[name] = lambda theirs, u=units, t=frames: close(mel2ph(u, t, rule="diff-svc"), theirs, exact=True)


def cuts(io, config, path, rows):
    wav, rate = io["wav"], int(io["sr"])
    for name, chunks in json.loads((path / "chunks.json").read_text()).items():
        wanted = [(*map(int, chunk["split_time"].split(",")), chunk["slice"]) for chunk in chunks.values()]
        part, threshold = (wav[: 4 * rate], -40.0) if name == "short" else (wav, float(name))
        found = [(one.start, one.stop, one.silent) for one in slices(part, rate, threshold_db=threshold)]
        assert found == wanted


def pitch_net(io, config, path, rows):
    net, mel = read_pitch_of_mel(path / "checkpoint.ckpt"), io["mel"].transpose(1, 2)
    rows["pitch_pred"] = lambda theirs: close(net.predict(mel), theirs)
    rows["f0_denorm_pred"] = lambda theirs: close(net(mel), theirs)


def sounds(io, config, path, rows):
    names = ("generator.ckpt", "model", "model.ckpt", "model_ckpt_steps_1000000.ckpt")
    vocoder = vocoders.load(next(path / name for name in names if (path / name).exists()))
    net, mel, f0 = vocoder.network, io.get("mel_ln", io.get("mel")), io.get("f0")
    noise = {name: io[name] for name in ("rand_ini", "source_noise", "pre_noise") if name in io}
    rows["wav"] = lambda theirs: close(net(mel, f0, **noise), theirs)
    rows["wav_no_noise"] = lambda theirs: close(net(mel, f0), theirs)
    rows["wav_without_f0"] = lambda theirs: close(net(mel), theirs)

    def source(theirs):
        drawn = {"rand_ini": io["rand_ini"], "noise": io["source_noise"]} if "rand_ini" in io else {}
        made = net.source(net.track(f0), **drawn)
        close(made.transpose(1, 2) if made.shape != theirs.shape else made, theirs)

    rows["har_source"] = source
    if (folded := path / "generator_no_weight_norm.safetensors").exists():
        close(vocoders.load(folded).network(mel), io["wav"])


@functools.cache
def formula_weights(keys, base):
    shapes = json.loads(keys.read_text())["shapes"]
    weights = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        drawn = np.random.RandomState(base + number).standard_normal(int(np.prod(shape)))
        if name.endswith("weight_g"):
            drawn = 8 + drawn
        elif "norm" in name and name.endswith("weight"):
            drawn = 1 + 0.1 * drawn
        else:
            drawn = drawn / np.sqrt(drawn.size / shape[0]) if len(shape) > 1 else 0.1 * drawn
        weights[name] = torch.from_numpy(drawn.reshape(shape).astype(np.float32))
    return weights


def soft_units(io, config, path, rows, scratch):
    file = scratch / "hubert-soft.safetensors"
    save_file(formula_weights(path / "keys.json", config["formula_base"]), file)
    rows["units"] = lambda theirs: close(HubertSoft(weights=str(file))(io["wav16k"], 16_000), theirs[0])


MAKERS = {
    r"mel_(24k|44k).*": mel_of_diff_svc,
    r"mel_(hifigan|jik).*": mel_of_hifigan,
    r"openvpi_mel.*": mel_of_openvpi,
    r"f0_norm.*": curves,
    r"mel2ph.*": alignment,
    r"slicer.*": cuts,
    r"pitch_extractor.*": pitch_net,
    r".*hifigan.*": sounds,
    r"hubert_soft.*": soft_units,
}


@pytest.mark.parametrize("case", FOLDERS)
def test_every_tensor_is_an_input_or_is_made(case, tmp_path):
    folder = FOLDERS[case]
    if folder.name == "f0_parselmouth":
        pytest.skip("cut from two cases; its own test reads it")
    config = next((yaml.safe_load(file.read_text()) for file in sorted(folder.glob("config.*"))), {})
    io = load_file(folder / "io.safetensors")
    maker = next(make for pattern, make in MAKERS.items() if re.fullmatch(pattern, folder.name))
    rows = {}
    extra = {"scratch": tmp_path} if maker is soft_units else {}
    maker(io, config, folder, rows, **extra)
    made = 0
    for name, theirs in io.items():
        if name in rows:
            rows[name](theirs)
            made += 1
        else:
            assert INPUTS.fullmatch(name), f"{case}: nothing makes {name}"
    assert made or maker is cuts


def test_the_collection_is_walked():
    kinds = {pattern for folder in FOLDERS.values() for pattern in MAKERS if re.fullmatch(pattern, folder.name)}
    assert len(kinds) >= 4
    if ROOTS[1].is_dir():
        assert kinds == set(MAKERS)
