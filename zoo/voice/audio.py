"""Sound in files: read as float32 in [-1, 1], written as 16-bit PCM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ShapeError
from zoo.files import write_atomically
from zoo.voice.base import VoiceError, needed

Channel = Literal["mix", "first"]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au", ".opus", ".m4a", ".aac", ".g722", ".webm", ".mp4")
"""Endings of the files that a folder of recordings is searched for."""

_BLOCK = 1 << 20
_ODDEST = 1000
_FORMATS = {".g722": "g722"}  # headerless: the ending is all that tells
_KINDS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}


@dataclass(frozen=True)
class Sound:
    """A recording.

    Args:
        wav: (L,) float32 in [-1, 1].
        sample_rate: in Hz.

    Raises:
        ShapeError: wav is not (L,) floating point.
    """

    wav: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        if self.wav.ndim != 1 or not self.wav.is_floating_point():
            raise ShapeError(
                f"sound: expected (L,) floating point, got {self.wav.dtype} of {tuple(self.wav.shape)}; "
                "mix the channels of a stereo recording"
            )

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.wav) / self.sample_rate

    def at(self, sample_rate: int) -> Sound:
        """The same at another rate."""
        return Sound(resample(self.wav, self.sample_rate, sample_rate), sample_rate)


def read(path: str | PathLike[str], *, sample_rate: int | None = None, channel: Channel = "mix") -> Sound:
    """A recording from a file: wav, flac, ogg, mp3 and more, and all that FFmpeg knows where PyAV is installed.

    Args:
        path: the file.
        sample_rate: to resample it to, in Hz; None leaves it.
        channel: of several, the mean, or the first alone, as diff-svc takes it.

    Raises:
        VoiceError: the file is missing, is no sound, is empty, or holds numbers that are not finite.
    """
    file = Path(path).expanduser()
    pieces = list(blocks(file, channel=channel))
    sound = Sound(torch.cat([piece for _, piece in pieces]), pieces[0][0])
    return sound if sample_rate is None else sound.at(sample_rate)


def blocks(path: str | PathLike[str], *, channel: Channel = "mix") -> Iterator[tuple[int, Tensor]]:
    """A recording piece by piece, for files that are longer than memory.

    Args:
        path: the file.
        channel: of several, the mean, or the first alone.

    Yields:
        The sample rate, and (L_i,) float32.

    Raises:
        VoiceError: as :func:`read`.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise VoiceError(f"{file}: there is no such file")
    found = False
    for rate, piece in _decoded(file):
        mono = piece[:, 0] if channel == "first" or piece.shape[1] == 1 else piece.mean(1)
        if not mono.isfinite().all():
            raise VoiceError(f"{file}: holds numbers that are not finite, so it is damaged")
        if len(mono):
            found = True
            yield rate, mono.contiguous()
    if not found:
        raise VoiceError(f"{file}: holds no sound")


def write(path: str | PathLike[str], wav: Tensor, sample_rate: int) -> None:
    """A recording to a file of 16 bits a sample, in the format that its ending names; what is beyond 1 is cut.

    Args:
        path: the file, .wav, .flac or .ogg.
        wav: (L,) in [-1, 1].
        sample_rate: in Hz.

    Raises:
        VoiceError: there is no such format, or the file cannot be written.
    """
    with Writer(path, sample_rate) as writer:
        writer.add(wav)


