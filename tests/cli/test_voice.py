"""``zoo voice``: the whole chain on twenty seconds of speech, and what it says to bad sound."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from speech import CONFIG, TEXTS, spoken

from zoo.voice import audio


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of recordings and a config of a tiny model."""
    top = tmp_path_factory.mktemp("voice")
    (top / "recordings").mkdir()
    for number, text in enumerate(TEXTS):
        wav, rate = spoken(text)
        audio.write(top / "recordings" / f"{number}.wav", wav, rate)
    (top / "recordings" / "broken.wav").write_text("no sound")
    (top / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    return top


@pytest.fixture
def song(tmp_path):
    wav, rate = spoken("Good morning.")
    audio.write(tmp_path / "song.wav", wav, rate)
    return tmp_path / "song.wav"


def test_the_whole_chain(zoo, folder, song):
    prepared, run = folder / "prepared", folder / "run"
    done = zoo(
        "voice", "prepare", str(folder / "recordings"), "--config", str(folder / "tiny.yaml"), "--out", str(prepared)
    )
    assert done.code == 0
    assert "left out: broken.wav: cannot be read as sound" in done.err
    assert f"zoo train {prepared / 'config.yaml'}" in done.err
    assert zoo("train", str(prepared / "config.yaml"), "--out", str(run), "--device", "cpu").code == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(math.isfinite(line["loss"]) for line in lines)
    # a picture of the mels, and the sounds themselves
    assert (run / "samples-000003.png").stat().st_size > 1000
    assert audio.read(run / "samples-000003-0.wav").seconds > 1
    done = zoo(
        "voice", "convert", "song.wav", "--model", str(run / "model.safetensors"), "--key", "auto", "--out", "out.wav"
    )
    assert done.code == 0
    assert "key " in done.err
    assert audio.read("out.wav").seconds == pytest.approx(audio.read(song).seconds, abs=1e-3)
    again = ["voice", "convert", "song.wav", "--model", str(run / "model.safetensors"), "--key", "+3", "--steps", "2"]
    assert zoo(*again, "--out", "one.wav", "--sampler", "plms", "--spacing", "leading").code == 0
    assert zoo(*again, "--out", "two.wav", "--sampler", "plms", "--spacing", "leading").code == 0
    assert audio.read("one.wav").wav.equal(audio.read("two.wav").wav)
    done = zoo(
        "voice", "convert", str(folder / "recordings"), "--model", str(run / "model.safetensors"), "--out", "many"
    )
    assert done.code == 2
    assert "broken.wav" in done.err
    assert audio.read("many/0.wav").seconds > 1


def test_a_mel_is_a_picture_or_numbers(zoo, song):
    assert zoo("voice", "mel", "song.wav", "--out", "mel.png").code == 0
    assert (
        zoo("voice", "mel", "song.wav", "--out", "mel.safetensors", "--mel", "hifigan hop=300", "--key", "2").code == 0
    )
    found = load_file("mel.safetensors")["mel"]
    assert found.shape[0] == 80
    with safe_open("mel.safetensors", "pt") as opened:
        assert opened.metadata() == {"log": "ln", "sample_rate": "22050", "hop": "300"}


def test_pitch_is_a_picture_or_numbers(zoo, song):
    done = zoo("voice", "f0", "song.wav", "--out", "f0.png", "--f0", "harvest", "--f0", "parselmouth")
    assert done.code == 0
    assert done.err.count("median") == 2
    assert zoo("voice", "f0", "song.wav", "--out", "f0.safetensors").code == 0
    assert (load_file("f0.safetensors")["harvest"] > 0).any()


def test_units_are_numbers(zoo, song):
    assert zoo("voice", "embed", "song.wav", "--out", "units.safetensors", "--units", "mfcc channels=20").code == 0
    assert load_file("units.safetensors")["units"].shape[1] == 20


def test_analyses_come_from_a_config(zoo, song):
    assert zoo("voice", "mel", "song.wav", "--out", "mel.safetensors", "--config", "svc-16k").code == 0
    with safe_open("mel.safetensors", "pt") as opened:
        assert opened.metadata()["sample_rate"] == "16000"
    done = zoo("voice", "mel", "song.wav", "--out", "mel.safetensors", "--config", "ddpm-cifar10")
    assert done.code == 2
    assert "no voice section" in done.err


def bad_sounds(folder):
    tone = 0.5 * np.sin(np.arange(16_000) / 20)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "three.wav", tone[:3], 16_000)
    soundfile.write(folder / "clipped.wav", 9 * tone, 16_000)
    soundfile.write(folder / "telephone.wav", tone[::2], 8000)
    soundfile.write(folder / "stereo.wav", np.stack([tone, -tone / 2], 1), 16_000)
    soundfile.write(folder / "small.mp3", tone, 16_000)
    damaged = tone.copy()
    damaged[50] = np.nan
    soundfile.write(folder / "nan.wav", damaged, 16_000, subtype="FLOAT")
    (folder / "text.wav").write_text("no sound at all")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import zoo

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    zoo.save(zoo.build({**CONFIG, "data": None}, sampling={"steps": 2}), path)
    return path


