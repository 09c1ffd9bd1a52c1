"""Voices during training: pictures of mels, and how they sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from registry import vocoders
from zoo import plots
from zoo.data.base import Preview
from zoo.voice import audio
from zoo.voice.base import Vocoder, VoiceError
from zoo.voice.features import in_log
from zoo.voice.mel import Mel


class Heard(Preview):
    """Slices of a voice, made anew from their units and pitch.

    Args:
        mel: the analysis that they were measured with.
        vocoder: its spec; where it is None or has no weights, griffin-lim lets them be heard.
        wholes: of each slice ``mel`` (M, T), ``units`` (U, C), ``f0``, ``mel2ph``, ``energy`` and ``volume`` (T,), and
            ``spk`` where there are several.
    """

    def __init__(self, mel: Mel, vocoder: Mapping[str, Any] | None, wholes: Sequence[Mapping[str, Tensor]]) -> None:
        self.mel, self._wholes = mel, wholes
        self._vocoder = self._built({"name": "griffin-lim"} if vocoder is None else vocoder)
        self.lengths = [whole["mel"].shape[-1] for whole in wholes]
        longest = max(self.lengths)
        self.shape = (mel.bins, longest)
        self.conditions = {
            name: torch.stack([F.pad(whole[name], (0, longest - whole[name].shape[-1])) for whole in wholes])
            for name in ("f0", "mel2ph", "energy", "volume")
        }
        most = max(len(whole["units"]) for whole in wholes)
        self.conditions["units"] = torch.stack(
            [F.pad(whole["units"].float(), (0, 0, 0, most - len(whole["units"]))) for whole in wholes]
        )
        self.conditions["lengths"] = torch.tensor(self.lengths)
        if "spk" in wholes[0]:
            self.conditions["spk"] = torch.stack([whole["spk"] for whole in wholes])

    def write(self, samples: Tensor, stem: Path) -> Path:
        """A picture of all mels over those of the recordings, and a .wav of each."""
        panels = {}
        for number, (whole, length) in enumerate(zip(self._wholes, self.lengths, strict=True)):
            mel = samples[number, :, :length].float().cpu()
            panels[f"{number}: recorded"] = whole["mel"]
            panels[f"{number}: made"] = mel
            wav = self._sound(mel[None], whole["f0"][None])
            audio.write(stem.with_name(f"{stem.name}-{number}.wav"), wav, self.mel.sample_rate)
        path = stem.with_suffix(".png")
        plots.mel_pictures(path, panels, seconds=self.mel.hop / self.mel.sample_rate, columns=2)
        return path

    def _sound(self, mel: Tensor, f0: Tensor) -> Tensor:
        try:
            return self._heard(mel, f0)
        except VoiceError:
            # its weights or its package are not here; what was learned can be heard all the same
            self._vocoder = self._built({"name": "griffin-lim"})
            return self._heard(mel, f0)

    def _heard(self, mel: Tensor, f0: Tensor) -> Tensor:
        return self._vocoder(in_log(mel, self.mel.log, self._vocoder.log), f0)[0]

    def _built(self, spec: Mapping[str, Any]) -> Vocoder:
        vocoder: Vocoder = vocoders.build(spec, path="voice.vocoder", mel=self.mel)
        return vocoder
