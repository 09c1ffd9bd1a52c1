"""How a model hears: from its own ``voice`` section, or from what its old config said of the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from registry import f0, mels, units, vocoders
from zoo.conditioners.unit2mel import Unit2Mel
from zoo.core.diffusion import Diffusion
from zoo.voice import vocoders as files
from zoo.voice.base import F0, Units, Vocoder, VoiceError
from zoo.voice.mel import Mel
from zoo.voice.units.align import Rule

Spec = str | Mapping[str, Any]

_UNITS: dict[str, dict[str, Any]] = {
    "hubertsoft": {"name": "hubert-soft"},
    "hubertbase": {"name": "contentvec", "dim": 256},
    "hubertbase768": {"name": "hubert", "layer": 9},
    "hubertbase768l12": {"name": "hubert", "layer": 12},
    "hubertlarge1024l24": {"name": "hubert", "channels": 1024, "layer": 24},
    "contentvec": {"name": "contentvec", "dim": 256},
    "contentvec768": {"name": "hubert", "layer": 9},
    "contentvec768l12": {"name": "contentvec", "dim": 768},
    "vec256l9": {"name": "contentvec", "dim": 256},
    "vec768l12": {"name": "contentvec", "dim": 768},
}
"""What configs of DDSP-SVC and so-vits-svc call their encoders."""


@dataclass(frozen=True)
class Voice:
    """Everything around a model of voices.

    Args:
        mel: the analysis that its mels come from.
        f0: how pitch is found.
        units: what is said.
        vocoder: from its mel to sound.
        rule: how units are brought to frames.
    """

    mel: Mel
    f0: F0
    units: Units
    vocoder: Vocoder
    rule: Rule

    def to(self, device: torch.device | str) -> Voice:
        """The same on another device."""
        return Voice(self.mel, self.f0.to(device), self.units.to(device), self.vocoder.to(device), self.rule)


def voice_of(
    model: Diffusion,
    *,
    f0_: Spec | F0 | None = None,
    units_: Spec | Units | None = None,
    vocoder_: Spec | Vocoder | None = None,
) -> Voice:
    """What a model hears with and is heard by; arguments stand in for what it does not say, or override it.

    Args:
        model: trained by the zoo on voices, or imported from diff-svc or DDSP-SVC.
        f0_: a pitch method.
        units_: a unit encoder.
        vocoder_: a vocoder; as a string also the path of one.

    Raises:
        VoiceError: neither the model nor the arguments say something.
        RegistryError: there is no such part, or its arguments are wrong.
    """
    config = dict(model.config)
    section: Mapping[str, Any] = config.get("voice") or _of_old(config.get("notes", {}), model.shape)
    if "mel" not in section:
        raise VoiceError(
            "the config of this model does not say what sound its mels are of, so it is no model of voices; "
            "those are trained from a config with a voice section, or loaded with the config.yaml of their project"
        )
    mel: Mel = mels.build(section["mel"], path="voice.mel")
    return Voice(
        mel,
        _built(f0, "f0", f0_, section),
        _built(units, "units", units_, section),
        _vocoder(vocoder_, section, mel),
        _rule(model),
    )


def _rule(model: Diffusion) -> Rule:
    """How units were brought to frames where the model was trained."""
    if "voice" in model.config:
        return "centred"
    return "ddsp-svc" if isinstance(model.conditioner, Unit2Mel) else "diff-svc"


def _built(registry: Any, key: str, given: Any, section: Mapping[str, Any]) -> Any:
    spec = section.get(key) if given is None else given
    if spec is None:
        raise VoiceError(f"the config of this model names no {key}: pass one of `zoo list {key}`")
    return registry.build(spec, path=f"voice.{key}") if isinstance(spec, str | Mapping) else spec


def _vocoder(given: Spec | Vocoder | None, section: Mapping[str, Any], mel: Mel) -> Vocoder:
    if isinstance(given, Vocoder):
        return given
    if isinstance(given, str) and given not in vocoders:
        return files.load(given, mel=mel)
    spec = section.get("vocoder") if given is None else given
    if spec is None:
        raise VoiceError("the config of this model names no vocoder: pass a path, or one of `zoo list vocoders`")
    built: Vocoder = vocoders.build(spec, path="voice.vocoder", mel=mel)
    return built


def _of_old(notes: Mapping[str, str], shape: Sequence[int | None] | None) -> dict[str, Any]:
    """The section that an old config would have had, for mels of this shape."""
    rate = _number(notes, "audio_sample_rate") or _number(notes, "sampling_rate")
    if rate is None:
        return {}
    hop = _number(notes, "hop_size") or _number(notes, "block_size")
    ddsp = "block_size" in notes or "encoder" in notes
    name = "openvpi" if ddsp or notes.get("mel_base") == "e" else "pwg" if rate == 24_000 else "nsf-hifigan"
    sizes = {
        "sample_rate": rate,
        "bins": shape[0] if shape else None,
        "hop": hop,
        "win": _number(notes, "win_size"),
        "n_fft": _number(notes, "fft_size"),
        "fmin": _number(notes, "fmin"),
        "fmax": _number(notes, "fmax"),
    }
    mel = {"name": name, **{key: value for key, value in sizes.items() if value is not None}}
    pitch = {key: value for key in ("f0_min", "f0_max") if (value := _number(notes, key)) is not None}
    method = _method(notes, ddsp) | pitch
    if ddsp:
        encoder = _UNITS.get(notes.get("encoder", ""))
        return {"mel": mel, "f0": method, **({"units": encoder} if encoder else {})}
    content = {"name": "contentvec", "dim": 256} if notes.get("use_vec") == "True" else {"name": "hubert-soft"}
    return {"mel": mel, "f0": method, "units": content}


def _method(notes: Mapping[str, str], ddsp: bool) -> dict[str, Any]:
    """How the old project found pitch."""
    name = notes.get("f0_extractor", "parselmouth") if ddsp else "parselmouth"
    if name == "crepe" or notes.get("use_crepe") == "True":
        return {"name": "crepe", "gaps": "kept" if ddsp else "closed"}
    if name in ("dio", "fcpe", "harvest", "rmvpe"):
        return {"name": name}
    return {"name": "parselmouth", "pad": "openvpi" if ddsp else "diff-svc"}


def _number(notes: Mapping[str, str], name: str) -> int | float | None:
    try:
        value = float(notes[name])
    except (KeyError, ValueError):
        return None
    return int(value) if value.is_integer() else value
