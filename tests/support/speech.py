"""Speech that needs no recordings: eSpeak NG, from its own package."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "She had your dark suit in greasy wash water all year.",
    "Please say one, two, three, four, five, six and seven.",
    "A rainbow is a division of white light into many beautiful colours.",
    "We were away a year ago, and nobody knew where we were.",
    "How much wood would a woodchuck chuck on a cold morning?",
)
CONFIG = {
    "inherits": "svc-16k",
    "denoiser": {"name": "diffnet", "mel_bins": 80, "cond_channels": 16, "residual_channels": 16, "layers": 2},
    "conditioner": {"name": "svc", "channels": 16, "unit_channels": 40},
    "voice": {"units": {"name": "mfcc"}, "vocoder": {"name": "griffin-lim"}},
    "data": {"frames": 32},
    "training": {"steps": 3, "batch_size": 4, "warmup_steps": 1, "sample_every": 3, "save_every": 3, "log_every": 1},
}
"""Of a model that is trained in a second, and needs no weights of others."""
_RETRIEVAL, _CHARS_UTF8 = 1, 1
_RATE, _PITCH = 1, 3


@functools.cache
def _espeak() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_RETRIEVAL, 500, espeakng_loader.get_data_path().encode(), 0)
    assert rate > 0
    return library, rate


def spoken(text: str, *, voice: str = "en", pitch: int = 50, words_a_minute: int = 160) -> tuple[Tensor, int]:
    """A sentence.

    Args:
        text: what is said.
        voice: of eSpeak NG, such as "en", "en+f3".
        pitch: 0 to 99.
        words_a_minute: how fast.

    Returns:
        (L,) float32 in [-1, 1], and its sample rate.
    """
    library, rate = _espeak()
    pieces: list[int] = []
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    @kind
    def heard(samples, count, _):
        if count > 0:
            pieces.extend(samples[:count])
        return 0

    library.espeak_SetSynthCallback(heard)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0
    library.espeak_SetParameter(_RATE, words_a_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    said = text.encode()
    assert library.espeak_Synth(said, len(said) + 1, 0, 0, 0, _CHARS_UTF8, None, None) == 0
    library.espeak_Synchronize()
    return torch.tensor(pieces, dtype=torch.float32) / 32_768, rate


def conversation(texts: Sequence[str] = TEXTS, **how: object) -> tuple[Tensor, int]:
    """All of them, one after the other."""
    parts = [spoken(text, **how) for text in texts]  # type: ignore[arg-type]
    return torch.cat([wav for wav, _ in parts]), parts[0][1]
