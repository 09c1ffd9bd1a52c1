"""The network of RMVPE: a deep U-Net over a mel, then a recurrent layer, to the likelihood of 360 pitches.

Modules have the names of the public files (``rmvpe.pt``, ``model.pt``), so that they load as they are. B, C, T, M are
items, channels, frames and mel bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

CLASSES = 360
"""Pitches, 20 cents apart."""


class _ConvBlock(nn.Module):
    """Two 3x3 convolutions with what came in added, projected where the width changes."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)  # type: ignore[no-any-return]


def _row(before: int, after: int, blocks: int) -> nn.ModuleList:
    return nn.ModuleList(_ConvBlock(after if i else before, after) for i in range(blocks))


class _Level(nn.Module):
    """A row of blocks."""

    def __init__(self, before: int, after: int, blocks: int) -> None:
        super().__init__()
        self.conv = _row(before, after, blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.conv:
            x = block(x)
        return x


class _Rise(nn.Module):
    """Twice the resolution and half the width; then blocks over that and what the encoder had there."""

    def __init__(self, before: int, blocks: int) -> None:
        super().__init__()
        after = before // 2
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )
        self.conv2 = _row(before, after, blocks)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([self.conv1(x), skip], 1)
        for block in self.conv2:
            x = block(x)
        return x


@dataclass(frozen=True)
class Sizes:
    """What a network measures; the public one is the default.

    Args:
        blocks: of every level.
        levels: of the encoder and of the decoder; frames and bins are multiples of 2^levels.
        middle: levels between the two.
        channels: of the first level; each further one has twice as many.
        bins: M, of the mel.
        hidden: of each direction of the recurrent layers.
        recurrent: how many of these there are.
    """

    blocks: int = 4
    levels: int = 5
    middle: int = 4
    channels: int = 16
    bins: int = 128
    hidden: int = 256
    recurrent: int = 1

    @classmethod
    def of(cls, weights: Mapping[str, tuple[int, ...]]) -> Self:
        """The sizes of a file.

        Args:
            weights: the shapes of its tensors by their keys.

        Raises:
            KeyError: one that tells a size is missing.
        """

        def count(prefix: str) -> int:
            return len({key.removeprefix(prefix).partition(".")[0] for key in weights if key.startswith(prefix)})

        first = "fc.0.gru.weight_ih_l"
        return cls(
            blocks=count("unet.encoder.layers.0.conv."),
            levels=count("unet.encoder.layers."),
            middle=count("unet.intermediate.layers."),
            channels=weights["unet.encoder.layers.0.conv.0.conv.0.weight"][0],
            bins=weights[f"{first}0"][1] // weights["cnn.weight"][0],
            hidden=weights["fc.1.weight"][1] // 2,
            recurrent=sum(key.startswith(first) and not key.endswith("_reverse") for key in weights),
        )


class _Encoder(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        widths = [1, *(sizes.channels * 2**i for i in range(sizes.levels))]
        self.layers = nn.ModuleList(_Level(before, after, sizes.blocks) for before, after in pairwise(widths))
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, skips = self.bn(x), []
        for level in self.layers:
            skips.append(level(x))
            x = self.pool(skips[-1])
        return x, skips


class _Middle(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.channels * 2**sizes.levels
        self.layers = nn.ModuleList(
            _Level(width if i else width // 2, width, sizes.blocks) for i in range(sizes.middle)
        )

    def forward(self, x: Tensor) -> Tensor:
        for level in self.layers:
            x = level(x)
        return x


class _Decoder(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Rise(sizes.channels * 2**i, sizes.blocks) for i in range(sizes.levels, 0, -1))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for level, skip in zip(self.layers, reversed(skips), strict=True):
            x = level(x, skip)
        return x


class _UNet(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder, self.intermediate, self.decoder = _Encoder(sizes), _Middle(sizes), _Decoder(sizes)

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.encoder(x)
        return self.decoder(self.intermediate(x), skips)  # type: ignore[no-any-return]


class _BiGRU(nn.Module):
    def __init__(self, channels: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, num_layers=layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]  # type: ignore[no-any-return]


class RmvpeNet(nn.Module):
    """The likelihood of 360 pitches in each frame (Wei et al. 2023, fig. 1).

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.unet = _UNet(sizes)
        self.cnn = nn.Conv2d(sizes.channels, 3, 3, padding=1)
        self.fc = nn.Sequential(
            _BiGRU(3 * sizes.bins, sizes.hidden, sizes.recurrent), nn.Linear(2 * sizes.hidden, CLASSES)
        )

    def forward(self, mel: Tensor) -> Tensor:
        """mel: (B, M, T), ln, T a multiple of 2^levels -> (B, T, 360) of 0..1."""
        x = self.cnn(self.unet(mel.transpose(1, 2)[:, None]))  # (B, 3, T, M)
        return self.fc(x.transpose(1, 2).flatten(2)).sigmoid()  # type: ignore[no-any-return]
