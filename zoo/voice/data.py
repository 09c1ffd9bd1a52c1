"""Prepared recordings as a dataset: pieces of one length, with everything that a conditioner takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from registry import mels, units
from zoo.data.base import DataError, Dataset, Preview
from zoo.voice.base import VoiceError
from zoo.voice.features import energy
from zoo.voice.mel import Mel
from zoo.voice.parts import bare
from zoo.voice.prepared import Item, Prepared, read_index
from zoo.voice.previews import Heard
from zoo.voice.units.align import mel2ph

_MEGABYTE = 1 << 20
_PER_FRAME = ("mel", "f0", "mel2ph", "energy", "volume")


class Recordings(Dataset):
    """A folder that ``zoo voice prepare`` made, in pieces of so many frames.

    An example has ``x_0`` (M, T) log mel, ``units`` (T, U), ``f0`` (T,) in Hz, 0 where unvoiced, ``mel2ph``, ``energy``
    and ``volume`` (T,), ``aug_shift`` and ``lengths``: T but for slices that are shorter, which end in silence.

    Args:
        path: the prepared folder.
        frames: T, of a piece.
        stride: frames from one piece of a slice to the next; None for a quarter of ``frames``.
        first_speaker: the number of the first speaker, where there are several: 0 for ``svc``, 1 for ``unit2mel``.
        previews: recordings that samples during training are made of; the first that are kept from training.
        memory_mb: the largest set that is held in memory; larger ones are read anew.
        shape: of the model, (M, any).
        voice: the section of the model's config; what was measured must be what it hears.

    Raises:
        DataError: the folder is no prepared one, or does not fit the model.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        frames: int = 128,
        stride: int | None = None,
        first_speaker: int = 0,
        previews: int = 3,
        memory_mb: int = 2048,
        shape: Sequence[int | None] | None = None,
        voice: Mapping[str, Any] | None = None,
    ) -> None:
        if path is None:
            raise DataError("voice: data.path names a folder that `zoo voice prepare RECORDINGS --out FOLDER` made")
        step = max(1, frames // 4) if stride is None else stride
        if min(frames, step) < 1 or previews < 0 or memory_mb < 0:
            raise DataError("voice: frames and stride are numbers from 1, previews and memory_mb from 0")
        try:
            self.prepared: Prepared = read_index(Path(path).expanduser())
        except VoiceError as error:
            raise DataError(f"voice: {error}") from None
        bins = self.prepared.voice["mel"]["bins"]
        if shape is not None and (len(shape) != 2 or shape[0] != bins):
            raise DataError(f"voice: these mels have {bins} bins, and the model's shape is {list(shape)}")
        hears = {} if voice is None else bare(voice)
        for key, spec in bare(self.prepared.voice).items():
            if key in hears and hears[key] != spec:
                raise DataError(
                    f"voice: {path} was prepared with the {key} {_told(spec)}, and the model hears with "
                    f"{_told(hears[key])}: prepare it again with this config, or train its own config.yaml"
                )
        self.frames, self.first_speaker = frames, first_speaker
        self._pieces = [
            (item, index, start)
            for item in self.prepared.trained
            for index, count in enumerate(item.frames)
            for start in range(0, max(1, count - frames + step), step)
        ]
        self._previews = [*self.prepared.held_out, *self.prepared.trained][:previews]
        self._mel: Mel = mels.build(self.prepared.voice["mel"], path="voice.mel")
        rate: float = units.build(self.prepared.voice["units"], path="voice.units").rate
        self._per_frame = rate * self._mel.hop / self._mel.sample_rate
        size = sum(self.prepared.path(item).stat().st_size for item in self.prepared.trained)
        self._held: dict[str, dict[str, Tensor]] | None = {} if size <= memory_mb * _MEGABYTE else None

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)} pieces")
        item, number, start = self._pieces[index]
        whole = self.slice(item, number)
        count = whole["mel"].shape[-1]
        start = max(0, min(start, count - self.frames))
        piece = {name: whole[name][..., start : start + self.frames] for name in _PER_FRAME}
        length = piece["mel"].shape[-1]
        missing = self.frames - length
        example = {
            "x_0": F.pad(piece["mel"], (0, missing), value=float(piece["mel"].min())),
            "units": F.pad(whole["units"][piece["mel2ph"] - 1].float(), (0, 0, 0, missing)),
            "f0": F.pad(piece["f0"], (0, missing)),
            "mel2ph": F.pad(torch.arange(1, length + 1), (0, missing)),
            "energy": F.pad(piece["energy"], (0, missing)),
            "volume": F.pad(piece["volume"], (0, missing)),
            "aug_shift": whole["shift"],
            "lengths": torch.tensor(length),
        }
        return example | self._speaker(item)

    def describe(self) -> str:
        statistics = self.prepared.statistics
        minutes = statistics["seconds"] / 60
        voices = f", {len(self.prepared.speakers)} speakers" if self.prepared.speakers else ""
        out = f", {len(self.prepared.held_out)} held out" if self.prepared.held_out else ""
        return (
            f"{minutes:.1f} minutes of {len(self.prepared.trained)} recordings{voices}{out}, {len(self):,} pieces of "
            f"{self.frames} frames, median pitch {statistics['f0_median']:.0f} Hz"
        )

    def preview(self) -> Preview | None:
        """The first slices of recordings that are kept from training, made anew from their own units and pitch."""
        if not self._previews:
            return None
        wholes = [self.slice(item, 0) | self._speaker(item) for item in self._previews]
        return Heard(self._mel, self.prepared.voice.get("vocoder"), wholes)

    def slice(self, item: Item, number: int) -> dict[str, Tensor]:
        """A slice as it was prepared, with energy (T,) and mel2ph (T,), the number of the unit of each frame."""
        key = f"{item.key}.{number}"
        if self._held is not None and key in self._held:
            return self._held[key]
        path = self.prepared.path(item)
        try:
            with safe_open(path, "pt") as opened:
                found = {
                    name: opened.get_tensor(f"{number}.{name}") for name in ("mel", "units", "f0", "volume", "shift")
                }
        except (OSError, SafetensorError) as error:
            raise DataError(f"voice: {path} cannot be read: {error}; prepare the folder again") from None
        found["mel2ph"] = mel2ph(len(found["units"]), found["mel"].shape[-1], per_frame=self._per_frame)
        found["energy"] = energy(found["mel"], self._mel.log)
        if self._held is not None:
            self._held[key] = found
        return found

    def _speaker(self, item: Item) -> dict[str, Tensor]:
        if not self.prepared.speakers:
            return {}
        return {"spk": torch.tensor(self.prepared.speakers.index(item.speaker) + self.first_speaker)}


def _told(spec: Mapping[str, Any]) -> str:
    """A part in the words of a config."""
    return "{" + ", ".join(f"{key}: {value}" for key, value in spec.items()) + "}"
