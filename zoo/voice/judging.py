"""How good conversions are: whose voice it is, whether melody and words stayed, how clean it sounds.

A jury hears every recording once; what it heard of two recordings is then compared, which costs nothing. So a source
that was converted in five ways is heard once, not five times.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from zoo.core.errors import ShapeError
from zoo.voice.base import F0
from zoo.voice.judges.pitch import PitchAgreement, pitch_agreement, together
from zoo.voice.judges.quality import Dnsmos, Quality
from zoo.voice.judges.speaker import SAMPLE_RATE, pretrained
from zoo.voice.judges.words import Errors, Phonemes, Whisper

_HOP = 160
"""Samples from one pitch to the next: 10 ms."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a jury hears in one recording.

    Args:
        voice: (256,) of length 1.
        f0: (T,) in Hz, every 10 ms, 0 where unvoiced.
        words: in English; None where it is another language.
        phonemes: in the phonetic alphabet.
        quality: how clean it sounds.
    """

    voice: Tensor
    f0: Tensor
    words: tuple[str, ...] | None
    phonemes: tuple[str, ...]
    quality: Quality


class Jury:
    """All judges, each with the weights that its package carries.

    Args:
        f0: what finds the pitch; not what the conversion used, or their mistakes agree.

    Raises:
        VoiceError: the package of a judge is not installed.
    """

    def __init__(self, f0: F0) -> None:
        self._f0 = f0
        self._voice = pretrained()
        self._phonemes = Phonemes()
        self._quality = Dnsmos()

    @functools.cached_property
    def _words(self) -> Whisper:
        return Whisper()

    def hear(self, wav: Tensor, *, english: bool = False) -> Heard:
        """Listen to a recording.

        Args:
            wav: (L,) float32 in [-1, 1] at 16 kHz.
            english: whether its words can be understood.

        Raises:
            ShapeError: wav is not (L,).
            VoiceError: it is silent, or a package is missing that English words need.
        """
        if wav.ndim != 1:
            raise ShapeError(f"wav: expected (L,), got {tuple(wav.shape)}")
        wav = wav.detach().float().cpu()
        return Heard(
            voice=self._voice.embed(wav),
            f0=self._f0(wav, SAMPLE_RATE, hop=_HOP, frames=1 + len(wav) // _HOP),
            words=self._words(wav) if english else None,
            phonemes=self._phonemes(wav),
            quality=self._quality(wav),
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a recording is worth, beside the voice that is wanted and beside what it was made from.

    Args:
        target: cosine to the wanted voice.
        source: cosine to the voice that was converted; None for a recording of the wanted voice.
        quality: how clean it sounds.
        pitch: how its pitch follows the source's; None for a recording that was not made from another.
        words: errors against the words that were heard in the source.
        phonemes: the same of phonemes.
    """

    target: float
    source: float | None
    quality: Quality
    pitch: PitchAgreement | None = None
    words: Errors | None = None
    phonemes: Errors | None = None


def judge(
    heard: Heard, *, target: Tensor, source: Tensor | None = None, made_from: Heard | None = None, key: float = 0.0
) -> Verdict:
    """Compare what was heard.

    Args:
        heard: in the recording to judge.
        target: (256,) the wanted voice, a centroid of recordings that are not this one.
        source: (256,) the voice that was converted, likewise; None for a recording of the wanted voice.
        made_from: what was heard in the recording that it was made from; None for an original.
        key: semitones that the conversion was asked to move the pitch up.
    """
    verdict = Verdict(
        target=float(heard.voice @ target),
        source=None if source is None else float(heard.voice @ source),
        quality=heard.quality,
    )
    if made_from is None:
        return verdict
    return replace(
        verdict,
        pitch=pitch_agreement(made_from.f0, heard.f0, key=key),
        words=None if made_from.words is None else Errors.between(made_from.words, heard.words or ()),
        phonemes=Errors.between(made_from.phonemes, heard.phonemes),
    )


def summary(verdicts: Sequence[Verdict]) -> dict[str, float | int | None]:
    """The numbers of a table, over recordings of one kind.

    Cosines and opinions are means, error rates are edits over the length of all references, pitch counts frames.

    Raises:
        ShapeError: there are none.
    """
    if not verdicts:
        raise ShapeError("a summary needs a verdict")
    qualities = [verdict.quality for verdict in verdicts]
    sources = [verdict.source for verdict in verdicts if verdict.source is not None]
    pitch = together(verdict.pitch for verdict in verdicts if verdict.pitch)
    return {
        "clips": len(verdicts),
        "target_similarity": _mean([verdict.target for verdict in verdicts]),
        "source_similarity": _mean(sources),
        "f0_correlation": pitch.correlation if pitch else None,
        "f0_rmse_cents": pitch.cents if pitch else None,
        "voicing_agreement": pitch.voicing if pitch else None,
        "word_error_rate": Errors.together(verdict.words for verdict in verdicts if verdict.words).rate,
        "phoneme_error_rate": Errors.together(verdict.phonemes for verdict in verdicts if verdict.phonemes).rate,
        "dnsmos_overall": _mean([quality.overall for quality in qualities]),
        "dnsmos_signal": _mean([quality.signal for quality in qualities]),
        "dnsmos_background": _mean([quality.background for quality in qualities]),
    }


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None
