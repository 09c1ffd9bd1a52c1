"""Vocoders: from a mel back to sound."""

from __future__ import annotations

from os import PathLike, fspath

from zoo.voice.mel import Mel
from zoo.voice.vocoders.files import read
from zoo.voice.vocoders.hifigan import HifiGan, NsfHifiGan
from zoo.voice.vocoders.neural import Neural


def load(path: str | PathLike[str], *, mel: Mel | None = None) -> Neural:
    """The vocoder of a file or folder, whichever it is.

    Args:
        path: of a file of weights with its config beside it, or of the folder of both.
        mel: what the model makes; weights whose config says otherwise are refused.

    Raises:
        VoiceError: there are no such files, they are broken or want to run code, weights and config do not belong
            together, or the vocoder takes another mel.
    """
    files = read(fspath(path))
    kind = HifiGan if files.network.source_kind == "none" else NsfHifiGan
    return kind(weights=fspath(path), mel=mel).take(files)
