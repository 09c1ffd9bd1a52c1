"""What a prepared folder says of itself: its index, the statistics of its voice, and a config to train on it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from registry.names import natural
from zoo import config as configs
from zoo.core.errors import ArgumentValueError
from zoo.files import write_atomically
from zoo.voice.base import VoiceError

FORMAT = 1
INDEX = "prepared.json"
_MARGIN = 0.05
"""By which share the measured range of a bin is widened, so that what is a little louder still lies inside."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How recordings become slices.

    Args:
        threshold_db: what is quieter is silence.
        min_seconds: slices that are shorter are left out.
        max_seconds: longer ones are cut at a quiet place.
        key_shifts: copies of each slice whose timbre is moved by up to 5 semitones either way, with its pitch.

    Raises:
        ArgumentValueError: for numbers that leave nothing.
    """

    threshold_db: float = -40.0
    min_seconds: float = 0.4
    max_seconds: float = 12.0
    key_shifts: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds < self.max_seconds < math.inf:
            raise ArgumentValueError(
                f"need 0 < min_seconds < max_seconds, got {self.min_seconds:g} and {self.max_seconds:g}"
            )
        if not self.threshold_db < 0 or self.key_shifts < 0:
            raise ArgumentValueError("threshold_db is below 0, and key_shifts is not")


@dataclass(frozen=True)
class Item:
    """What became of one recording.

    Args:
        source: its path below the folder.
        key: of its content and the settings; "" where it could not be read.
        speaker: the folder it lies in, where folders are speakers.
        frames: of each slice.
        reason: why it was left out; "" where it was not.
    """

    source: str
    key: str = ""
    speaker: str = ""
    frames: tuple[int, ...] = ()
    reason: str = ""

    def held_out(self, share: float) -> bool:
        """Whether it is among a share that is kept from training, decided by its content alone."""
        return int(self.key[-8:], 16) < share * 2**32


@dataclass(frozen=True)
class Prepared:
    """A prepared folder.

    Args:
        folder: it.
        voice: the specs of mel, f0 and units that it was measured with.
        speakers: their names, in the order of their numbers; none for a single one.
        trained: the items to train on.
        held_out: the others.
        statistics: ``f0_median`` in Hz, ``mel_low`` and ``mel_high`` of each bin, and others.
    """

    folder: Path
    voice: Mapping[str, Any]
    speakers: Sequence[str]
    trained: Sequence[Item]
    held_out: Sequence[Item]
    statistics: Mapping[str, Any]

    def path(self, item: Item) -> Path:
        """The file with the tensors of an item."""
        return self.folder / "items" / f"{item.key}.safetensors"


def read_index(folder: Path) -> Prepared:
    """What a prepared folder holds.

    Raises:
        VoiceError: it is none, is of another format, or its index is damaged.
    """
    path = folder / INDEX
    try:
        found = json.loads(path.read_text())
        if found["format"] != FORMAT:
            raise VoiceError(f"{path}: format {found['format']}, and this zoo reads {FORMAT}: prepare it again")
        rows = [{**row, "frames": tuple(row["frames"])} for row in found["items"]]
        held = [row.pop("held_out") for row in rows]
        items = [Item(**row) for row in rows]
        return Prepared(
            folder,
            found["voice"],
            found["speakers"],
            [item for item, out in zip(items, held, strict=True) if not out],
            [item for item, out in zip(items, held, strict=True) if out],
            found["statistics"],
        )
    except FileNotFoundError:
        raise VoiceError(
            f"{folder}: is no prepared folder, it has no {INDEX}: zoo voice prepare RECORDINGS --out {folder}"
        ) from None
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise VoiceError(f"{path}: cannot be read ({type(error).__name__}): prepare it again") from error


def write_index(out: Path, config: configs.Config, cut: Cut, items: Sequence[Item], hold_out: float) -> Prepared:
    """Write down what was prepared.

    Args:
        out: the prepared folder; the files of the items are there.
        config: of the model that will be trained.
        cut: how the recordings became slices.
        items: all of them, those that were left out too.
        hold_out: share of the recordings that is kept from training.

    Raises:
        VoiceError: none can be used.
    """
    good = [item for item in items if item.frames]
    if not good:
        raise VoiceError(
            f"none of {len(items)} recordings can be used; the first, {items[0].source}: {items[0].reason}"
        )
    tree = configs.resolve(config)
    voice = {key: tree["voice"][key] for key in ("mel", "f0", "units")}
    trained = [item for item in good if not item.held_out(hold_out)] or good
    kept = {item.key for item in trained}
    held_out = [item for item in good if item.key not in kept]
    speakers = sorted({item.speaker for item in good if item.speaker}, key=natural)
    prepared = Prepared(out, voice, speakers, trained, held_out, {})
    statistics = _statistics(prepared)
    index = {
        "format": FORMAT,
        "voice": voice,
        "cut": asdict(cut),
        "speakers": speakers,
        "statistics": statistics,
        "items": [{**asdict(item), "held_out": item.key not in kept} for item in good],
        "left_out": [{"source": item.source, "reason": item.reason} for item in items if not item.frames],
    }
    # escaped: names of files need not be text
    text = json.dumps(index, indent=1)
    write_atomically(out / INDEX, lambda beside: beside.write_text(text))
    to_train = {
        **config.tree,
        **_of_speakers(config.tree, len(speakers)),
        "data": {
            **(config.tree.get("data") or {}),
            "name": "voice",
            "path": str(out.resolve()),
            **({"first_speaker": 1} if speakers and _conditioner(config.tree) == "unit2mel" else {}),
        },
        "scaling": {"name": "min-max", "low": statistics["mel_low"], "high": statistics["mel_high"]},
        # the model remembers how high its voice is, so that conversion can choose a key
        "notes": {**config.tree.get("notes", {}), "f0_median": str(statistics["f0_median"])},
    }
    write_atomically(out / "config.yaml", lambda beside: beside.write_text(configs.dump(to_train)))
    return Prepared(out, voice, speakers, trained, held_out, statistics)


def _conditioner(tree: Mapping[str, Any]) -> str:
    return str((tree.get("conditioner") or {}).get("name", ""))


def _of_speakers(tree: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The conditioner with a row for each speaker, where there are several."""
    if not count or _conditioner(tree) not in ("svc", "unit2mel"):
        return {}
    return {"conditioner": {**tree["conditioner"], "speakers": count}}


