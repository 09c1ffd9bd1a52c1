"""The image beside the maps of NCSN++: what a level is told of it, and what it says (Song et al. 2021, app. H)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.resampling import FilterDownsample
from zoo.layers.residual import Norm


class InputSkip(nn.Module):
    """Halves the image and adds it to the map: h + conv(image), the image going on as it is.

    Args:
        image_channels: of the image.
        channels: of the map.
        taps: of the filter.
    """

    def __init__(self, image_channels: int, channels: int, taps: tuple[float, ...]) -> None:
        super().__init__()
        self.halve = FilterDownsample(taps)
        self.conv = nn.Conv2d(image_channels, channels, kernel_size=1)

    def forward(self, h: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """h: (B, C, H, W), image: (B, C_i, 2H, 2W) -> the map, and the image (B, C_i, H, W)."""
        image = self.halve(image)
        return h + self.conv(image), image


class OutputSkip(nn.Module):
    """What a level says of the image: norm, silu, conv.

    Args:
        channels: of the level's map.
        out_channels: of the image.
        norm: makes the norm.
    """

    def __init__(self, channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.conv = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """h: (B, C, H, W) -> (B, out_channels, H, W)."""
        return self.conv(F.silu(self.norm(h)))  # type: ignore[no-any-return]
