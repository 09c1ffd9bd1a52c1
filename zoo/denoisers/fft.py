"""The FFT denoiser of diff-svc: a FastSpeech decoder that reads x, condition and time together."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError
from zoo.layers.fastspeech import FFTBlock
from zoo.layers.frames import FrameShape, embed_step, positive
from zoo.layers.levels import Section


class FFTDenoiser(nn.Module):
    """A transformer over mel frames: `forward(x, t, cond=..., lengths=...)` (Ren et al. 2019, section 3.1).

        h = W [W_x x, cond, step] + a positions(1..T);   blocks;   norm;   W_out

    "fft" among the decoders of diff-svc. All frames see each other. Parameters have the names of its files.

    Args:
        mel_bins: M, bins of a mel frame.
        cond_channels: H, channels of the condition and width of the blocks.
        residual_channels: C, width of the time embedding and of x on its way in.
        layers: number of blocks.
        heads: heads of each; divides cond_channels. The weights do not tell it.
        kernel_size: of the blocks' convolution over frames; odd.
        dropout: probability of dropping a value, in training.

    Raises:
        ArgumentValueError: when a value makes no sense; the message names it.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "mel_bins": 8,
        "cond_channels": 8,
        "residual_channels": 6,
        "layers": 1,
        "kernel_size": 3,
    }

    def __init__(
        self,
        *,
        mel_bins: int = 80,
        cond_channels: int = 256,
        residual_channels: int = 256,
        layers: int = 4,
        heads: int = 2,
        kernel_size: int = 9,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.frames = FrameShape("FFTDenoiser", mel_bins, 1, cond_channels)
        positive(residual_channels=residual_channels, layers=layers, heads=heads, kernel_size=kernel_size)
        if not 0 <= dropout < 1:
            raise ArgumentValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
        self.residual_channels, self.heads = residual_channels, heads
        self.input_projection = nn.Conv1d(mel_bins, residual_channels, kernel_size=1)
        self.mlp = nn.Sequential(
            nn.Linear(residual_channels, 4 * residual_channels),
            nn.Mish(),
            nn.Linear(4 * residual_channels, residual_channels),
        )
        self.get_decode_inp = nn.Linear(cond_channels + 2 * residual_channels, cond_channels)
        self.pos_embed_alpha = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            FFTBlock(channels=cond_channels, heads=heads, kernel_size=kernel_size, dropout=dropout)
            for _ in range(layers)
        )
        self.layer_norm = nn.LayerNorm(cond_channels)
        self.get_mel_out = nn.Linear(cond_channels, mel_bins)
        nn.init.kaiming_normal_(self.input_projection.weight)
        for linear in (self.get_decode_inp, self.get_mel_out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.register_load_state_dict_pre_hook(_drop_marker)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, t: Tensor, *, cond: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """The network's output, read by a parameterization.

        Args:
            x: (B, M, T), of the dtype of the parameters.
            t: (B,) or one for all: the time label, whole or fractional.
            cond: (B, H, T), one column a frame; None for zeros.
            lengths: (B,) frames of each item, 1..T, for a batch whose items were padded on the right. Each
                then has the output that it has alone, and zeros behind its end. None takes padding for mel.

        Returns:
            (B, M, T).

        Raises:
            ShapeError: when x, t, cond or lengths have another shape.
            ArgumentValueError: when a length (on the CPU) is not 1..T.
        """
        batch = self.frames.read(x, t, cond, lengths)
        frames = x.shape[-1]
        step = self.mlp(embed_step(batch.t, self.residual_channels, x.dtype))
        parts = (self.input_projection(batch.x), batch.cond, step[:, :, None].expand(-1, -1, frames))
        h = self.get_decode_inp(torch.cat(parts, dim=1).transpose(1, 2))  # (B, T, H)
        places = embed_step(torch.arange(1, frames + 1, device=x.device), h.shape[-1], x.dtype)
        h = self.dropout(h + self.pos_embed_alpha * places)
        for layer in self.layers:
            h = layer(h, batch.past)
        return self.frames.write(self.get_mel_out(self.layer_norm(h)).transpose(1, 2), batch.past)

    def sections(self, *size: int) -> list[Section]:
        """The structure of the network for mels of this size, in the order of the table."""
        frames, width, count = size[-1:], self.get_mel_out.in_features, len(self.layers)
        blocks = tuple(f"layers.{i}" for i in range(count))
        return [
            Section("in", ("input_projection", "mlp", "get_decode_inp"), frames, width),
            Section("blocks", blocks, frames, width, blocks=count, attention=count, heads=self.heads),
            Section("out", ("layer_norm", "get_mel_out"), frames, self.frames.channels),
        ]


def _drop_marker(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Leave out the one number of uninitialised memory that the files hold beside the weights."""
    state_dict.pop(f"{prefix}embed_positions._float_tensor", None)
