"""Recordings of eSpeak NG, and a unit encoder that needs no weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from speech import CONFIG, TEXTS, spoken

from zoo.voice import audio


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> Path:
    """20 seconds of speech in six files, one of them in a folder, beside files that are no recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "more").mkdir()
    for number, text in enumerate(TEXTS):
        wav, rate = spoken(text)
        audio.write(folder / ("more" if number == 5 else ".") / f"{number}.wav", wav, rate)
    (folder / "notes.txt").write_text("not sound")
    (folder / "broken.wav").write_text("not sound either")
    audio.write(folder / "silence.wav", torch.zeros(16_000), 16_000)
    audio.write(folder / "short.wav", spoken("a")[0][:2000], 22_050)
    (folder / "again.wav").write_bytes((folder / "0.wav").read_bytes())
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def prepared(recordings, tmp_path_factory) -> Path:
    """The same, prepared."""
    from zoo.voice.prepare import prepare

    out = tmp_path_factory.mktemp("prepared") / "data"
    list(prepare(recordings, out, config=CONFIG, hold_out=0.3))
    return out
