"""The parts of a voice chain, built from the ``voice`` section of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from registry import f0, mels, units, vocoders
from zoo.voice.base import F0, Units, Vocoder, VoiceError
from zoo.voice.mel import Mel

PATHS = ("weights", "checkpoint")
"""Arguments that say where something is, not what it is."""


def bare(section: Mapping[str, Any]) -> dict[str, Any]:
    """A ``voice`` section without paths, which differ from machine to machine."""
    return {
        key: {name: value for name, value in spec.items() if name not in PATHS} for key, spec in section.items() if spec
    }


@dataclass(frozen=True)
class Parts:
    """What a model of voices is made from and heard by.

    Args:
        mel: the analysis that the model's mels come from.
        f0: how pitch is found.
        units: what is said.
        vocoder: from mel to sound; None where the config names none.
    """

    mel: Mel
    f0: F0
    units: Units
    vocoder: Vocoder | None

    def to(self, device: torch.device | str) -> Parts:
        """The same on another device."""
        return Parts(
            self.mel,
            self.f0.to(device),
            self.units.to(device),
            None if self.vocoder is None else self.vocoder.to(device),
        )


def build(section: Mapping[str, Any]) -> Parts:
    """The parts that a ``voice`` section names.

    Args:
        section: ``mel``, ``f0`` and ``units``, and ``vocoder`` or not.

    Raises:
        VoiceError: one is missing.
        RegistryError: there is no such part, or its arguments are wrong.
    """
    for key in ("mel", "f0", "units"):
        if not section.get(key):
            raise VoiceError(f"voice.{key} is missing in the config: name one of `zoo list {key.rstrip('s')}*`")
    mel: Mel = mels.build(section["mel"], path="voice.mel")
    return Parts(
        mel,
        f0.build(section["f0"], path="voice.f0"),
        units.build(section["units"], path="voice.units"),
        vocoders.build(section["vocoder"], path="voice.vocoder", mel=mel) if section.get("vocoder") else None,
    )
