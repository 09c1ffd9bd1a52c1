"""Sound in files: every format, every kind of bad file, and writing that loses nothing."""

import math

import numpy as np
import pytest
import soundfile
import torch

from zoo.core.errors import ShapeError
from zoo.voice import audio
from zoo.voice.base import VoiceError


def tone(seconds=0.3, rate=16_000, hertz=440.0):
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize(("ending", "close"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05)])
def test_what_is_written_is_read(tmp_path, ending, close):
    path, wav = tmp_path / f"tone.{ending}", tone()
    audio.write(path, wav, 16_000)
    sound = audio.read(path)
    assert sound.sample_rate == 16_000
    # 16 bits, or what Vorbis makes of it
    assert (sound.wav[: len(wav)] - wav).abs().mean() < close
    assert list(tmp_path.iterdir()) == [path]


def test_mp3_is_read(tmp_path):
    soundfile.write(tmp_path / "tone.mp3", tone(1.0, 44_100).numpy(), 44_100)
    sound = audio.read(tmp_path / "tone.mp3")
    assert sound.sample_rate == 44_100
    assert sound.seconds == pytest.approx(1.0, abs=0.1)


def test_raw_telephone_sound_is_read(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "tone.g722"
    with av.open(str(path), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone(0.5)[None] * 32_767).short().numpy(), format="s16", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    sound = audio.read(path)
    assert sound.sample_rate == 16_000
    assert 0.3 < sound.wav.abs().max() < 0.7


def test_channels_are_mixed_or_the_first_is_taken(tmp_path):
    both = np.stack([np.full(100, 0.5), np.full(100, -0.25)], 1)
    soundfile.write(tmp_path / "two.wav", both, 8000, subtype="FLOAT")
    assert torch.allclose(audio.read(tmp_path / "two.wav").wav, torch.tensor(0.125))
    assert torch.allclose(audio.read(tmp_path / "two.wav", channel="first").wav, torch.tensor(0.5))


def test_a_recording_comes_in_pieces(tmp_path, monkeypatch):
    audio.write(tmp_path / "tone.wav", tone(), 16_000)
    whole = audio.read(tmp_path / "tone.wav").wav
    monkeypatch.setattr(audio, "_BLOCK", 1000)
    pieces = [piece for _, piece in audio.blocks(tmp_path / "tone.wav")]
    assert len(pieces) == 5
    assert torch.equal(torch.cat(pieces), whole)


def test_resampling_keeps_a_tone(tmp_path):
    audio.write(tmp_path / "tone.wav", tone(rate=8000), 8000)
    sound = audio.read(tmp_path / "tone.wav", sample_rate=24_000)
    assert len(sound.wav) == 7200
    spectrum = torch.fft.rfft(sound.wav).abs()
    assert spectrum.argmax() * 24_000 / 7200 == pytest.approx(440, abs=4)


@pytest.mark.parametrize("name", ["text.wav", "empty.wav", "silent.wav", "nothing.wav", "text.g722", "a_folder.wav"])
def test_a_bad_file_is_one_message(tmp_path, name):
    (tmp_path / "text.wav").write_text("not a sound at all\n" * 20)
    (tmp_path / "text.g722").write_bytes(b"")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "a_folder.wav").mkdir()
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 8000)
    with pytest.raises(VoiceError, match=str(tmp_path / name)):
        audio.read(tmp_path / name)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    wav = tone().numpy()
    wav[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", wav, 16_000, subtype="FLOAT")
    with pytest.raises(VoiceError, match="not finite"):
        audio.read(tmp_path / "nan.wav")


def test_what_is_too_loud_is_cut_when_it_is_written(tmp_path):
    audio.write(tmp_path / "loud.wav", 4 * tone(), 16_000)
    assert audio.read(tmp_path / "loud.wav").wav.abs().max() <= 1


def test_a_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "tone.wav"
    audio.write(path, tone(), 16_000)
    before = path.read_bytes()
    with pytest.raises(AttributeError), audio.Writer(path, 16_000) as writer:
        writer.add(None)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_places_and_formats_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(VoiceError, match=r"\.wav, \.flac, \.ogg, not '\.mp3'"):
        audio.write(tmp_path / "tone.mp3", tone(), 16_000)
    with pytest.raises(VoiceError, match="there is no folder"):
        audio.write(tmp_path / "nowhere" / "tone.wav", tone(), 16_000)


def test_sound_is_one_row_of_numbers():
    with pytest.raises(ShapeError, match=r"\(2, 9\)"):
        audio.Sound(torch.zeros(2, 9), 8000)


def test_a_damaged_file_is_not_begun_again(tmp_path, monkeypatch):
    path = tmp_path / "long.flac"
    noise = torch.rand(60_000, generator=torch.Generator().manual_seed(0)) - 0.5
    audio.write(path, noise, 16_000)
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    monkeypatch.setattr(audio, "_BLOCK", 4096)
    with pytest.raises(VoiceError, match=r"long.flac: is damaged behind \d"):
        audio.read(path)


@pytest.mark.parametrize(("before", "after"), [(44_101, 16_000), (22_254, 16_000), (11_127, 44_100), (8000, 8001)])
def test_odd_rates_are_resampled_without_much_memory(before, after):
    wav = torch.sin(2 * math.pi * 440 * torch.arange(before) / before)
    found = audio.resample(wav, before, after)
    assert len(found) == after
    assert torch.fft.rfft(found).abs().argmax() == 440


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(VoiceError, match="not finite"):
        audio.write(tmp_path / "nan.wav", torch.full((9,), math.nan), 16_000)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_one_message(tmp_path):
    (tmp_path / "out.wav").mkdir()
    with pytest.raises(VoiceError, match="cannot be written"):
        audio.write(tmp_path / "out.wav", tone(), 16_000)
