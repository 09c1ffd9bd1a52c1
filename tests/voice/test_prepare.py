"""From a folder of recordings to training data: nothing is lost, nothing is done twice, and what is bad is told."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file
from speech import CONFIG

import zoo
from zoo.core.errors import ArgumentValueError
from zoo.data.base import DataError
from zoo.voice import prepare as room
from zoo.voice.base import VoiceError
from zoo.voice.data import Recordings
from zoo.voice.prepare import prepare
from zoo.voice.prepared import Cut, read_index


def test_everything_in_the_folder_is_accounted_for(prepared, recordings):
    index = json.loads((prepared / "prepared.json").read_text())
    used = {item["source"] for item in index["items"]}
    left_out = {row["source"]: row["reason"] for row in index["left_out"]}
    assert used == {"0.wav", "1.wav", "2.wav", "3.wav", "4.wav", "more/5.wav"}
    assert left_out["again.wav"] == "the same as 0.wav"
    assert "cannot be read as sound" in left_out["broken.wav"]
    assert str(recordings) not in left_out["broken.wav"]
    assert "nothing in it is voice" in left_out["silence.wav"]
    assert "nothing in it is voice" in left_out["short.wav"]
    assert len(left_out) == 4


def test_slices_agree_about_their_frames(prepared):
    index = read_index(prepared)
    mel = index.voice["mel"]
    for item in [*index.trained, *index.held_out]:
        found = load_file(index.path(item))
        for number, frames in enumerate(item.frames):
            assert found[f"{number}.mel"].shape == (mel["bins"], frames)
            assert found[f"{number}.f0"].shape == found[f"{number}.volume"].shape == (frames,)
            seconds = frames * mel["hop"] / mel["sample_rate"]
            assert len(found[f"{number}.units"]) == pytest.approx(50 * seconds, abs=2)


def test_statistics_are_those_of_the_voice(prepared):
    statistics = read_index(prepared).statistics
    assert 5 < statistics["seconds"] < 21
    assert 60 < statistics["f0_5"] < statistics["f0_median"] < statistics["f0_95"] < 200
    assert all(low < high for low, high in zip(statistics["mel_low"], statistics["mel_high"], strict=True))


def test_a_second_time_nothing_is_measured_again(prepared, recordings, tmp_path, monkeypatch):
    again = tmp_path / "again"
    shutil.copytree(prepared, again)
    before = {file: os.stat(file).st_mtime_ns for file in (again / "items").iterdir()}

    def refuse(*_):
        raise VoiceError("measured again")

    monkeypatch.setattr(room._Worker, "_write", refuse)
    items = [item for item in prepare(recordings, again, config=CONFIG, hold_out=0.3) if item.frames]
    assert len(items) == 6
    assert before == {file: os.stat(file).st_mtime_ns for file in (again / "items").iterdir()}


def test_it_goes_on_where_it_was_stopped_whoever_does_the_work(prepared, recordings, tmp_path):
    out = tmp_path / "data"
    begun = prepare(recordings, out, config=CONFIG, hold_out=0.3)
    for _ in range(4):
        next(begun)
    begun.close()
    assert not (out / "prepared.json").exists()
    damaged = next((out / "items").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    list(prepare(recordings, out, config=CONFIG, hold_out=0.3, workers=1))
    for file in (prepared / "items").iterdir():
        for name, tensor in load_file(file).items():
            assert torch.equal(tensor, load_file(out / "items" / file.name)[name]), name
    ours, theirs = (json.loads((one / "prepared.json").read_text()) for one in (out, prepared))
    assert ours == theirs


def test_other_settings_make_other_items(prepared, recordings, tmp_path):
    items = {item.source: item for item in prepare(recordings, tmp_path / "data", config=CONFIG, cut=Cut(key_shifts=1))}
    before = {item.source: item for item in read_index(prepared).trained}
    for source, item in before.items():
        assert items[source].key != item.key
        assert len(items[source].frames) == 2 * len(item.frames)
    found = load_file(tmp_path / "data" / "items" / f"{items['1.wav'].key}.safetensors")
    shift = found["1.shift"]
    assert 0 < shift.abs() <= 5
    voiced = found["0.f0"] > 0
    torch.testing.assert_close(found["1.f0"][voiced], found["0.f0"][voiced] * 2 ** (shift / 12))
    assert not torch.equal(found["0.mel"], found["1.mel"])


def test_the_config_that_it_writes_can_be_trained(prepared):
    model = zoo.build(prepared / "config.yaml")
    assert model.config["data"]["path"] == str(prepared.resolve())
    assert model.config["data"]["frames"] == CONFIG["data"]["frames"]
    assert len(model.config["scaling"]["low"]) == 80
    assert float(model.config["notes"]["f0_median"]) == read_index(prepared).statistics["f0_median"]


def test_folders_can_be_speakers(recordings, tmp_path):
    out = tmp_path / "data"
    list(prepare(recordings, out, config=CONFIG, speakers=True, hold_out=0.0))
    assert read_index(out).speakers == ["more"]
    assert zoo.build(out / "config.yaml").conditioner.spk_embed_proj.weight.shape == (1, 16)
    left_out = {row["source"]: row["reason"] for row in json.loads((out / "prepared.json").read_text())["left_out"]}
    assert left_out["0.wav"] == "lies in no speaker's folder"
    data = Recordings(path=str(out), frames=32, first_speaker=1)
    assert {int(data[number]["spk"]) for number in range(len(data))} == {1}


@pytest.mark.parametrize("length", [32, 100_000])
def test_pieces_hold_together(prepared, length):
    data = Recordings(path=str(prepared), frames=length, shape=[80, None])
    for number in range(0, len(data), 7):
        piece = data[number]
        count = int(piece["lengths"])
        assert piece["x_0"].shape == (80, length)
        assert piece["units"].shape == (length, 40)
        for name in ("f0", "mel2ph", "energy", "volume"):
            assert piece[name].shape == (length,)
            assert not piece[name][count:].any()
        assert torch.equal(piece["mel2ph"][:count], torch.arange(1, count + 1))
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_piece_is_that_part_of_its_slice(prepared):
    data = Recordings(path=str(prepared), frames=32, stride=32)
    first, second = data[0], data[1]
    item = data.prepared.trained[0]
    found = load_file(data.prepared.path(item))
    assert torch.equal(torch.cat([first["x_0"], second["x_0"]], 1), found["0.mel"][:, :64])
    # 50 units and 100 frames a second: two frames share a unit
    assert torch.equal(first["units"], found["0.units"][:16].repeat_interleave(2, 0).float())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": None}, "data.path names"),
        ({"frames": 0}, "from 1"),
        ({"shape": [128, None]}, "80 bins"),
        (
            {"voice": {"units": {"name": "whisper"}}},
            r"prepared with the units \{name: mfcc.*hears with \{name: whisper",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(prepared, change, said):
    with pytest.raises(DataError, match=said):
        Recordings(**{"path": str(prepared), **change})


def test_a_folder_that_was_not_prepared_is_refused(tmp_path, recordings):
    with pytest.raises(DataError, match="zoo voice prepare"):
        Recordings(path=str(recordings))
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        Recordings(path=str(tmp_path))


def test_bad_folders_are_refused_before_anything_is_written(tmp_path, recordings):
    with pytest.raises(VoiceError, match="no such folder"):
        next(prepare(tmp_path / "none", tmp_path / "out", config=CONFIG))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VoiceError, match="holds no recordings"):
        next(prepare(tmp_path / "empty", tmp_path / "out", config=CONFIG))
    with pytest.raises(VoiceError, match="another place"):
        next(prepare(recordings, recordings / "out", config=CONFIG))
    with pytest.raises(VoiceError, match="voice section"):
        next(prepare(recordings, tmp_path / "out", config="ddpm-cifar10"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty" / "bad.wav").write_text("no sound")
    with pytest.raises(VoiceError, match=r"none of 1 recordings can be used; the first, bad.wav: cannot be read"):
        list(prepare(tmp_path / "empty", tmp_path / "out", config=CONFIG))


@pytest.mark.parametrize("change", [{"min_seconds": 20.0}, {"threshold_db": 3.0}, {"key_shifts": -1}])
def test_cuts_that_leave_nothing_are_refused(change):
    with pytest.raises(ArgumentValueError):
        Cut(**change)


def test_names_that_are_no_text_and_sound_that_nothing_measures_stop_nothing(recordings, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"\xb0\xa1.wav")).write_bytes((recordings / "0.wav").read_bytes())
    (folder / "odd.wav").write_bytes((recordings / "1.wav").read_bytes())
    read = room.read
    monkeypatch.setattr(room, "read", lambda file, **how: read(file, **how) if file.stem != "odd" else 1 / 0)
    items = {item.source: item for item in prepare(folder, tmp_path / "out", config=CONFIG, hold_out=0.0)}
    assert "ZeroDivisionError" in items["odd.wav"].reason
    assert [os.fsencode(item.source) for item in read_index(tmp_path / "out").trained] == [b"\xb0\xa1.wav"]


def test_other_weights_under_an_old_path_are_measured_again(tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"one")
    before = room._weights({"units": {"name": "hubert", "weights": str(weights)}})
    weights.write_bytes(b"two")
    assert room._weights({"units": {"name": "hubert", "weights": str(weights)}}) != before


def test_missing_weights_are_told_before_anything_is_read(recordings, tmp_path):
    with pytest.raises(VoiceError, match="hubert-soft has no weights"):
        next(prepare(recordings, tmp_path / "out", config=CONFIG, command_line=["voice.units=hubert-soft"]))
    assert not (tmp_path / "out").exists()
