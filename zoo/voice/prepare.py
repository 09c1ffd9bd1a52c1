"""A folder of recordings, made into what a model of voices is trained on.

    OUT/items/*           a file a recording: mel, units, f0 and volume of its slices
    OUT/prepared.json     what is there, from which files, measured how; which files were left out, and why
    OUT/config.yaml       a config to train: the model's own, this data, and the edges of its mel

An item is named after the content of its recording and the settings that it was made with. So a preparation that was
stopped goes on where it was, a changed setting makes new items, and a renamed recording does not.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from registry.names import natural
from zoo import config as configs
from zoo.core.errors import ArgumentValueError, ZooError
from zoo.files import write_atomically
from zoo.voice.audio import SUFFIXES, read
from zoo.voice.base import VoiceError
from zoo.voice.f0.curves import shifted
from zoo.voice.features import volume
from zoo.voice.parts import PATHS, Parts, bare, build
from zoo.voice.prepared import FORMAT, Cut, Item, write_index
from zoo.voice.quiet import voiced

_FIELDS = ("mel", "units", "f0", "volume")


def prepare(
    folder: str | PathLike[str],
    out: str | PathLike[str],
    *,
    config: str | PathLike[str] | Mapping[str, Any],
    command_line: Sequence[str] = (),
    cut: Cut | None = None,
    speakers: bool = False,
    hold_out: float = 0.02,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Item]:
    """Prepare a folder of recordings; nothing happens before the first item is asked for.

    Args:
        folder: with recordings in it and in its folders, in any format that can be read.
        out: where the prepared data goes.
        config: of the model that will be trained; its ``voice`` section says what is measured.
        command_line: ``key.key=value`` over it.
        cut: how recordings become slices.
        speakers: whether each folder in ``folder`` is a speaker.
        hold_out: share of the recordings that is not trained on, but previewed.
        workers: processes; 0 does it all in this one.
        device: of encoders that have tensors.

    Yields:
        What became of each recording, in the natural order of their names; the last one has been written down when
        the iterator ends.

    Raises:
        VoiceError: there is no such folder, nothing in it can be used, or ``out`` is inside of it.
        ConfigError: with every problem of the config at once.
    """
    folder, out, cut = Path(folder).expanduser(), Path(out).expanduser(), cut or Cut()
    loaded = configs.load(config, command_line=command_line)
    tree = configs.resolve(loaded)
    if "voice" not in tree:
        raise VoiceError(f"{loaded.name}: its config has no voice section: take one of `zoo list models 'svc-*'`")
    if not folder.is_dir():
        raise VoiceError(f"{folder}: there is no such folder")
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise VoiceError(f"{out}: lies in the folder of the recordings: prepare into another place")
    if not 0 <= hold_out < 1:
        raise ArgumentValueError(f"hold_out is a share from 0 to below 1, got {hold_out:g}")
    # wrong settings, and weights that are missing, are told before anything is read
    build(tree["voice"])
    items = out / "items"
    measured = {key: tree["voice"][key] for key in ("mel", "f0", "units")}
    worker = _Worker(_Job(folder, items, measured, asdict(cut), speakers, str(device), _weights(measured)))
    worker.parts.units(torch.zeros(16_000), 16_000)
    worker.parts.f0(torch.zeros(16_000), 16_000, hop=160, frames=100)
    files = recordings(folder)
    if not files:
        raise VoiceError(f"{folder}: holds no recordings ({' '.join(SUFFIXES)})")
    items.mkdir(parents=True, exist_ok=True)
    for leftover in items.glob(".*.part"):
        leftover.unlink()
    done: dict[str, Item] = {}
    every: list[Item] = []
    for item in _run(worker, files, workers):
        if item.frames and item.key in done:
            item = replace(item, frames=(), reason=f"the same as {done[item.key].source}")
        else:
            done.setdefault(item.key or item.source, item)
        every.append(item)
        yield item
    write_index(out, loaded, cut, every, hold_out)


def recordings(folder: Path) -> list[Path]:
    """The files of a folder and its folders whose ending is that of a recording, in natural order."""
    found = [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    ]
    return sorted(found, key=lambda file: natural(str(file.relative_to(folder))))


@dataclass(frozen=True)
class _Job:
    """Everything that a worker has to know."""

    folder: Path
    items: Path
    measured: dict[str, Any]
    cut: dict[str, Any]
    speakers: bool
    device: str
    weights: str

    def digest(self, content: bytes) -> str:
        settings = json.dumps([FORMAT, bare(self.measured), self.weights, self.cut], sort_keys=True)
        return hashlib.blake2b(settings.encode() + b"\0" + content, digest_size=16).hexdigest()


def _weights(measured: Mapping[str, Any]) -> str:
    """What the weights that the settings name contain: other weights under an old path measure something else."""
    content = hashlib.blake2b(digest_size=16)
    for spec in measured.values():
        for name in PATHS:
            path = Path(spec[name]).expanduser() if spec.get(name) else None
            files = sorted(path.rglob("*")) if path is not None and path.is_dir() else [path]
            for file in files:
                if file is not None and file.is_file():
                    with file.open("rb") as opened:
                        content.update(hashlib.file_digest(opened, "blake2b").digest())
    return content.hexdigest()


def _run(worker: _Worker, files: Sequence[Path], workers: int) -> Iterator[Item]:
    if workers < 1:
        yield from map(worker.item, files)
        return
    # spawned: a forked torch with threads may hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (worker.job,))
    try:
        yield from pool.map(_item, files)
    except BrokenProcessPool:
        raise VoiceError(
            "a process was killed, probably for want of memory: take fewer workers; the same command goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_WORKER: list[_Worker] = []


def _begin(job: _Job) -> None:
    torch.set_num_threads(1)
    _WORKER[:] = [_Worker(job)]


def _item(file: Path) -> Item:
    return _WORKER[0].item(file)


class _Worker:
    """One process: its encoders are built once."""

    def __init__(self, job: _Job) -> None:
        self.job, self.cut = job, Cut(**job.cut)
        self.parts: Parts = build(job.measured).to(job.device)

    def item(self, file: Path) -> Item:
        source = file.relative_to(self.job.folder)
        speaker = source.parts[0] if self.job.speakers and len(source.parts) > 1 else ""
        if self.job.speakers and not speaker:
            return Item(str(source), reason="lies in no speaker's folder")
        try:
            key = self.job.digest(file.read_bytes())
        except OSError as error:
            return Item(str(source), speaker=speaker, reason=(error.strerror or str(error)).lower())
        path = self.job.items / f"{key}.safetensors"
        try:
            frames = _frames(path)
            if frames is None:
                frames = self._write(file, path)
        except ZooError as error:
            reason = str(error).removeprefix(f"{file}: ").removeprefix(f"{file} ")
            return Item(str(source), key, speaker, reason=reason)
        except Exception as error:  # decoders and Praat raise whatever odd sound leads them to
            first = str(error).partition("\n")[0]
            return Item(str(source), key, speaker, reason=f"cannot be measured: {type(error).__name__}: {first}")
        reason = "" if frames else f"nothing in it is voice for {self.cut.min_seconds:g} s or longer"
        return Item(str(source), key, speaker, frames, reason)

    def _write(self, file: Path, path: Path) -> tuple[int, ...]:
        parts, rate = self.parts, self.parts.mel.sample_rate
        sound = read(file, sample_rate=rate)
        tensors: dict[str, Tensor] = {}
        frames: list[int] = []
        generator = torch.Generator().manual_seed(int(path.stem[:15], 16))
        for start, stop in voiced(
            sound.wav, rate, threshold_db=self.cut.threshold_db, max_seconds=self.cut.max_seconds
        ):
            wav = sound.wav[start:stop]
            if len(wav) < self.cut.min_seconds * rate:
                continue
            units = parts.units(wav, rate).half()
            shifts = [0.0, *(torch.rand(self.cut.key_shifts, generator=generator) * 10 - 5).tolist()]
            for shift in shifts:
                mel = parts.mel(wav, key_shift=shift)
                count = mel.shape[-1]
                pitch = shifted(parts.f0(wav, rate, hop=parts.mel.hop, frames=count), shift)
                loudness = volume(wav, parts.mel.hop)[:count]
                index = len(frames)
                for name, tensor in zip(_FIELDS, (mel, units, pitch, loudness), strict=True):
                    # a copy: moved slices share their units
                    tensors[f"{index}.{name}"] = tensor.clone(memory_format=torch.contiguous_format)
                tensors[f"{index}.shift"] = torch.tensor(shift)
                frames.append(count)
        metadata = {"frames": json.dumps(frames)}
        write_atomically(path, lambda beside: save_file(tensors, beside, metadata))
        return tuple(frames)


def _frames(path: Path) -> tuple[int, ...] | None:
    """The slices of an item that is there already; None where it is not, or was damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as opened:
            return tuple(json.loads(opened.metadata()["frames"]))
    except (OSError, SafetensorError):
        return None
