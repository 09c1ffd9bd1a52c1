"""What conditioners are told beside units and pitch, from a mel or a recording."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from zoo.voice.base import LN_OF_10, LogBase


def energy(mel: Tensor, log: LogBase) -> Tensor:
    """diff-svc's loudness of each frame: sqrt(sum over bins of exp(mel)^2), of the decimal logarithm as it is.

    Args:
        mel: (..., M, T).
        log: the logarithm that it is in.

    Returns:
        (..., T).
    """
    return in_log(mel, log, "log10").exp().square().sum(-2).sqrt()


def in_log(mel: Tensor, before: LogBase, after: LogBase) -> Tensor:
    """A mel in another logarithm, by diff-svc's factor between the two."""
    if before == after:
        return mel
    return mel * LN_OF_10 if after == "ln" else mel / LN_OF_10


def volume(wav: Tensor, hop: int) -> Tensor:
    """DDSP-SVC's loudness: the root mean square of each hop, around the samples 0, hop, 2 hop, ...

    Args:
        wav: (L,).
        hop: samples from frame to frame.

    Returns:
        (L // hop + 1,).
    """
    if not len(wav):
        return wav.new_zeros(1)
    half = hop // 2
    # mirrored, and held at the ends where the sound is shorter than that
    mode = "reflect" if len(wav) > (hop + 1) // 2 else "replicate"
    padded = F.pad(wav.square()[None], (half, (hop + 1) // 2), mode=mode)[0]
    return padded[: (len(wav) // hop + 1) * hop].reshape(-1, hop).mean(1).sqrt()
