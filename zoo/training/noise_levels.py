"""The loss by how much noise there was: one mean would hide which levels are learned and which are not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

WIDTH = 2
"""Of a bin, in ln SNR."""

_LAST = 12
_MIDDLES = range(-_LAST, _LAST + 1, WIDTH)


class ByNoise:
    """Running means of the unweighted loss over bins of ln SNR = 2 ln(alpha / sigma).

    A bin has its middle for a name, and reaches WIDTH / 2 to both sides; the first and the last one reach on.

    Args:
        state: what :meth:`state` returned.
    """

    def __init__(self, state: Mapping[int, tuple[float, int]] | None = None) -> None:
        self._sums: dict[int, tuple[float, int]] = dict(state or {})

    def add(self, log_snr: Tensor, losses: Tensor) -> None:
        """Count examples.

        Args:
            log_snr: (B,), infinite at clean data and at pure noise.
            losses: (B,)
        """
        middles = (log_snr.clamp(-_LAST, _LAST) / WIDTH).round().long() * WIDTH
        for middle, loss in zip(middles.tolist(), losses.tolist(), strict=True):
            total, count = self._sums.get(middle, (0.0, 0))
            self._sums[middle] = total + loss, count + 1

    def table(self) -> Tensor:
        """The sums and counts of all bins, (bins, 2) float64."""
        return torch.tensor([self._sums.get(middle, (0.0, 0)) for middle in _MIDDLES], dtype=torch.float64)

    def merge(self, table: Tensor) -> None:
        """Count the examples of a :meth:`table`."""
        for middle, (loss, count) in zip(_MIDDLES, table.tolist(), strict=True):
            if count:
                total, before = self._sums.get(middle, (0.0, 0))
                self._sums[middle] = total + loss, before + round(count)

    def means(self) -> dict[str, float]:
        """The mean of each bin that has any examples, the noisiest first."""
        return {str(middle): total / count for middle, (total, count) in sorted(self._sums.items())}

    def state(self) -> dict[int, tuple[float, int]]:
        """The sums and counts, to go on from."""
        return dict(self._sums)
