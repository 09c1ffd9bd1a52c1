"""What vocoders with weights share: they are read when first needed, and long mels are heard block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.core.noise import mixed
from zoo.voice.base import LogBase, Vocoder, VoiceError
from zoo.voice.mel import Mel
from zoo.voice.vocoders.files import Read, read
from zoo.voice.vocoders.generator import Generator
from zoo.voice.vocoders.source import HARMONICS

BLOCK = 512
"""Frames that are decoded at once, of all items together: a few hundred megabytes at 44.1 kHz."""
_LEAST = 128
"""Frames of a block in a large batch; in shorter ones the overlap would be most of the work."""

_SPAN = 64
"""Frames whose noise is drawn by one generator, so that no other cut into blocks moves it."""
_PHASES, _SOURCE, _PRE = range(3)


class Neural(Vocoder):
    """A generator with weights.

    Args:
        weights: path of a file or folder in one of the published layouts.
        mel: what the model makes; the weights are refused when their config says otherwise.
    """

    name: str

    def __init__(self, *, weights: str | None = None, mel: Mel | None = None) -> None:
        self.weights = weights
        self._mel = mel
        self._device: torch.device | str = "cpu"
        self._files: Read | None = None

    @property
    def network(self) -> Generator:
        """The generator, as arguments and recorded randomness can be given to it.

        Raises:
            VoiceError: there are no weights, they cannot be read, or are of another vocoder or another mel.
        """
        return self.files.network

    @property
    def sample_rate(self) -> int:  # type: ignore[override]  # known when the files are read
        """Of the sound, in Hz."""
        return self.network.sample_rate

    @property
    def hop(self) -> int:  # type: ignore[override]
        """Samples of a frame."""
        return self.network.hop

    @property
    def log(self) -> LogBase:  # type: ignore[override]
        """The logarithm of its mels."""
        return self.files.log

    @property
    def files(self) -> Read:
        """What the files hold, read once.

        Raises:
            VoiceError: as ``network``.
        """
        if self._files is not None:
            return self._files
        if self.weights is None:
            raise VoiceError(
                f"the vocoder {self.name!r} needs weights: weights=PATH of the file, with its config.json or "
                "config.yaml beside it; 'griffin-lim' and 'world' need none"
            )
        files = read(self.weights)
        self.take(files)
        return files

    def take(self, files: Read) -> Self:
        """Use files that have been read.

        Raises:
            VoiceError: they are of another vocoder or another mel.
        """
        self._refuse_others(files)
        files.network.requires_grad_(False).to(self._device)
        self._files = files
        return self

    def to(self, device: torch.device | str) -> Self:
        """Move the weights, now or when they are read."""
        self._device = device
        if self._files is not None:
            self._files.network.to(device)
        return self

    def __call__(self, mel: Tensor, f0: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Sound from mels, on the device of the weights.

        Args:
            mel: (B, M, T) in the logarithm ``log``.
            f0: (B, T) in Hz, 0 where unvoiced.
            seed: of phases and noise. Every item has the same, so that neither its place nor its neighbours matter.

        Returns:
            (B, T hop) float32 in [-1, 1].

        Raises:
            ShapeError: the mel has another number of bins, or f0 is missing or does not fit it.
            VoiceError: as ``network``.
        """
        block = max(_LEAST, BLOCK // max(1, len(mel)))
        return torch.cat(list(self.stream(mel, f0, seed=seed, block=block)), -1)

    @torch.no_grad()
    def stream(self, mel: Tensor, f0: Tensor | None = None, *, seed: int = 0, block: int = BLOCK) -> Iterator[Tensor]:
        """The same sound in pieces, each as soon as it is made.

        Blocks overlap by what a convolution reaches, and the phase of the source is that of the whole, so that the
        pieces are those of the whole but for the order of float32 sums.

        Args:
            mel: as in a call.
            f0: as in a call.
            seed: as in a call.
            block: frames of a piece.

        Yields:
            (B, block hop), the last one shorter.
        """
        if block < 1:
            raise ArgumentValueError(f"block must be at least 1 frame, got {block}")
        net = self.network
        mel, f0 = self._inputs(mel, f0)
        frames, reach = mel.shape[-1], net.reach
        pitch = None if f0 is None else net.track(f0)
        phases = _phases(seed).to(mel) if net.source_kind == "harmonics" else None
        for start in range(0, max(frames, 1), block):
            stop = min(start + block, frames)
            low, high = max(0, start - reach), min(frames, stop + reach)
            if high == low:
                yield mel.new_zeros(len(mel), 0)
                return
            source = pre = None
            if pitch is not None:
                noise = None
                if phases is not None:
                    noise = _noise(seed, _SOURCE, low, high, (net.hop, HARMONICS)).flatten(0, 1).to(mel)
                    noise = noise.expand(len(mel), -1, -1)
                source = net.source(pitch.part(low, high), rand_ini=phases, noise=noise)
            if net.noise_sigma:
                pre = _noise(seed, _PRE, low, high, (net.channels,)).T.to(mel).expand(len(mel), -1, -1)
            wav = net.decode(mel[..., low:high], source, pre)[:, 0]
            yield wav[:, (start - low) * net.hop : (stop - low) * net.hop]

    def _inputs(self, mel: Tensor, f0: Tensor | None) -> tuple[Tensor, Tensor | None]:
        net = self.network
        if mel.ndim != 3 or mel.shape[1] != net.mel_bins:
            raise ShapeError(f"{self.name}: expected a mel of shape (B, {net.mel_bins}, T), got {tuple(mel.shape)}")
        mel = mel.to(net.conv_pre.weight)
        if net.source_kind == "none":
            return mel, None
        wanted = (len(mel), mel.shape[-1])
        if f0 is None:
            if self.files.optional_f0:
                return mel, None
            raise ShapeError(f"{self.name}: f0 is missing: expected the pitch of the mel, of shape {wanted}, in Hz")
        if f0.shape != wanted:
            raise ShapeError(f"{self.name}: expected f0 of shape {wanted}, (B, T) of the mel, got {tuple(f0.shape)}")
        return mel, f0.to(mel)

    def _refuse_others(self, files: Read) -> None:
        net = files.network
        has = net.source_kind != "none"
        if has != self.needs_f0:
            other = "nsf-hifigan" if has else "hifigan"
            raise VoiceError(
                f"{files.path}: is a generator {'with' if has else 'without'} a source of pitch: that is the vocoder "
                f"{other!r}, not {self.name!r}"
            )
        if self._mel is None:
            return
        theirs = {"sample_rate": net.sample_rate, "hop": net.hop, "bins": net.mel_bins, **files.mel}
        wrong = [
            f"{name}: {value:g} in the vocoder, {getattr(self._mel, name):g} in the mel of the model"
            for name, value in theirs.items()
            if value != getattr(self._mel, name)
        ]
        if wrong:
            raise VoiceError(f"{files.path}: was trained for another mel\n    " + "\n    ".join(wrong))


def _phases(seed: int) -> Tensor:
    """Where the harmonics begin: (1, 9) in turns; the pitch itself begins at 0."""
    phases = torch.rand(1, HARMONICS, generator=torch.Generator().manual_seed(_of(seed, _PHASES, 0)))
    phases[:, 0] = 0
    return phases


def _noise(seed: int, kind: int, start: int, stop: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers of some frames, (stop - start, *shape) on the CPU, the same however they are cut."""
    first = start // _SPAN
    spans = [
        torch.randn(_SPAN, *shape, generator=torch.Generator().manual_seed(_of(seed, kind, span)))
        for span in range(first, -(-stop // _SPAN))
    ]
    return torch.cat(spans)[start - first * _SPAN : stop - first * _SPAN]


def _of(seed: int, kind: int, span: int) -> int:
    return mixed(mixed(seed * 0x9E3779B97F4A7C15 + kind) + span * 0xD1B54A32D192ED03)
