"""CREPE: a convolutional network on the waveform itself, by the rules of diff-svc."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.voice.audio import resample
from zoo.voice.base import F0, needed
from zoo.voice.f0.curves import at_times, on_frames
from zoo.voice.f0.sounds import check_range, frame_times, listen

_RATE, _HOP, _WINDOW = 16000, 80, 1024
_LOWEST, _HIGHEST = 32.0, 2006.0
_FIRST_CENTS, _CENTS = 1997.3794084376191, 20
"""Of the first class above 10 Hz, and from one to the next."""
_AT_ONCE = 128
"""Windows that the network sees at once; how many makes no difference to the result."""
_PATH = 1024
"""Windows of a Viterbi path: diff-svc begins a new one after so many, 5.12 s."""


class Crepe(F0):
    """The network's likeliest path over 360 pitches, every 5 ms (Kim et al. 2018).

        periodicity   median of 3 windows; 0 where the sound is below silence_db, A-weighted
        pitch         of the path; unvoiced where periodicity < threshold; then the mean of those voiced among 3 windows

    Args:
        f0_min: Hz, the lowest pitch looked for, 32 at least.
        f0_max: Hz, the highest, 2006 at most.
        model: "full", 22 million weights, or "tiny", 0.5 million; the package has both.
        threshold: of the periodicity below which a window is unvoiced, 0..1.
        silence_db: loudness below which it is.
        gaps: "kept", or "closed" by straight lines in Hz and level ends, as in diff-svc, where a curve has no
            unvoiced frame unless all are.

    Raises:
        ArgumentValueError: the range is none, or beyond the network's; or an unknown model or rule.
    """

    def __init__(
        self,
        *,
        f0_min: float = 40.0,
        f0_max: float = 1100.0,
        model: Literal["full", "tiny"] = "full",
        threshold: float = 0.05,
        silence_db: float = -60.0,
        gaps: Literal["kept", "closed"] = "kept",
    ) -> None:
        check_range(f0_min, f0_max)
        if f0_min < _LOWEST or f0_max > _HIGHEST:
            raise ArgumentValueError(
                f"crepe knows pitches of {_LOWEST:g} to {_HIGHEST:g} Hz, got {f0_min:g} to {f0_max:g}"
            )
        if model not in ("full", "tiny"):
            raise ArgumentValueError(f"model is full or tiny, got {model!r}")
        if gaps not in ("kept", "closed"):
            raise ArgumentValueError(f"gaps are kept or closed, got {gaps!r}")
        self.f0_min, self.f0_max = f0_min, f0_max
        self.model, self.threshold, self.silence_db, self.gaps = model, threshold, silence_db, gaps
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
        self._device = torch.device(device)
        return self

    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        wav = listen(wav, sample_rate, hop, frames)
        package = needed("torchcrepe", "f0 method crepe")
        if not wav.any():
            return torch.zeros(frames)
        found = self._track(package, resample(wav, sample_rate, _RATE))
        times = frame_times(frames, hop, sample_rate)
        if self.gaps == "kept":
            return on_frames(found, _HOP / _RATE, times)
        places = found.nonzero()[:, 0]
        return at_times(found[places], places * (_HOP / _RATE), times).float()

    @torch.no_grad()
    def _track(self, package: Any, wav: Tensor) -> Tensor:
        """The pitch every 80 samples of (L,) at 16 kHz, 0 where unvoiced."""
        count = len(wav) // _HOP + 1
        wav = F.pad(wav, (0, max(0, _WINDOW - len(wav))))[None]
        windows = package.preprocess(wav, _RATE, _HOP, batch_size=_AT_ONCE, device=self._device)
        likely = torch.cat([package.infer(some, self.model, device=self._device).cpu() for some in windows])

        def path(logits: Tensor) -> tuple[Tensor, Tensor]:
            # the package would add noise of a class's width to the pitch, another one each time
            classes = likeliest_path(logits[0].softmax(0))[None]
            return classes, 10 * ((_CENTS * classes + _FIRST_CENTS) / 1200).exp2()

        paths = [
            package.postprocess(
                some.T[None].contiguous(), self.f0_min, self.f0_max, decoder=path, return_periodicity=True
            )
            for some in torch.split(likely, _PATH)
        ]
        pitch, periodicity = (torch.cat(parts, 1) for parts in zip(*paths, strict=True))
        periodicity = package.filter.median(periodicity, 3)
        periodicity = package.threshold.Silence(self.silence_db)(periodicity, wav, _RATE, _HOP)
        pitch = package.filter.mean(package.threshold.At(self.threshold)(pitch, periodicity), 3)
        track: Tensor = pitch[0, :count].nan_to_num(nan=0.0)
        return track


def likeliest_path(likely: Tensor) -> Tensor:
    """The Viterbi path of CREPE: a step of d classes is (12 - d) times as likely as one of 11, and 12 are none.

    It is what the package finds, without the three seconds that a compiler takes at its first call.

    Args:
        likely: (C, N), each column adding up to 1.

    Returns:
        (N,) int64, a class for each column.
    """
    classes, count = likely.shape
    tiny = float(np.finfo(np.float32).tiny)
    place = np.arange(classes)
    steps = np.maximum(12 - abs(place[:, None] - place), 0).astype(np.float64)
    moves = np.log(steps / steps.sum(1, keepdims=True) + tiny).T  # [to, from]
    seen = np.log(likely.numpy() + tiny).T.astype(np.float64)
    came = np.zeros((count, classes), dtype=np.int64)
    best = seen[0]
    for n in range(1, count):
        reached = moves + best
        came[n] = reached.argmax(1)
        best = reached[place, came[n]] + seen[n]
    path = np.empty(count, dtype=np.int64)
    path[-1] = best.argmax()
    for n in range(count - 1, 0, -1):
        path[n - 1] = came[n, path[n]]
    return torch.from_numpy(path)