@pytest.mark.parametrize(
    "name", ["silence.wav", "three.wav", "clipped.wav", "telephone.wav", "stereo.wav", "small.mp3"]
)
def test_odd_sound_is_converted(zoo, tmp_path, model, name):
    bad_sounds(tmp_path)
    assert zoo("voice", "convert", name, "--model", str(model), "--out", "out.wav").code == 0
    before, after = audio.read(name), audio.read("out.wav")
    assert len(after.wav) == math.ceil(len(before.wav) * 16_000 / before.sample_rate)
    assert after.wav.isfinite().all()


@pytest.mark.parametrize("verb", ["mel", "f0", "embed", "convert"])
@pytest.mark.parametrize(
    ("name", "said"), [("nan.wav", "not finite"), ("text.wav", "sound"), ("empty.wav", "no sound")]
)
def test_bad_sound_is_one_message_and_no_file(zoo, tmp_path, model, verb, name, said):
    bad_sounds(tmp_path)
    out = {"mel": "o.png", "f0": "o.png", "embed": "o.safetensors", "convert": "o.wav"}[verb]
    how = {"convert": ["--model", str(model)], "embed": ["--units", "mfcc"]}.get(verb, [])
    done = zoo("voice", verb, name, "--out", out, *how)
    assert done.code == 2
    assert name in done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / out).exists()


def test_a_failed_conversion_leaves_the_old_result(zoo, tmp_path, model):
    bad_sounds(tmp_path)
    audio.write("out.wav", torch.ones(100), 16_000)
    before = (tmp_path / "out.wav").read_bytes()
    assert zoo("voice", "convert", "nan.wav", "--model", str(model), "--out", "out.wav").code == 2
    assert (tmp_path / "out.wav").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "high"], "semitones"),
        (["--vocoder", "nsf-hifigan"], "weights"),
        (["--vocoder", "hifi"], "hifigan"),
        (["--units", "hubert-soft"], "hubert"),
        (["--f0", "rmvpe"], "checkpoint"),
        (["--out", "out.mp3"], ".wav"),
        (["--pe", "song.wav"], "--as-old"),
        (["--as-old"], "diff-svc"),
        (["--as-old", "--sampler", "ddim"], "--as-old"),
        (["--as-old", "--match-loudness", "0.5", "--together", "2"], "--match-loudness, --together"),
        (["--stepz", "5"], "--steps"),
        (["--out", "song.wav"], "overwritten"),
        (["--sampler", "dimm"], "ddim"),
    ],
)
def test_what_cannot_be_done_is_one_message(zoo, song, model, arguments, said):
    out = [] if "--out" in arguments else ["--out", "out.wav"]
    done = zoo("voice", "convert", "song.wav", "--model", str(model), *out, *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not [file for file in song.parent.iterdir() if file.suffix == ".part" or file.name.startswith("out")]


def test_recordings_are_not_overwritten_by_their_conversions(zoo, tmp_path, model):
    (tmp_path / "album").mkdir()
    audio.write(tmp_path / "album" / "a.wav", 0.3 * torch.ones(2000), 16_000)
    before = (tmp_path / "album" / "a.wav").read_bytes()
    done = zoo("voice", "convert", "album", "--model", str(model), "--out", "album")
    assert done.code == 2
    assert "overwritten" in done.err
    assert (tmp_path / "album" / "a.wav").read_bytes() == before


def test_a_model_of_pictures_converts_nothing(zoo, song):
    import zoo as room

    room.save(room.build("tiny-unet"), "picture.safetensors")
    done = zoo("voice", "convert", "song.wav", "--model", "picture.safetensors", "--out", "out.wav")
    assert done.code == 2
    assert "no model of voices" in done.err
