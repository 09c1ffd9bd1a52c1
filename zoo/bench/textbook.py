"""DiffNet the way papers and old repositories write it, to be timed beside ours. Nothing else uses it.

Every layer projects the condition anew in every evaluation, skips are collected and stacked, convolutions are those of
PyTorch, channels before frames (Liu et al. 2022, section 3.4; Kong et al. 2021, figure 2). The walk looks its
coefficients up in tensors, as the old sampling loops do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.grid import Grid


class TextbookLayer(nn.Module):
    """A gated dilated convolution."""

    def __init__(self, channels: int, cond_channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated_conv = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.diffusion_projection = nn.Linear(channels, channels)
        self.conditioner_projection = nn.Conv1d(cond_channels, 2 * channels, 1)
        self.output_projection = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, x: Tensor, cond: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, C, T), cond: (B, H, T), step: (B, C) -> x and skip."""
        shifted = x + self.diffusion_projection(step).unsqueeze(-1)
        gate, filtered = torch.chunk(self.dilated_conv(shifted) + self.conditioner_projection(cond), 2, dim=1)
        residual, skip = torch.chunk(self.output_projection(torch.sigmoid(gate) * torch.tanh(filtered)), 2, dim=1)
        return (x + residual) / math.sqrt(2.0), skip


class TextbookDiffNet(nn.Module):
    """The network; takes the weights of ``zoo.denoisers.diffnet.DiffNet`` under the same names."""

    def __init__(self, mel_bins: int, cond_channels: int, channels: int, layers: int, dilation_cycle: int) -> None:
        super().__init__()
        self.channels = channels
        self.input_projection = nn.Conv1d(mel_bins, channels, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, channels * 4), nn.Mish(), nn.Linear(channels * 4, channels))
        self.residual_layers = nn.ModuleList(
            TextbookLayer(channels, cond_channels, 2 ** (i % dilation_cycle)) for i in range(layers)
        )
        self.skip_projection = nn.Conv1d(channels, channels, 1)
        self.output_projection = nn.Conv1d(channels, mel_bins, 1)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """x: (B, M, T), t: (B,), cond: (B, H, T) -> eps: (B, M, T)."""
        x = F.relu(self.input_projection(x))
        step = self.mlp(self._embedded(t))
        skips = []
        for layer in self.residual_layers:
            x, skip = layer(x, cond, step)
            skips.append(skip)
        x = torch.sum(torch.stack(skips), dim=0) / math.sqrt(len(skips))
        return self.output_projection(F.relu(self.skip_projection(x)))  # type: ignore[no-any-return]

    def _embedded(self, t: Tensor) -> Tensor:
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
        angles = t[:, None] * rates[None, :]
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


@torch.no_grad()
def textbook_ddim(net: TextbookDiffNet, x: Tensor, cond: Tensor, grid: Grid) -> Tensor:
    """DDIM without noise (Song et al. 2021, eq. 12), its coefficients in tensors on the device.

    Args:
        net: predicts eps.
        x: (B, M, T) the start.
        cond: (B, H, T).
        grid: the walk.
    """
    alpha = torch.tensor([point.alpha for point in grid.points], device=x.device)
    sigma = torch.tensor([point.sigma for point in grid.points], device=x.device)
    times = [point.t for point in grid.points]
    for i in range(len(times) - 1):
        eps = net(x, torch.full((len(x),), times[i], device=x.device), cond)
        x_0 = (x - sigma[i] * eps) / alpha[i]
        x = alpha[i + 1] * x_0 + sigma[i + 1] * eps
    return x
