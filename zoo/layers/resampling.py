"""Halving and doubling of maps, and fitting them to sizes that can be halved."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ConvDownsample(nn.Module):
    """(B, C, H, W) -> (B, C, H / 2, W / 2) by a 3x3 convolution of stride 2, H and W even.

    The map is padded by one row and column of zeros on the right and at the bottom only, as in the TF code of
    DDPM (Ho et al. 2020): output i sees the inputs 2i, 2i + 1 and 2i + 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # type: ignore[no-any-return]


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
