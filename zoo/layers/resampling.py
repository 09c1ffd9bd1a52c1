"""Halving and doubling of maps, and fitting them to sizes that can be halved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvDownsample(nn.Module):
    """(B, C, H, W) -> (B, C, H / 2, W / 2) by a 3x3 convolution of stride 2, H and W even.

    Args:
        channels: of the map.
        symmetric: pad by zeros on all sides (ADM): output i sees the inputs 2i - 1, 2i and 2i + 1. Else on the right
            and at the bottom only, as in the TF code of DDPM (Ho et al. 2020): it sees 2i, 2i + 1 and 2i + 2.
    """

    def __init__(self, channels: int, *, symmetric: bool = False) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=int(symmetric))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        return self.conv(x if self.symmetric else F.pad(x, (0, 1, 0, 1)))  # type: ignore[no-any-return]


class PoolDownsample(nn.Module):
    """(B, C, H, W) -> (B, C, H // 2, W // 2): the mean of each 2x2 square."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        return F.avg_pool2d(x, kernel_size=2)


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W): nearest neighbour, then a 3x3 convolution when ``with_conv``."""

    def __init__(self, channels: int, *, with_conv: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1) if with_conv else None

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return x if self.conv is None else self.conv(x)


class FilterDownsample(nn.Module):
    """(B, C, H, W) -> (B, C, H / 2, W / 2): every second value of the map after a fixed low-pass filter.

    Args:
        taps: the filter along one side, of even length; [1, 1] is the mean of 2x2 squares, [1, 3, 3, 1] that of
            NCSN++ (Song et al. 2021). It is scaled to a sum of one.
        padded: surround the map by zeros, as many as the filter reaches beyond it; else the map has that border.
    """

    def __init__(self, taps: Sequence[float], *, padded: bool = True) -> None:
        super().__init__()
        self.taps, self.padding = tuple(taps), (len(taps) - 1) // 2 if padded else 0

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        kernel = _square(self.taps, 1.0, x.device, x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv2d(x, kernel, stride=2, padding=self.padding, groups=x.shape[1])


class FilterUpsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W): zeros between the values, then a fixed low-pass filter.

    Args:
        taps: the filter along one side, of even length; [1, 1] is nearest neighbour. It is scaled to a sum of two.
    """

    def __init__(self, taps: Sequence[float]) -> None:
        super().__init__()
        self.taps = tuple(taps)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        kernel = _square(self.taps, 4.0, x.device, x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv_transpose2d(x, kernel, stride=2, padding=(len(self.taps) - 1) // 2, groups=x.shape[1])


@cache
def _square(taps: tuple[float, ...], total: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The outer product of the taps with themselves, of this sum: (1, 1, f, f).

    Not a buffer: a file need not hold it, and a model that is built without memory need not wait for it.
    """
    with torch.inference_mode(mode=False):
        line = torch.tensor(taps, dtype=torch.float64)
        return (total * torch.outer(line, line) / line.sum() ** 2)[None, None].to(device, dtype)


def padded_size(size: int, factor: int) -> int:
    """The smallest multiple of ``factor`` that is at least ``size``."""
    return -(-size // factor) * factor


def pad_to_multiple(x: Tensor, factor: int) -> Tensor:
    """Pad the right and the bottom of x: (B, C, H, W) until ``factor`` divides both sides.

    The padding mirrors the map where both sides are long enough for it, else it repeats the border. A map
    that fits already is returned as it is.
    """
    height, width = x.shape[-2:]
    bottom, right = padded_size(height, factor) - height, padded_size(width, factor) - width
    if not bottom and not right:
        return x
    mirrored = bottom < height and right < width
    return F.pad(x, (0, right, 0, bottom), mode="reflect" if mirrored else "replicate")
