"""From a mel back to the spectrum that it was summed up from, as far as its triangles tell."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ShapeError
from zoo.voice.mel import Mel

_STEPS = 30


def magnitudes(mel: Tensor, analysis: Mel) -> Tensor:
    """Magnitudes whose mel is the given one.

    No magnitude is negative. Each step multiplies them by how much the mel asks for more, which lowers the divergence
    sum(m log(m / Bx) - m + Bx): quiet bins count beside loud ones as they do in a log mel.

    Args:
        mel: (B, M, T) in the logarithm of the analysis.
        analysis: that it was made by.

    Returns:
        (B, n_fft // 2 + 1, T), 0 where no triangle is.

    Raises:
        ShapeError: the mel has another number of bins.

    References:
        Lee & Seung 2000, Algorithms for non-negative matrix factorization, equation 5.
    """
    if mel.ndim != 3 or mel.shape[1] != analysis.bins:
        raise ShapeError(f"expected a mel of shape (B, {analysis.bins}, T), got {tuple(mel.shape)}")
    mel = mel.float()
    wanted = mel.exp() if analysis.log == "ln" else torch.pow(10.0, mel)
    basis = analysis.basis.to(wanted)
    tiny = torch.finfo(wanted.dtype).tiny
    size = basis.T @ wanted / (basis.T @ basis.sum(1, keepdim=True)).clamp(min=tiny)
    weight = basis.sum(0)[:, None].clamp(min=tiny)
    for _ in range(_STEPS):
        size = size * (basis.T @ (wanted / (basis @ size).clamp(min=tiny))) / weight
    return size


def centre(analysis: Mel) -> int:
    """The sample that the window of the first frame has in its middle."""
    # an analysis that starts on the first sample has one frame more than hops
    return 0 if analysis.frames(8 * analysis.hop) > 8 else analysis.hop // 2
