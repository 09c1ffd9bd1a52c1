"""diff-svc's own way from a recording to another voice, step by step, where the numbers must be those of the old code.

What it does that :mod:`zoo.voice.convert` does not: it cuts at silences of its own slicer and never overlaps, a slice
goes through 16 bits, units lie a frame late, PLMS wastes its last evaluation, pitch has no gaps, frames that no unit
reaches are dropped, and sound of the vocoder that is too long is cut at the front, too short filled with its mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.diffusion import Diffusion
from zoo.core.errors import ArgumentValueError
from zoo.sampling import sample
from zoo.spacings.times import DiffSVC
from zoo.voice.audio import Sound, resample
from zoo.voice.base import VoiceError
from zoo.voice.f0.curves import denormalised, normalised
from zoo.voice.f0.from_mel import PitchOfMel
from zoo.voice.features import energy, in_log
from zoo.voice.mel import PwgMel
from zoo.voice.settings import Voice
from zoo.voice.slicing import slices
from zoo.voice.units.align import mel2ph

_LOWEST, _HIGHEST = -6.0, 1.5
"""``mel_vmin`` and ``mel_vmax`` of all published configs: what the vocoder gets is cut there."""


@dataclass(frozen=True, kw_only=True)
class OldManner:
    """The settings of diff-svc's inference, by our names.

    Args:
        key: semitones ("tran").
        interval: trained steps of one step of PLMS ("accelerate", "pndm_speedup"); 1 walks all, as DDPM.
        add_noise_step: of the noise that the mel of the source is given where the walk begins there
            ("use_gt_mel"); None begins with noise.
        threshold_db: of the slicer ("slice_db").
        seed: of all noise.

    Raises:
        ArgumentValueError: for a number outside its range.
    """

    key: float = 0.0
    interval: int = 20
    add_noise_step: int | None = None
    threshold_db: float = -40.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ArgumentValueError(f"interval is a number from 1, got {self.interval}")
        if self.add_noise_step is not None and self.add_noise_step <= self.interval:
            raise ArgumentValueError(
                f"add_noise_step is larger than the {self.interval} trained steps of one step: {self.add_noise_step} "
                "leaves none; take a larger one, or more steps"
            )
        if not abs(self.key) <= 60:
            raise ArgumentValueError(f"key is in semitones, at most 60, got {self.key:g}")


def as_old(
    sound: Sound, model: Diffusion, voice: Voice, manner: OldManner, *, pitch_of_mel: PitchOfMel | None = None
) -> Iterator[Tensor]:
    """Convert a recording as diff-svc does.

    Args:
        sound: the recording, at its own rate.
        model: loaded from a folder of diff-svc.
        voice: how it hears and is heard.
        manner: settings.
        pitch_of_mel: the net that 24 kHz models take the vocoder's pitch from ("use_pe"); None takes the source's.

    Yields:
        (L_i,) at the rate of the model's mels, which follow one another.

    Raises:
        VoiceError: the model was not loaded from diff-svc.
    """
    if voice.rule != "diff-svc" or model.conditioner is None:
        raise VoiceError("the old path is that of diff-svc's models: load its folder, with checkpoint and config.yaml")
    rate = voice.mel.sample_rate
    for number, part in enumerate(slices(sound.wav, sound.sample_rate, threshold_db=manner.threshold_db)):
        length = -(-(part.stop - part.start) * rate // sound.sample_rate)
        if part.silent:
            yield torch.zeros(length)
            continue
        wav = _through_16_bits(sound.wav[part.start : part.stop])
        here = replace(manner, seed=manner.seed + number)
        yield fitted(_slice(resample(wav, sound.sample_rate, rate), model, voice, here, pitch_of_mel), length)


def old_mel(
    model: Diffusion,
    units: Tensor,
    octaves: Tensor,
    mel2ph: Tensor,
    *,
    key: float = 0.0,
    interval: int = 20,
    energy: Tensor | None = None,
    uv: Tensor | None = None,
    ref_mel: Tensor | None = None,
    add_noise_step: int | None = None,
    **noise: Any,
) -> Tensor:
    """The mel that diff-svc makes of these features.

    Args:
        model: loaded from a file of diff-svc.
        units: (B, U, C).
        octaves: (B, T) gapless log2 Hz, before the key is shifted.
        mel2ph: (B, T) number of the unit of each frame, 0 for none.
        key: semitones.
        interval: trained steps of one step of PLMS, of the first ``K_step`` of the model; 1 walks all, as DDPM.
        energy: (B, T), of models that take it.
        uv: (B, T) positive where unvoiced, of models that hide the pitch there ("use_uv").
        ref_mel: (B, M, T) of the source, where the walk begins there.
        add_noise_step: of the noise that it is given.
        **noise: ``x_T``, ``noise`` or ``seed`` of :func:`zoo.sample`.

    Returns:
        (B, M, T) in the logarithm of the model, 0 where mel2ph is.
    """
    spacing: dict[str, Any] = {"name": "diff-svc", "interval": interval, "k_step": walked(model, add_noise_step)}
    start: dict[str, Any] = {}
    if add_noise_step is not None:
        start = {"start": ref_mel, "start_t": float(add_noise_step - 1)}
    walk: dict[str, Any] = {"sampler": "plms", "spacing": spacing}
    if interval == 1:
        walk = {"sampler": "ddpm", "guidance": "clip", "spacing": {**spacing, "end": "clean"}}
    features: dict[str, Any] = {"units": units, "f0": octaves, "mel2ph": mel2ph, "energy": energy, "uv": uv}
    if key:
        features["key_shift"] = torch.full((len(units),), key)
    made = sample(
        model,
        len(units),
        shape=(int((model.shape or (0,))[0] or 0), octaves.shape[1]),
        **walk,
        **start,
        **noise,
        **features,
    )
    return made * (mel2ph > 0)[:, None].to(made)


def walked(model: Diffusion, add_noise_step: int | None = None) -> int | None:
    """How many trained steps a walk passes: those from the noised mel, else ``K_step`` of the config; None is all."""
    spacing = model.sampling.spacing
    return add_noise_step or (spacing.k_step if isinstance(spacing, DiffSVC) else None)


def fitted(wav: Tensor, length: int) -> Tensor:
    """What a vocoder made, in so many samples: its last ones, or its mean behind it.

    Args:
        wav: (L,).
        length: how many are wanted.

    Returns:
        (length,).
    """
    if len(wav) >= length:
        return wav[len(wav) - length :]
    filled = torch.full((length,), float(wav.mean()) if len(wav) else 0.0)
    filled[: len(wav)] = wav
    return filled


def _slice(wav: Tensor, model: Diffusion, voice: Voice, manner: OldManner, pitch_of_mel: PitchOfMel | None) -> Tensor:
    rate, hop = voice.mel.sample_rate, voice.mel.hop
    mel = voice.mel(wav)
    frames = mel.shape[-1]
    if not frames:
        return wav.new_zeros(0)
    # the pitch of 24 kHz models is that of whole frames
    heard = F.pad(wav, (0, frames * hop - len(wav))) if isinstance(voice.mel, PwgMel) else wav
    octaves, uv = normalised(voice.f0(heard, rate, hop=hop, frames=frames))
    units = voice.units(wav, rate)
    places = mel2ph(len(units), frames, rule="diff-svc")
    made = old_mel(
        model,
        units[None],
        octaves[None].float(),
        places[None],
        key=manner.key,
        interval=manner.interval,
        energy=energy(mel, voice.mel.log)[None],
        uv=uv[None],
        ref_mel=mel[None].to(model.device),
        add_noise_step=manner.add_noise_step,
        seed=manner.seed,
    )[0].cpu()
    kept = made.abs().sum(0) > 0
    if not kept.any():
        return wav.new_zeros(0)
    gaps = uv if getattr(model.conditioner, "use_uv", False) else None
    pitch = denormalised(octaves + manner.key / 12, gaps).float() * (places > 0)
    pitch = pitch.masked_fill(pitch > float(getattr(model.conditioner, "f0_max", float("inf"))), 1.0)
    if pitch_of_mel is not None:
        pitch = pitch_of_mel(made[None])[0]
    made, pitch = made[:, kept].clamp(_LOWEST, _HIGHEST), pitch[kept]
    vocoder = voice.vocoder
    return vocoder(in_log(made[None], voice.mel.log, vocoder.log), pitch[None], seed=manner.seed)[0].float().cpu()


def _through_16_bits(wav: Tensor) -> Tensor:
    """As it comes back from the file that the old code writes a slice to."""
    return (wav.clamp(-1, 1) * 32_767).round() / 32_768
