"""The two pitch methods of the WORLD vocoder."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError
from zoo.voice.base import F0, needed
from zoo.voice.f0.sounds import check_range, fit, listen

_PERIODS = 12
"""Periods of the lowest pitch that a sound is filled up to with silence: WORLD's filters run out of shorter ones."""


@dataclass(frozen=True, kw_only=True)
class _World(F0):
    f0_min: float
    f0_max: float

    def __post_init__(self) -> None:
        check_range(self.f0_min, self.f0_max)

    def __call__(self, wav: Tensor, sample_rate: int, *, hop: int, frames: int) -> Tensor:
        wav = listen(wav, sample_rate, hop, frames)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the package finds its own version
            world = needed("pyworld", "the f0 methods harvest and dio")
        if not wav.any():
            return torch.zeros(frames)
        wav = F.pad(wav, (0, max(0, int(_PERIODS / self.f0_min * sample_rate) + 1 - len(wav))))
        return fit(
            torch.from_numpy(self._find(world, wav.double().numpy(), sample_rate, 1000 * hop / sample_rate)), frames
        )

    @abstractmethod
    def _find(self, world: Any, wav: NDArray[np.float64], sample_rate: int, milliseconds: float) -> NDArray[np.float64]:
        """The pitch every so many milliseconds from sample 0 on."""


@dataclass(frozen=True, kw_only=True)
class Harvest(_World):
    """Zero crossings in many narrow bands, refined and joined to contours (Morise 2017): slow and careful.

    It calls more frames voiced than the others do, and leaves few gaps.

    Args:
        f0_min: Hz, the lowest pitch looked for.
        f0_max: Hz, the highest.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max.
    """

    f0_min: float = 65.0
    f0_max: float = 800.0

    def _find(self, world: Any, wav: NDArray[np.float64], sample_rate: int, milliseconds: float) -> NDArray[np.float64]:
        found: NDArray[np.float64]
        found, _ = world.harvest(wav, sample_rate, f0_floor=self.f0_min, f0_ceil=self.f0_max, frame_period=milliseconds)
        return found


@dataclass(frozen=True, kw_only=True)
class Dio(_World):
    """Zero crossings in a few bands, then StoneMask by instantaneous frequency (Morise et al. 2009): fast.

    Args:
        f0_min: Hz, the lowest pitch looked for.
        f0_max: Hz, the highest.
        channels_in_octave: bands in an octave.

    Raises:
        ArgumentValueError: not 0 < f0_min < f0_max, or no band.
    """

    f0_min: float = 65.0
    f0_max: float = 800.0
    channels_in_octave: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels_in_octave > 0:
            raise ArgumentValueError(f"channels_in_octave must be above 0, got {self.channels_in_octave:g}")

    def _find(self, world: Any, wav: NDArray[np.float64], sample_rate: int, milliseconds: float) -> NDArray[np.float64]:
        rough, times = world.dio(
            wav,
            sample_rate,
            f0_floor=self.f0_min,
            f0_ceil=self.f0_max,
            channels_in_octave=self.channels_in_octave,
            frame_period=milliseconds,
        )
        found: NDArray[np.float64] = world.stonemask(wav, rough, times, sample_rate)
        return found
