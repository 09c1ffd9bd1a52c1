"""Pitch of a mel that a network made: the pitch extractor beside the vocoder of diff-svc at 24 kHz (``use_pe``).

Modules have the names of its file (``0102_xiaoma_pe``). B, C, M, T are items, channels, bins and
frames.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.core.errors import ShapeError
from zoo.layers.embeddings import sinusoidal_embedding
from zoo.voice.base import VoiceError
from zoo.voice.weights import fill, tensors_beside

_FIRST = "mel_prenet.layers.0.0.weight"
_POSITIONS = "pitch_predictor.embed_positions._float_tensor"
"""A scrap that the files carry, of memory that nobody ever wrote."""


class _Prenet(nn.Module):
    """Convolutions over frames, each with ReLU and BatchNorm, silent frames held at zero; then a projection."""

    def __init__(self, bins: int, channels: int, kernel_size: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels if i else bins, channels, kernel_size, padding=kernel_size // 2),
                nn.ReLU(),
                nn.BatchNorm1d(channels),
            )
            for i in range(layers)
        )
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, mel: Tensor, heard: Tensor) -> Tensor:
        """mel: (B, M, T), heard: (B, 1, T) -> (B, C, T)."""
        for layer in self.layers:
            mel = layer(mel) * heard
        return self.out_proj(mel.transpose(1, 2)).transpose(1, 2) * heard  # type: ignore[no-any-return]


class _Convolution(nn.Module):
    """A convolution below the level of names that the files have."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """x + relu(norm(conv(x))), normalised in groups of 16 channels."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = _Convolution(channels, kernel_size)
        self.norm = nn.GroupNorm(channels // 16, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x)).relu()  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, channels: int, kernel_size: int, blocks: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(channels, channels)
        self.conv = nn.ModuleList(_Block(channels, kernel_size) for _ in range(blocks))
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, T, C)."""
        x = self.in_proj(x.transpose(1, 2)).transpose(1, 2)
        for block in self.conv:
            x = block(x)
        return self.out_proj(x.transpose(1, 2))  # type: ignore[no-any-return]


class _ChannelNorm(nn.LayerNorm):
    """Over the channels of (B, C, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, -1)).transpose(1, -1)


class _Predictor(nn.Module):
    """x + alpha positions; convolutions with ReLU and LayerNorm; two numbers a frame."""

    def __init__(self, before: int, channels: int, kernel_size: int, layers: int) -> None:
        super().__init__()
        self.pos_embed_alpha = nn.Parameter(torch.ones(1))
        self.conv = nn.ModuleList(
            # the files count a layer of padding before the convolution
            nn.Sequential(
                nn.Identity(),
                nn.Conv1d(channels if i else before, channels, kernel_size, padding=kernel_size // 2),
                nn.ReLU(),
                _ChannelNorm(channels, eps=1e-12),
            )
            for i in range(layers)
        )
        self.linear = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, 2)."""
        x = x + self.pos_embed_alpha * _positions(x)
        x = x.transpose(1, 2)
        for layer in self.conv:
            x = layer(x)
        return self.linear(x.transpose(1, 2))  # type: ignore[no-any-return]


def _positions(x: Tensor) -> Tensor:
    """Sines, then cosines of 1, 2, ... over the frames of (B, T, C) whose first channel is not 0; zeros there."""
    heard = x[..., 0] != 0
    place = heard.cumsum(-1)
    angles = sinusoidal_embedding(place.flatten(), x.shape[-1], shift=1.0, order="sin-cos")
    return angles.reshape(x.shape).to(x.dtype) * heard[..., None]


class PitchOfMel(nn.Module):
    """Pitch of mels, frame by frame.

    Args:
        bins: M, of the mel.
        channels: C, a multiple of 16.
        predictor_channels: of the convolutions behind the encoder.
        kernel_size: of the predictor's convolutions.
        use_uv: whether frames that the network takes for unvoiced become 0 Hz; diff-svc asks the voice's config.
    """

    def __init__(
        self,
        *,
        bins: int = 80,
        channels: int = 256,
        predictor_channels: int = 256,
        kernel_size: int = 5,
        use_uv: bool = False,
    ) -> None:
        super().__init__()
        self.bins, self.use_uv = bins, use_uv
        self.mel_prenet = _Prenet(bins, channels, kernel_size=5, layers=3)
        self.mel_encoder = _Encoder(channels, kernel_size=5, blocks=2)
        self.pitch_predictor = _Predictor(channels, predictor_channels, kernel_size, layers=5)

    def forward(self, mel: Tensor) -> Tensor:
        """The pitch of mels.

        Args:
            mel: (B, M, T), log10, all bins of a frame 0 where there is none.

        Returns:
            (B, T) Hz; 0 where there is no frame, and with ``use_uv`` where it is unvoiced.

        Raises:
            ShapeError: the mel is no (B, M, T).
        """
        if mel.ndim != 3 or mel.shape[1] != self.bins:
            raise ShapeError(f"mel: expected (B, {self.bins}, T), got {tuple(mel.shape)}")
        hertz, unvoiced = self.predict(mel).unbind(-1)
        hertz = hertz.exp2()
        if self.use_uv:
            hertz = hertz.masked_fill(unvoiced > 0, 0.0)
        return hertz.masked_fill((mel == 0).all(1), 0.0)

    def predict(self, mel: Tensor) -> Tensor:
        """mel: (B, M, T) -> (B, T, 2), log2 Hz and what is positive where unvoiced."""
        heard = (mel != 0).any(1, keepdim=True).to(mel.dtype)
        return self.pitch_predictor(self.mel_encoder(self.mel_prenet(mel, heard)))  # type: ignore[no-any-return]


def read_pitch_of_mel(path: str | Path, *, use_uv: bool = False) -> PitchOfMel:
    """The network of a file, with the sizes that its tensors have.

    Args:
        path: a checkpoint of diff-svc's pitch extractor, ``model_ckpt_steps_*.ckpt``, or its bare tensors.
        use_uv: as the class takes it.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        VoiceError: there is no such file, or it holds something else.
    """
    what = "diff-svc's pitch extractor, such as 0102_xiaoma_pe/model_ckpt_steps_60000.ckpt"
    tensors = tensors_beside(_FIRST, path=path, what=what)
    tensors.pop(_POSITIONS, None)
    try:
        prenet, predictor = tensors[_FIRST], tensors["pitch_predictor.conv.0.1.weight"]
        net = PitchOfMel(
            bins=prenet.shape[1],
            channels=len(prenet),
            predictor_channels=len(predictor),
            kernel_size=predictor.shape[2],
            use_uv=use_uv,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise VoiceError(f"{path}: is not {what}: {error.args[0]} is missing or of no use") from None
    fill(net, tensors, path=path, what=what)
    return net.eval()
