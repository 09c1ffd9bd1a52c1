"""Convolutions of three taps with fewer multiplications, for inference on a CPU (Winograd 1980; Lavin & Gray 2016).

Two neighbouring outputs of three taps take six products. With g the taps and d four neighbouring inputs, F(2, 3) takes

    m_0 = (d_0 - d_2) g_0                        y_0 = m_0 + m_1 + m_2
    m_1 = (d_1 + d_2) (g_0 + g_1 + g_2) / 2      y_1 = m_1 - m_2 - m_3
    m_2 = (d_2 - d_1) (g_0 - g_1 + g_2) / 2
    m_3 = (d_1 - d_3) g_2

four, and on a plane 16 for 36. Each m_i is one product of matrices over all channels, which is what a CPU does best.
In float32 the results differ from those of a plain convolution by rounding, 1e-6 of the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

PASS_BYTES = 2 * 2**20
"""What a pass may put between the channels' products: as many items as fit near the core are done at once."""

LEAST = 2048
"""Tiles times reuse from which mixing pays: below it, reading the 16 mixed taps costs more than they save."""

_MIX = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])
"""What each m_i multiplies: g_0, (g_0 + g_1 + g_2) / 2, (g_0 - g_1 + g_2) / 2, g_2."""


class Scratch:
    """Memory that the layers of one network use in turn: what is always the same stays near the core.

    A network whose layers share it must not be asked from two threads at once.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of this shape with anything in it, good until the name is taken again."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or len(kept) < size or kept.dtype != like.dtype:
            kept = self._kept[name] = like.new_empty(size)
        return kept[:size].view(tuple(shape))


class WinogradConv1d(nn.Conv1d):
    """A Conv1d of three taps, with any dilation, that works frame by frame in memory ("time-major").

    Its result is (B, C, T) as ever, laid out with the channels of a frame side by side.
    """

    mixed: Tensor
    scratch: Scratch

    @torch.no_grad()
    def transform(self, scratch: Scratch) -> None:
        """Mix the taps, once for as long as the weights stay as they are."""
        self.mixed, self.scratch = _mix(self.weight, _MIX), scratch  # (4, C, C')

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T)."""
        (dilation,), frames = self.dilation, x.shape[-1]
        if x.ndim != 3 or frames < 4 * dilation or _differentiated(x):
            return super().forward(x)
        out = x.new_empty(len(x), frames, self.out_channels)
        for item, result in zip(x.mT, out, strict=True):
            self._one(item, result, int(dilation))
        return out.mT

    def _one(self, x: Tensor, out: Tensor, dilation: int) -> None:
        """x: (T, C) -> out: (T, C'). Outputs n and n + dilation are a pair."""
        frames, channels = x.shape
        blocks = -(-frames // (2 * dilation))  # of 2 dilation frames, which are dilation pairs
        padded = self.scratch.take("padded", ((2 * blocks + 2) * dilation, channels), x)
        padded[:dilation] = 0
        padded[dilation + frames :] = 0
        padded[dilation : dilation + frames] = x
        taps = padded.as_strided(
            (4, blocks, dilation, channels), (dilation * channels, 2 * dilation * channels, channels, 1)
        )
        differences = _differences(taps, self.scratch.take("differences", taps.shape, x)).view(4, -1, channels)
        products = self.scratch.take("products", (*differences.shape[:2], self.out_channels), x)
        products = torch.bmm(differences, self.mixed, out=products).view(4, blocks, dilation, self.out_channels)
        if self.bias is not None:
            # m_1 is in both outputs
            products[1] += self.bias
        whole = frames == 2 * blocks * dilation
        pairs = out if whole else self.scratch.take("pairs", (2 * blocks * dilation, self.out_channels), x)
        _sums(products, pairs.view(blocks, 2, dilation, self.out_channels).transpose(0, 1))
        if not whole:
            out.copy_(pairs[:frames])


class WinogradConv2d(nn.Conv2d):
    """A 3x3 Conv2d of stride 1 that keeps the size, with the channels of a pixel side by side in memory."""

    mixed: Tensor
    scratch: Scratch

    @torch.no_grad()
    def transform(self, scratch: Scratch) -> None:
        """Mix the taps along both sides, once for as long as the weights stay as they are."""
        # rows of taps first, as in ``weight``, but columns of mixtures first, as ``forward`` makes them
        both = torch.einsum("ai,bj->baij", _MIX, _MIX).reshape(16, 9)
        self.mixed, self.scratch = _mix(self.weight, both), scratch  # (16, C, C')

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W)."""
        if x.ndim != 4:
            return super().forward(x)
        batch, channels, height, width = x.shape
        tiles = -(-height // 2) * -(-width // 2)
        together = max(1, PASS_BYTES // (16 * tiles * channels * x.element_size()))
        if min(batch, together) * tiles * _reuse(self) < LEAST or _differentiated(x):
            # reading the 16 mixed taps would cost more than they save
            return super().forward(x)
        out = x.new_empty(batch, height, width, self.out_channels)
        pixels = x.permute(0, 2, 3, 1)
        for start in range(0, batch, together):
            self._some(pixels[start : start + together], out[start : start + together])
        return out.permute(0, 3, 1, 2)

    def _some(self, x: Tensor, out: Tensor) -> None:
        """x: (B, H, W, C) -> out: (B, H, W, C'). Outputs of a 2x2 square belong together."""
        batch, height, width, channels = x.shape
        rows, columns = -(-height // 2), -(-width // 2)
        padded = self.scratch.take("padded", (batch, 2 * rows + 2, 2 * columns + 2, channels), x)
        for border in (padded[:, 0], padded[:, height + 1 :], padded[:, :, 0], padded[:, :, width + 1 :]):
            border.zero_()
        padded[:, 1 : height + 1, 1 : width + 1] = x
        item, line, pixel, _ = padded.stride()
        taps = padded.as_strided((4, batch, rows, 2 * columns + 2, channels), (line, item, 2 * line, pixel, 1))
        down = _differences(taps, self.scratch.take("down", taps.shape, x))
        step, item, line, pixel, _ = down.stride()
        taps = down.as_strided((4, 4, batch, rows, columns, channels), (pixel, step, item, line, 2 * pixel, 1))
        differences = _differences(taps, self.scratch.take("differences", taps.shape, x)).view(16, -1, channels)
        products = self.scratch.take("products", (*differences.shape[:2], self.out_channels), x)
        products = torch.bmm(differences, self.mixed, out=products).view(4, 4, batch, rows, columns, self.out_channels)
        if self.bias is not None:
            # m_1 along both sides is in all four outputs
            products[1, 1] += self.bias
        whole = (height, width) == (2 * rows, 2 * columns)
        squares = out if whole else self.scratch.take("pairs", (batch, 2 * rows, 2 * columns, self.out_channels), x)
        across = self.scratch.take("across", (2, *products.shape[1:]), x)
        _sums(products, across)
        result = squares.view(batch, rows, 2, columns, 2, self.out_channels).permute(2, 4, 0, 1, 3, 5)
        for column in (0, 1):
            _sums(across[column], result[:, column])
        if not whole:
            out.copy_(squares[:, :height, :width])


def pays(conv: nn.Conv2d) -> bool:
    """Whether the sums are few beside the products: measured, from 128 channels to 128 on."""
    return _reuse(conv) >= 64


def _differentiated(x: Tensor) -> bool:
    """Whether somebody wants gradients, as a guidance may: sums that are written into scratch memory have none."""
    return torch.is_grad_enabled() and x.requires_grad


def _reuse(conv: nn.Conv2d) -> float:
    """Products for each number that is read or written, up to a constant."""
    return conv.in_channels * conv.out_channels / (conv.in_channels + conv.out_channels)


def _mix(weight: Tensor, mix: Tensor) -> Tensor:
    """(C', C, ...) taps and (M, taps) mixtures -> (M, C, C'), ready to be multiplied from the right."""
    outputs, inputs = weight.shape[:2]
    taps = weight.flatten(2).transpose(0, 1).reshape(inputs * outputs, -1)
    return (mix.to(weight.dtype) @ taps.mT).view(-1, inputs, outputs)


def _differences(d: Tensor, made: Tensor) -> Tensor:
    """(4, ...) -> made: (4, ...): d_0 - d_2, d_1 + d_2, d_2 - d_1, d_1 - d_3."""
    torch.sub(d[0], d[2], out=made[0])
    torch.add(d[1], d[2], out=made[1])
    torch.sub(d[2], d[1], out=made[2])
    torch.sub(d[1], d[3], out=made[3])
    return made


def _sums(m: Tensor, out: Tensor) -> None:
    """(4, ...) -> out: (2, ...): m_0 + m_1 + m_2, m_1 - m_2 - m_3."""
    torch.add(m[0], m[1], out=out[0]).add_(m[2])
    torch.sub(m[1], m[2], out=out[1]).sub_(m[3])