def _statistics(prepared: Prepared) -> dict[str, Any]:
    """Of the items that are trained on, without their moved copies."""
    low, high, pitches, frames = None, None, [], 0
    for item in prepared.trained:
        try:
            with safe_open(prepared.path(item), "pt") as opened:
                for index in range(len(item.frames)):
                    if opened.get_tensor(f"{index}.shift") != 0:
                        continue
                    mel = opened.get_tensor(f"{index}.mel")
                    frames += mel.shape[-1]
                    pitches.append(opened.get_tensor(f"{index}.f0"))
                    low = mel.amin(-1) if low is None else torch.minimum(low, mel.amin(-1))
                    high = mel.amax(-1) if high is None else torch.maximum(high, mel.amax(-1))
        except (OSError, SafetensorError) as error:
            raise VoiceError(f"{prepared.path(item)}: cannot be read: {error}; remove it and prepare again") from None
    if low is None or high is None or not pitches:
        raise VoiceError(f"{prepared.folder}: there is nothing to train on")
    margin = _MARGIN * (high - low).clamp(min=1e-3)
    f0 = torch.cat(pitches).double()
    voiced = f0[f0 > 0]
    # numpy's, as torch's takes no more than 16 million numbers
    f0_low, f0_median, f0_high = np.quantile(voiced.numpy(), (0.05, 0.5, 0.95)).tolist() if len(voiced) else [0.0] * 3
    mel = prepared.voice["mel"]
    return {
        "seconds": round(frames * mel["hop"] / mel["sample_rate"], 1),
        "frames": frames,
        "voiced": round(len(voiced) / frames, 4),
        "f0_median": round(f0_median, 2),
        "f0_5": round(f0_low, 2),
        "f0_95": round(f0_high, 2),
        "mel_low": _rounded(low - margin),
        "mel_high": _rounded(high + margin),
    }


def _rounded(edge: torch.Tensor) -> list[float]:
    if not edge.isfinite().all():
        raise VoiceError("the mel of these recordings is not finite")
    return [math.floor(value * 1e4) / 1e4 for value in edge.tolist()]
