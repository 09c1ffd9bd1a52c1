"""The generator of HiFi-GAN, with or without a source that carries the pitch.

    x = conv_pre(mel);   each stage: x = up(leaky(x)) [+ source], x = mean of its residual blocks;
    wav = tanh(conv_post(leaky(x)))

Parameters have the names of the published files, so that they load as they are once weight norm is folded into them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.errors import ArgumentValueError, ShapeError
from zoo.layers.frames import odd, positive
from zoo.voice.vocoders.source import HarmonicSource, Pitch, sine, track

SLOPE = 0.1
END_SLOPE = 0.01
"""Of the last leaky ReLU alone: the published code leaves it at torch's default."""
SINE_STAGES = 2
"""Behind how many stages a single sine is added."""

SourceKind = Literal["none", "harmonics", "sine"]


class ResBlock(nn.Module):
    """Dilated convolutions, each around a shortcut: x + conv2(leaky(conv1(leaky(x)))), in the kind "2" without conv2.

    Args:
        channels: of x.
        kernel_size: of every convolution; odd.
        dilations: of conv1, one a shortcut; conv2 is never dilated.
        paired: whether there is a conv2.
    """

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int], paired: bool) -> None:
        super().__init__()
        first = nn.ModuleList(_conv(channels, kernel_size, dilation) for dilation in dilations)
        if paired:
            self.convs1 = first
            self.convs2 = nn.ModuleList(_conv(channels, kernel_size, 1) for _ in dilations)
        else:
            self.convs = first
        self.reach = sum((dilation + paired) * (kernel_size // 2) for dilation in dilations)
        """Samples to each side that a sample is made from."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, n) -> (B, C, n)."""
        if not hasattr(self, "convs2"):
            for conv in self.convs:
                x = x + conv(F.leaky_relu(x, SLOPE))
            return x
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu_(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Generator(nn.Module):
    """A mel in, sound out: HiFi-GAN; with ``source`` "harmonics" NSF-HiFiGAN, with "sine" PC-NSF-HiFiGAN.

    Args:
        mel_bins: M, bins of the mel.
        channels: C, of the first convolution; each stage halves them.
        rates: by how much each stage has more samples; their product is the hop.
        kernel_sizes: of the transposed convolutions; each even or odd as its rate, and not below it.
        block_kernel_sizes: of the residual blocks of a stage, one a block; odd.
        block_dilations: of each block.
        block: "1" with two convolutions a shortcut, "2" with one.
        source: what is added so that the sound has a pitch. "harmonics": nine sines and noise, at every stage;
            "sine": one, behind the second stage.
        noise_sigma: deviation of the noise that is added behind the first convolution.
        sample_rate: of the sound, in Hz.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.

    References:
        Kong et al. 2020, HiFi-GAN, arXiv 2010.05646; Wang et al. 2019, neural source-filter, arXiv 1904.12088.
    """

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        channels: int = 512,
        rates: Sequence[int] = (8, 8, 2, 2, 2),
        kernel_sizes: Sequence[int] = (16, 16, 4, 4, 4),
        block_kernel_sizes: Sequence[int] = (3, 7, 11),
        block_dilations: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        block: Literal["1", "2"] = "1",
        source: SourceKind = "none",
        noise_sigma: float = 0.0,
        sample_rate: int = 44100,
    ) -> None:
        super().__init__()
        positive(mel_bins=mel_bins, channels=channels, sample_rate=sample_rate)
        if noise_sigma < 0:
            raise ArgumentValueError(f"noise_sigma cannot be below 0, got {noise_sigma:g}")
        if not rates or len(rates) != len(kernel_sizes):
            raise ArgumentValueError(f"need a kernel size for each rate, got {len(kernel_sizes)} for {len(rates)}")
        for rate, kernel in zip(rates, kernel_sizes, strict=True):
            if rate < 1 or kernel < rate or (kernel - rate) % 2:
                raise ArgumentValueError(
                    f"kernel_sizes: {kernel} does not go with a rate of {rate}: it has to be as large or larger by an "
                    "even number, so that a frame becomes a whole number of samples"
                )
        if channels % 2 ** len(rates):
            raise ArgumentValueError(f"channels: {channels} cannot be halved {len(rates)} times, once for each rate")
        if not block_kernel_sizes or len(block_kernel_sizes) != len(block_dilations):
            raise ArgumentValueError(
                f"need dilations for each residual block, got {len(block_dilations)} for {len(block_kernel_sizes)}"
            )
        for kernel in block_kernel_sizes:
            odd(block_kernel_sizes=kernel)
        if source == "sine" and len(rates) < SINE_STAGES:
            raise ArgumentValueError(f"rates: a sine is added behind stage {SINE_STAGES}, and there are {len(rates)}")
        self.mel_bins, self.channels, self.sample_rate = mel_bins, channels, sample_rate
        self.rates, self.noise_sigma, self.source_kind = tuple(rates), noise_sigma, source
        self.hop = math.prod(rates)

        self.conv_pre = nn.Conv1d(mel_bins, channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(rates, kernel_sizes, strict=True):
            half = channels // 2
            padding = (kernel - rate) // 2
            self.ups.append(nn.ConvTranspose1d(channels, half, kernel, stride=rate, padding=padding))
            self.resblocks.extend(
                ResBlock(half, size, dilations, paired=block == "1")
                for size, dilations in zip(block_kernel_sizes, block_dilations, strict=True)
            )
            channels = half
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)
        if source == "harmonics":
            self.m_source = HarmonicSource()
            self.noise_convs = nn.ModuleList(self._injections())
        elif source == "sine":
            self.source_conv = nn.Conv1d(1, self.channels >> SINE_STAGES, 1)

    def _injections(self) -> list[nn.Conv1d]:
        """From the rate of the sound down to that of each stage."""
        convs = []
        for stage in range(len(self.rates)):
            rest, width = math.prod(self.rates[stage + 1 :]), self.channels >> (stage + 1)
            if rest > 1 and rest % 2:
                raise ArgumentValueError(f"rates: the product of those behind stage {stage + 1} is odd ({rest})")
            convs.append(nn.Conv1d(1, width, 2 * rest, rest, rest // 2) if rest > 1 else nn.Conv1d(1, width, 1))
        return convs

    @property
    def blocks_per_stage(self) -> int:
        """Residual blocks of a stage."""
        return len(self.resblocks) // len(self.ups)

    @property
    def reach(self) -> int:
        """Frames to each side that the sound of a frame is made from."""
        samples = 3
        for stage in reversed(range(len(self.rates))):
            blocks = cast("list[ResBlock]", list(self._blocks(stage)))
            # one more for the source, whose windows overlap by half
            samples += max(one.reach for one in blocks) + (self.source_kind != "none")
            samples = -(-(samples + int(self.ups[stage].kernel_size[0])) // self.rates[stage])  # type: ignore[index]
        return samples + 3

    def forward(
        self,
        mel: Tensor,
        f0: Tensor | None = None,
        *,
        rand_ini: Tensor | None = None,
        source_noise: Tensor | None = None,
        pre_noise: Tensor | None = None,
    ) -> Tensor:
        """Sound from a mel. Nothing is drawn here: what is random in the published code are arguments.

        Args:
            mel: (B, M, T).
            f0: (B, T) in Hz, 0 where unvoiced; without it the source is left out.
            rand_ini: (B, 9), (1, 9) or (B, 1, 9), of each harmonic the phase that it begins with, in turns; the first
                is 0 in published code. None is zeros.
            source_noise: (B, T hop, 9) standard normal, of each harmonic; None is none.
            pre_noise: (B, C, T) standard normal, for ``noise_sigma``; None is none.

        Returns:
            (B, 1, T hop) in [-1, 1].

        Raises:
            ShapeError: when a shape does not fit.
        """
        if mel.ndim != 3 or mel.shape[1] != self.mel_bins:
            raise ShapeError(f"the vocoder expects a mel of shape (B, {self.mel_bins}, T), got {tuple(mel.shape)}")
        source = None
        if f0 is not None and self.source_kind != "none":
            if f0.shape != (len(mel), mel.shape[-1]):
                raise ShapeError(
                    f"the vocoder expects f0 of shape {(len(mel), mel.shape[-1])}, (B, T) of the mel, "
                    f"got {tuple(f0.shape)}"
                )
            source = self.source(self.track(f0), rand_ini=rand_ini, noise=source_noise)
        return self.decode(mel, source, pre_noise)

    def track(self, f0: Tensor) -> Pitch:
        """What the source has to know of the pitch of the whole: (B, T) in Hz."""
        hop = self.hop if self.source_kind == "harmonics" else math.prod(self.rates[:SINE_STAGES])
        return track(f0, self.sample_rate * hop / self.hop, hop, glide=self.source_kind == "sine")

    def source(self, pitch: Pitch, *, rand_ini: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """The signal that carries the pitch of some frames: (B, 1, n), n samples of the rate at which it is added."""
        if self.source_kind == "sine":
            return sine(pitch)
        return self.m_source(pitch, rand_ini, noise)  # type: ignore[no-any-return]

    def decode(self, mel: Tensor, source: Tensor | None, pre_noise: Tensor | None = None) -> Tensor:
        """(B, M, T), and what ``source`` returned for these frames -> (B, 1, T hop)."""
        x = self.conv_pre(mel)
        if pre_noise is not None:
            if pre_noise.shape != x.shape:
                raise ShapeError(f"expected pre_noise of shape {tuple(x.shape)}, got {tuple(pre_noise.shape)}")
            x = x + self.noise_sigma * pre_noise
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            if source is not None:
                x = self._with_source(x, source, stage)
            blocks = self._blocks(stage)
            x = functools.reduce(torch.add, [block(x) for block in blocks]) / len(blocks)
        return torch.tanh(self.conv_post(F.leaky_relu(x, END_SLOPE)))

    def _with_source(self, x: Tensor, source: Tensor, stage: int) -> Tensor:
        if self.source_kind == "harmonics":
            return x + self.noise_convs[stage](source)  # type: ignore[no-any-return]
        return x + self.source_conv(source) if stage == SINE_STAGES - 1 else x

    def _blocks(self, stage: int) -> list[nn.Module]:
        count = self.blocks_per_stage
        return [self.resblocks[stage * count + index] for index in range(count)]


def _conv(channels: int, kernel_size: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel_size, padding=dilation * (kernel_size // 2), dilation=dilation)
