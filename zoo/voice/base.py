"""What the parts of a voice chain promise to each other, so that each can be swapped by name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from registry.entry import DISTRIBUTION
from zoo.core.errors import ZooError

LogBase = Literal["ln", "log10"]

LN_OF_10 = 2.30259
"""By which diff-svc multiplies a log10 mel for a vocoder that takes natural logarithms; not quite ln 10."""


class VoiceError(ZooError, ValueError):
    """Sound, weights or settings of a voice that cannot be used."""


class F0(ABC):
    """How the pitch of a voice is found. The constructor is cheap: weights are read when they are first needed."""

    @abstractmethod
    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        """The pitch around the samples 0, hop, 2 hop, ...

        Args:
            wav: (L,) float32 in [-1, 1].
            sample_rate: of it, in Hz.
            hop: samples from one frame to the next.
            frames: how many are wanted; what lies behind the end of the sound is unvoiced.

        Returns:
            (frames,) float32, in Hz, 0 where unvoiced.

        Raises:
            VoiceError: a package or weights that the method needs are not there.
        """

    def to(self, device: torch.device | str) -> Self:
        """Move what has tensors; methods without any stay where they are."""
        return self


class Units(ABC):
    """What is said, without the voice that says it: a vector every few milliseconds.

    The constructor is cheap: weights are read when they are first needed.

    Attributes:
        channels: of a unit.
        rate: units a second.
    """

    channels: int
    rate: float

    @abstractmethod
    def __call__(self, wav: Tensor, sample_rate: int) -> Tensor:
        """The units of a recording.

        Args:
            wav: (L,) float32 in [-1, 1].
            sample_rate: of it, in Hz; it is resampled to what the encoder was trained with.

        Returns:
            (U, channels) float32, on the CPU.

        Raises:
            VoiceError: a package or weights that the encoder needs are not there, or the sound is too short.
        """

    def to(self, device: torch.device | str) -> Self:
        """Move what has tensors; encoders without any stay where they are."""
        return self


class Vocoder(ABC):
    """From a mel back to sound.

    Attributes:
        log: the logarithm that its mels are in.
        needs_f0: whether it has to be told the pitch.
        gapless_f0: whether it is told one where nothing is voiced too, as it was trained.
        sample_rate: of what it makes, in Hz.
        hop: samples of a frame.
    """

    log: LogBase = "ln"
    needs_f0: ClassVar[bool] = False
    gapless_f0: ClassVar[bool] = False
    sample_rate: int
    hop: int

    @abstractmethod
    def __call__(self, mel: Tensor, f0: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Sound from mels.

        Args:
            mel: (B, M, T) in the logarithm ``log``.
            f0: (B, T) in Hz, 0 where unvoiced.
            seed: of whatever is random; an item does not depend on those beside it.

        Returns:
            (B, T hop) float32 in [-1, 1].

        Raises:
            ShapeError: the mel has another number of bins, or f0 is missing or does not fit it.
        """

    def to(self, device: torch.device | str) -> Self:
        """Move what has tensors; vocoders without any stay where they are."""
        return self


def needed(module: str, who: str) -> Any:
    """An optional package, imported now.

    Args:
        module: its import name.
        who: the part that needs it, as messages call it.

    Raises:
        VoiceError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise VoiceError(
            f"{who} needs the package {(error.name or module).partition('.')[0]}: pip install '{DISTRIBUTION}[voice]'"
        ) from None
