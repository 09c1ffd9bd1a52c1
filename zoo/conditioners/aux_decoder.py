"""The auxiliary decoder of OpenVPI's DiffSinger: a first mel, from which shallow diffusion starts.

Parameters have the names of these files below ``aux_decoder.``, so that they load as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.core.conditioner import Conditioner
from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.frames import odd, positive


class ConvNeXtBlock(nn.Module):
    """x + gamma * (linear, gelu, linear)(norm(depthwise(x))) (Liu et al. 2022, A ConvNet for the 2020s, section 2)."""

    def __init__(self, channels: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T)."""
        h = self.norm(self.dwconv(x).transpose(1, 2))
        h = self.gamma * self.pwconv2(nn.functional.gelu(self.pwconv1(h)))
        return x + self.dropout(h.transpose(1, 2))  # type: ignore[no-any-return]


class ConvNeXtDecoder(nn.Module):
    """Convolution, blocks, convolution: (B, H, T) -> (B, M, T)."""

    def __init__(
        self, cond_channels: int, mel_bins: int, channels: int, layers: int, kernel_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.inconv = nn.Conv1d(cond_channels, channels, kernel_size, padding=kernel_size // 2)
        self.conv = nn.ModuleList(ConvNeXtBlock(channels, kernel_size, dropout) for _ in range(layers))
        self.outconv = nn.Conv1d(channels, mel_bins, kernel_size, padding=kernel_size // 2)

    def forward(self, cond: Tensor) -> Tensor:
        h = self.inconv(cond)
        for block in self.conv:
            h = block(h)
        return self.outconv(h)  # type: ignore[no-any-return]


class AuxDecoder(Conditioner):
    """The first mel of a shallow diffusion, by a small convolutional network: OpenVPI's ``convnext``.

    ``model.conditioner.mel(cond)`` is that mel; ``zoo.sample(model, start=mel, start_t=..., cond=cond)`` refines it.

    Args:
        mel_bins: M, bins of a mel frame.
        cond_channels: H, channels of the condition.
        channels: width of the network.
        layers: number of blocks.
        kernel_size: of all convolutions over frames; odd.
        low: what -1 becomes; a number, or one a bin.
        high: what 1 becomes; a number, or one a bin.
        dropout: probability of dropping a value at the end of a block, in training.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        cond_channels: int = 256,
        channels: int = 512,
        layers: int = 6,
        kernel_size: int = 7,
        low: float | list[float] = -1.0,
        high: float | list[float] = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        positive(mel_bins=mel_bins, cond_channels=cond_channels, channels=channels, layers=layers)
        odd(kernel_size=kernel_size)
        self.low, self.high = _per_bin("low", low, mel_bins), _per_bin("high", high, mel_bins)
        self.cond_channels = cond_channels
        self.decoder = ConvNeXtDecoder(cond_channels, mel_bins, channels, layers, kernel_size, dropout)

    def mel(self, cond: Tensor) -> Tensor:
        """The first mel, in data space.

        Args:
            cond: (B, H, T).

        Returns:
            (B, M, T).

        Raises:
            ShapeError: when cond has other channels.
        """
        if cond.ndim != 3 or cond.shape[1] != self.cond_channels:
            raise ShapeError(f"cond: expected shape (B, {self.cond_channels}, T), got {tuple(cond.shape)}")
        x = self.decoder(cond)
        low, high = (torch.tensor(edge, dtype=x.dtype, device=x.device)[:, None] for edge in (self.low, self.high))
        return x * (high - low) / 2 + (high + low) / 2  # type: ignore[no-any-return]

    def forward(  # type: ignore[override]  # the features are named
        self, *, cond: Tensor, lengths: Tensor | None = None
    ) -> dict[str, Tensor]:
        """cond: (B, H, T) as it is: what made it stayed behind with the words of the song."""
        return {"cond": cond} if lengths is None else {"cond": cond, "lengths": lengths}


def _per_bin(name: str, value: float | list[float], mel_bins: int) -> list[float]:
    values = [float(value)] if isinstance(value, int | float) else [float(one) for one in value]
    if len(values) not in (1, mel_bins):
        raise ArgumentValueError(f"{name} must be one number or {mel_bins}, one a bin, got {len(values)}")
    return values
