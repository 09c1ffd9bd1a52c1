"""Convolutions as products of matrices, for maps and frames whose channels lie side by side in memory."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FrameLinear(nn.Conv1d):
    """A Conv1d of one tap: each frame by itself through a matrix, (B, C, T) -> (B, C', T), time-major."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T)."""
        if x.ndim != 3:
            return super().forward(x)
        return F.linear(x.mT, self.weight.flatten(1), self.bias).mT


class FrameConv(nn.Conv1d):
    """A Conv1d that keeps the length, as one product: all taps of a frame side by side through a matrix, time-major."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T)."""
        if x.ndim != 3:
            return super().forward(x)
        taps, dilation, padding = self.kernel_size[0], self.dilation[0], int(self.padding[0])
        batch, channels, frames = x.shape
        padded = F.pad(x.mT, (0, 0, padding, padding)).contiguous()
        item, frame, channel = padded.stride()
        seen = padded.as_strided((batch, frames, taps, channels), (item, frame, dilation * frame, channel))
        weight = self.weight.permute(0, 2, 1).flatten(1)  # (C', taps C)
        return F.linear(seen.flatten(2), weight, self.bias).mT


class PixelLinear(nn.Conv2d):
    """A Conv2d of one tap: each pixel by itself through a matrix, (B, C, H, W) -> (B, C', H, W), channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        if x.ndim != 4:
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
