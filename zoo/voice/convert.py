"""A recording goes in, the same in another voice comes out.

    wav -> runs with a voice in them -> units, pitch, loudness -> the model -> mel -> vocoder -> wav

Runs are made a few at a time, so an hour of sound needs no more memory than a minute does beside the sound itself. What
is drawn for a run depends on its place in the recording alone, not on the runs that are made with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.diffusion import Diffusion
from zoo.core.errors import ArgumentValueError
from zoo.core.grid import GridPoint
from zoo.sampling import sample
from zoo.voice import audio
from zoo.voice.audio import Sound
from zoo.voice.base import F0, Units, Vocoder, VoiceError
from zoo.voice.f0.curves import PitchStatistics, automatic_key, gapless_hz, shifted
from zoo.voice.features import energy, in_log, volume
from zoo.voice.loudness import gated, matched
from zoo.voice.runs import Run, faded, runs
from zoo.voice.settings import Spec, Voice, voice_of
from zoo.voice.units.align import mel2ph

Source = str | PathLike[str] | Sound

_AT_ONCE = 1 << 22
"""Samples that are looked through at once, so that an hour of sound is not copied to see whether it is whole."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a recording is converted.

    Args:
        key: semitones by which the pitch is moved.
        strength: of the change, for models without a condition that carries everything: 1 begins with noise, less with
            the noised mel of the source, and 0 only sends that through the vocoder.
        speaker: a number or ``{number: weight}``, of models with several.
        match_loudness: 0 leaves the loudness, 1 takes the source's.
        gate_db: where the source is quieter, the result is silent; None leaves all.
        threshold_db: what is quieter is not converted, but silence.
        max_seconds: longer runs are cut at a quiet place, and overlap there.
        overlap: seconds over which runs that were cut fade into one another.
        together: runs that are made in one batch.
        seed: of all noise.

    Raises:
        ArgumentValueError: for a number outside its range.
    """

    key: float = 0.0
    strength: float = 1.0
    speaker: int | Mapping[int, float] | None = None
    match_loudness: float = 0.0
    gate_db: float | None = None
    threshold_db: float = -50.0
    max_seconds: float = 15.0
    overlap: float = 0.2
    together: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1 or not 0 <= self.match_loudness <= 1:
            raise ArgumentValueError(
                f"strength and match_loudness are from 0 to 1, got {self.strength:g} and {self.match_loudness:g}"
            )
        if self.together < 1 or not 0 <= self.overlap < self.max_seconds / 4:
            raise ArgumentValueError("together is a number from 1, and overlap less than a quarter of max_seconds")
        if not abs(self.key) <= 60:
            raise ArgumentValueError(f"key is in semitones, at most 60, got {self.key:g}")
        if not math.isfinite(self.threshold_db) or not math.isfinite(self.gate_db or 0.0):
            raise ArgumentValueError("threshold_db and gate_db are finite numbers of decibels")


def convert(
    source: Source,
    model: Diffusion,
    *,
    key: float | Literal["auto"] = 0.0,
    strength: float = 1.0,
    speaker: int | Mapping[int, float] | None = None,
    units: Spec | Units | None = None,
    f0: Spec | F0 | None = None,
    vocoder: Spec | Vocoder | None = None,
    match_loudness: float = 0.0,
    gate_db: float | None = None,
    threshold_db: float = -50.0,
    max_seconds: float = 15.0,
    overlap: float = 0.2,
    together: int = 4,
    seed: int = 0,
    on_progress: Callable[[float], object] | None = None,
    **how: Any,
) -> Sound:
    """Turn a recording into the voice of a model.

    Args:
        source: a file, or a sound.
        model: trained by the zoo on a voice, or loaded from a folder of diff-svc or DDSP-SVC.
        key: semitones by which the pitch is moved; "auto" brings its median to that of the model's voice.
        strength: 1 begins with noise, less with the noised mel of the source (shallow diffusion).
        speaker: a number or ``{number: weight}``, of models with several.
        units: an encoder in place of the model's own.
        f0: a pitch method in place of it.
        vocoder: a vocoder in place of it, or the path of one.
        match_loudness: 0 leaves the loudness, 1 takes the source's.
        gate_db: where the source is quieter, the result is silent; None leaves all.
        threshold_db: what is quieter is not converted, but silence.
        max_seconds: longer runs are cut at a quiet place, and overlap there.
        overlap: seconds over which runs that were cut fade into one another.
        together: runs that are made in one batch.
        seed: of all noise.
        on_progress: called with the share that is done.
        **how: for :func:`zoo.sample`: sampler, steps, spacing, guidance, precision, ...

    Returns:
        As long as the source, at the sample rate of the model's mels.

    Raises:
        VoiceError: the sound cannot be read or holds numbers that are not finite, or the model does not say how it
            hears and no argument does.
        ArgumentValueError: for a number outside its range.
    """
    voice = voice_of(model, f0_=f0, units_=units, vocoder_=vocoder)
    sound = source if isinstance(source, Sound) else audio.read(source)
    moved = automatic(sound, model, voice) if key == "auto" else key
    manner = Manner(
        key=moved,
        strength=strength,
        speaker=speaker,
        match_loudness=match_loudness,
        gate_db=gate_db,
        threshold_db=threshold_db,
        max_seconds=max_seconds,
        overlap=overlap,
        together=together,
        seed=seed,
    )
    whole = torch.zeros(length_at(sound, voice.mel.sample_rate))
    for start, wav in chunks(sound, model, voice, manner, **how):
        whole[start : start + len(wav)] = wav
        if on_progress is not None:
            on_progress((start + len(wav)) / len(whole))
    return Sound(whole, voice.mel.sample_rate)


def automatic(sound: Sound, model: Diffusion, voice: Voice) -> float:
    """The semitones that bring the median pitch of a recording to that of the model's voice.

    Raises:
        VoiceError: the model does not know how high its voice is.
    """
    median = model.config.get("notes", {}).get("f0_median")
    if median is None:
        raise VoiceError("key: this model does not say how high its voice is; pass semitones, such as 0")
    step = max(1, sound.sample_rate // 100)
    found = voice.f0(sound.wav, sound.sample_rate, hop=step, frames=len(sound.wav) // step + 1)
    if not (found > 0).any():
        return 0.0
    return automatic_key(PitchStatistics.of(found), PitchStatistics.of(torch.tensor([float(median)])))


def length_at(sound: Sound, sample_rate: int) -> int:
    """How many samples a recording has at another rate."""
    return -(-len(sound.wav) * sample_rate // sound.sample_rate)


def chunks(sound: Sound, model: Diffusion, voice: Voice, manner: Manner, **how: Any) -> Iterator[tuple[int, Tensor]]:
    """The converted recording piece by piece, from its beginning to its end, without gaps.

    Args:
        sound: the recording.
        model: of a voice.
        voice: how it hears and is heard.
        manner: how it is converted.
        **how: for :func:`zoo.sample`.

    Yields:
        The first sample of the piece, at the rate of the model's mels, and (L_i,) float32.
    """
    if not all(block.isfinite().all() for block in torch.split(sound.wav, _AT_ONCE)):
        raise VoiceError("the sound holds numbers that are not finite, so it is damaged")
    rate = voice.mel.sample_rate
    total = length_at(sound, rate)
    wav = sound.at(rate).wav[:total].float()
    if len(wav) < total:  # the resampler counts in float32
        wav = F.pad(wav, (0, total - len(wav)))
    plan = runs(wav, rate, threshold_db=manner.threshold_db, max_seconds=manner.max_seconds, overlap=manner.overlap)
    place, tail = 0, wav.new_zeros(0)
    for first in range(0, len(plan), manner.together):
        batch = plan[first : first + manner.together]
        following = plan[first + manner.together].start if first + manner.together < len(plan) else total
        made = made_of([wav[run.start : run.stop] for run in batch], batch, model, voice, manner, **how)
        until = min(following, total)
        mixed = wav.new_zeros(max(batch[-1].stop, until) - place)
        mixed[: len(tail)] = tail
        for run, sung in zip(batch, made, strict=True):
            mixed[run.start - place : run.stop - place] += faded(sung, run)
        # what the next run will be added to is held back
        yield place, mixed[: until - place]
        tail, place = mixed[until - place :], until
    if place < total:
        yield place, F.pad(tail, (0, total - place - len(tail)))


@torch.no_grad()
def made_of(
    wavs: Sequence[Tensor],
    places: Sequence[Run],
    model: Diffusion,
    voice: Voice,
    manner: Manner,
    **how: Any,
) -> list[Tensor]:
    """Each piece of a recording in the voice of the model, as long as it was.

    Args:
        wavs: (L_i,) at the rate of the model's mels.
        places: where they lie, of which their noise depends.
        model: of a voice.
        voice: how it hears and is heard.
        manner: how they are converted.
        **how: for :func:`zoo.sample`.
    """
    rate, hop = voice.mel.sample_rate, voice.mel.hop
    # silence behind a piece, so that it has at least one frame and its last samples are in one
    mels = [voice.mel(F.pad(wav, (0, hop + (-len(wav) % hop)))) for wav in wavs]
    counts = [mel.shape[-1] for mel in mels]
    pitches = [
        shifted(voice.f0(wav, rate, hop=hop, frames=count), manner.key) for wav, count in zip(wavs, counts, strict=True)
    ]
    if manner.strength:
        features = [_features(wav, mel, pitch, voice) for wav, mel, pitch in zip(wavs, mels, pitches, strict=True)]
        made = _sampled(features, mels, places, model, manner, **how)
    else:
        made = mels
    sung = []
    for wav, mel, pitch, place in zip(wavs, made, pitches, places, strict=True):
        found = sound_of(mel, pitch, voice, seed=manner.seed + place.start)
        found = F.pad(found, (0, max(0, len(wav) - len(found))))[: len(wav)]
        found = matched(found, wav, hop=hop, mix=manner.match_loudness)
        sung.append(found if manner.gate_db is None else gated(found, wav, hop=hop, threshold_db=manner.gate_db))
    return sung


def sound_of(mel: Tensor, f0: Tensor, voice: Voice, *, seed: int = 0) -> Tensor:
    """A mel (M, T) of the model, with its pitch (T,) in Hz, as sound (L,) at the rate of the mel."""
    vocoder = voice.vocoder
    # one that does not need the pitch may still be better with it
    told = gapless_hz(f0) if vocoder.gapless_f0 else f0
    if not mel.isfinite().all():
        raise VoiceError("the model made numbers that are not finite: take more steps, or another sampler")
    made = vocoder(in_log(mel[None], voice.mel.log, vocoder.log), told[None], seed=seed)
    if not made.isfinite().all():
        raise VoiceError("the vocoder made numbers that are not finite: the mel of this model is none of a voice")
    return audio.resample(made[0].float().cpu(), vocoder.sample_rate, voice.mel.sample_rate)


def _features(wav: Tensor, mel: Tensor, pitch: Tensor, voice: Voice) -> dict[str, Tensor]:
    """What the conditioner is told of a piece, by name, without a batch."""
    rate, hop, frames = voice.mel.sample_rate, voice.mel.hop, mel.shape[-1]
    units = voice.units(wav, rate)
    loudness = volume(wav, hop)
    # DDSP-SVC's models were trained on pitch without gaps in Hz; the others close them by themselves
    gapless = voice.rule == "ddsp-svc"
    return {
        "units": units,
        "f0": gapless_hz(pitch) if gapless else pitch,
        "mel2ph": mel2ph(len(units), frames, rule=voice.rule, per_frame=voice.units.rate * hop / rate),
        "energy": energy(mel, voice.mel.log),
        "volume": F.pad(loudness, (0, max(0, frames - len(loudness))))[:frames],
    }


class _FrameByFrame:
    """Noise of pieces that are padded to one length: what a piece gets does not depend on the others.

    Args:
        seeds: one a piece.
        counts: frames of each.
    """

    def __init__(self, seeds: Sequence[int], counts: Sequence[int]) -> None:
        self._counts = counts
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, x_t: Tensor, now: GridPoint, next: GridPoint) -> Tensor:
        drawn = torch.zeros_like(x_t)
        for row, count, generator in zip(drawn, self._counts, self._generators, strict=True):
            # on the CPU: the same on every device
            row[:, :count] = torch.randn(count, len(row), generator=generator, dtype=x_t.dtype).T
        return drawn


def _sampled(
    features: Sequence[Mapping[str, Tensor]],
    mels: Sequence[Tensor],
    places: Sequence[Run],
    model: Diffusion,
    manner: Manner,
    **how: Any,
) -> list[Tensor]:
    """The mel of each piece as the model makes it; those that are shorter are masked."""
    counts = [mel.shape[-1] for mel in mels]
    longest = max(counts)

    def batch(name: str) -> Tensor:
        rows = [one[name] for one in features]
        most = max(len(row) for row in rows)
        return torch.stack([F.pad(row, (0, 0) * (row.ndim - 1) + (0, most - len(row))) for row in rows])

    cond: dict[str, Any] = {name: batch(name) for name in features[0]}
    if len(set(counts)) > 1:
        cond["lengths"] = torch.tensor(counts)
    if manner.speaker is not None:
        tables = (getattr(model.conditioner, name, None) for name in ("spk_embed_proj", "spk_embed"))
        if all(table is None for table in tables):
            raise VoiceError("speaker: this model has a single voice; leave it out")
        mix = isinstance(manner.speaker, Mapping)
        cond["spk"] = manner.speaker if mix else torch.tensor([manner.speaker] * len(counts))
    if manner.strength < 1:
        low = min(float(mel.min()) for mel in mels)
        start = torch.stack([F.pad(mel, (0, longest - mel.shape[-1]), value=low) for mel in mels])
        schedule = model.schedule
        how["start"] = start.to(model.device)
        how["start_t"] = schedule.t_clean + manner.strength * (schedule.t_max - schedule.t_clean)
    how.setdefault("noise", _FrameByFrame([manner.seed + place.start for place in places], counts))
    made = sample(model, len(counts), shape=(mels[0].shape[0], longest), **how, **cond)
    return [mel[:, :count].float().cpu() for mel, count in zip(made, counts, strict=True)]