class Writer:
    """A recording that is written piece by piece, and is in its place only when it is complete.

    Args:
        path: the file, .wav, .flac or .ogg.
        sample_rate: in Hz.

    Raises:
        VoiceError: there is no such format, or the file cannot be written.
    """

    def __init__(self, path: str | PathLike[str], sample_rate: int) -> None:
        self._path = Path(path).expanduser()
        if self._path.suffix.lower() not in _KINDS:
            raise VoiceError(f"{self._path}: sound is written as {', '.join(_KINDS)}, not {self._path.suffix!r}")
        if not self._path.parent.is_dir():
            raise VoiceError(f"{self._path}: there is no folder {self._path.parent}")
        self._beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.whole.part")
        self._rate = sample_rate
        self._file: Any = None

    def __enter__(self) -> Writer:
        soundfile = needed("soundfile", "writing sound")
        try:
            self._file = soundfile.SoundFile(
                _name(self._beside),
                "w",
                self._rate,
                1,
                format=_KINDS[self._path.suffix.lower()],
                subtype=None if self._path.suffix.lower() == ".ogg" else "PCM_16",
            )
        except (OSError, soundfile.LibsndfileError) as error:
            self._beside.unlink(missing_ok=True)
            raise VoiceError(f"{self._path}: cannot be written: {error}") from None
        return self

    def add(self, wav: Tensor) -> None:
        """Go on with (L,) samples.

        Raises:
            VoiceError: they are not finite, or the disk is full.
        """
        if not wav.isfinite().all():
            raise VoiceError(f"{self._path}: this sound holds numbers that are not finite; nothing was written")
        try:
            self._file.write(wav.detach().float().clamp(-1, 1).cpu().numpy())
        except RuntimeError as error:  # what soundfile makes of a full disk
            raise VoiceError(f"{self._path}: cannot be written: {error}") from None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        try:
            if kind is None:
                write_atomically(self._path, self._beside.replace)
        except OSError as error:
            raise VoiceError(f"{self._path}: cannot be written: {error.strerror or error}") from error
        finally:
            self._beside.unlink(missing_ok=True)


def resample(wav: Tensor, before: int, after: int) -> Tensor:
    """Sound at another rate, by a windowed sinc.

    Args:
        wav: (..., L).
        before: its rate, in Hz.
        after: the wanted one.
    """
    if before == after or not wav.shape[-1]:
        return wav
    # torchaudio takes a while to import
    from torchaudio.functional import resample as by_sinc

    # the table of sincs is as large as the ratio is odd: 44101 to 16000 would take 8 GB. Off by less than 1e-6
    ratio = Fraction(after, before).limit_denominator(_ODDEST)
    resampled: Tensor = by_sinc(wav, ratio.denominator, ratio.numerator, lowpass_filter_width=64, rolloff=0.95)
    count = -(-wav.shape[-1] * after // before)
    return F.pad(resampled, (0, max(0, count - resampled.shape[-1])))[..., :count]


def _name(file: Path) -> str | bytes:
    """As soundfile takes it: names need not be text, but on Windows they are."""
    return str(file) if os.name == "nt" else os.fsencode(file)


def _decoded(file: Path) -> Iterator[tuple[int, Tensor]]:
    """(L_i, channels) pieces, by soundfile, or by PyAV for what that cannot read."""
    soundfile = needed("soundfile", "reading sound")
    if file.suffix.lower() not in _FORMATS:
        heard = 0
        try:
            with soundfile.SoundFile(_name(file)) as opened:
                rate = opened.samplerate
                for piece in opened.blocks(_BLOCK, dtype="float32", always_2d=True):
                    heard += len(piece)
                    yield rate, torch.from_numpy(piece)
            return
        except soundfile.LibsndfileError as error:
            reason = str(error).partition(": ")[2].rstrip(".") or str(error)
            if heard:  # another reader would begin again
                raise VoiceError(f"{file}: is damaged behind {heard / rate:.1f} s: {reason}") from None
    else:
        reason = "it is no wav, flac, ogg or mp3"
    yield from _by_ffmpeg(file, reason)


def _by_ffmpeg(file: Path, reason: str) -> Iterator[tuple[int, Tensor]]:
    try:
        av = needed("av", f"{file}: {reason}; reading other formats")
    except VoiceError as error:
        raise VoiceError(f"{file} cannot be read: {reason}; {error}") from None
    try:
        with av.open(str(file), format=_FORMATS.get(file.suffix.lower()), metadata_errors="ignore") as opened:
            if not opened.streams.audio:
                raise VoiceError(f"{file}: holds no sound")
            converter = av.AudioResampler(format="fltp")
            for frame in opened.decode(audio=0):
                for ready in converter.resample(frame):
                    yield ready.sample_rate, torch.from_numpy(ready.to_ndarray()).T
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, VoiceError):
            raise
        more = (getattr(error, "strerror", None) or str(error)).lower()
        raise VoiceError(f"{file}: cannot be read as sound: {reason}; {more}") from None
