"""Whisper's encoder as a network of our own, for weights of OpenAI and of Hugging Face."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.voice.base import VoiceError
from zoo.voice.units.checkpoints import tensors_under
from zoo.voice.weights import fill

_OPENAI, _HUGGING_FACE = "encoder.blocks.0.attn.query.weight", "encoder.layers.0.self_attn.q_proj.weight"
_RULES = {
    r"embed_positions\.weight": "positional_embedding",
    r"layers\.(\d+)\.self_attn\.q_proj": r"blocks.\1.attn.query",
    r"layers\.(\d+)\.self_attn\.k_proj": r"blocks.\1.attn.key",
    r"layers\.(\d+)\.self_attn\.v_proj": r"blocks.\1.attn.value",
    r"layers\.(\d+)\.self_attn\.out_proj": r"blocks.\1.attn.out",
    r"layers\.(\d+)\.self_attn_layer_norm": r"blocks.\1.attn_ln",
    r"layers\.(\d+)\.fc1": r"blocks.\1.mlp.0",
    r"layers\.(\d+)\.fc2": r"blocks.\1.mlp.2",
    r"layers\.(\d+)\.final_layer_norm": r"blocks.\1.mlp_ln",
    r"layer_norm": "ln_post",
}
"""Names of Hugging Face inside the encoder, and those of OpenAI."""
_WHAT = "a Whisper of OpenAI or Hugging Face"
_HEAD = 64
"""Channels of a head in every published size."""


class WhisperEncoder(nn.Module):
    """Two convolutions, the second of stride 2, and transformer layers that norm what they read.

    Args:
        bins: of the mel.
        width: C.
        hidden: channels of the feed-forward layers.
        layers: how many there are.
        positions: units of a window, all of which are always encoded.
    """

    def __init__(self, *, bins: int, width: int, hidden: int, layers: int, positions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positional_embedding = nn.Parameter(torch.empty(positions, width))
        self.blocks = nn.ModuleList(_Block(width, hidden) for _ in range(layers))
        self.ln_post = nn.LayerNorm(width)

    @property
    def bins(self) -> int:
        """Of the mel."""
        return self.conv1.in_channels

    @torch.no_grad()
    def forward(self, mel: Tensor) -> Tensor:
        """mel: (B, bins, 2 positions) -> (B, positions, C)."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.positional_embedding
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.ln_post(x)
        return normed


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attn = _Attention(width)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attn_ln(x))
        heard: Tensor = x + self.mlp(self.mlp_ln(x))
        return heard


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = (part(x).unflatten(-1, (-1, _HEAD)).transpose(1, 2) for part in (self.query, self.key, self.value))
        mixed: Tensor = self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return mixed


def read_encoder(path: Path) -> WhisperEncoder:
    """The encoder of a file or folder, with the sizes that its tensors have.

    Args:
        path: a file of OpenAI (``tiny.pt``), or a file or folder of Hugging Face.

    Raises:
        VoiceError: there is no such file, or it holds something else.
    """
    anchor, whole = tensors_under(path, (_OPENAI, _HUGGING_FACE), what=_WHAT)
    tensors = {key.removeprefix("encoder."): tensor for key, tensor in whole.items() if key.startswith("encoder.")}
    if anchor == _HUGGING_FACE:
        tensors = {_renamed(key): tensor for key, tensor in tensors.items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    try:
        width, bins, _ = shapes["conv1.weight"]
        positions, _ = shapes["positional_embedding"]
        hidden, _ = shapes["blocks.0.mlp.0.weight"]
    except (KeyError, ValueError) as error:
        raise VoiceError(f"{path}: is not {_WHAT}: {error.args[0]} is missing or of no use") from None
    if width % _HEAD:
        raise VoiceError(f"{path}: is not {_WHAT}: its width {width} is no multiple of {_HEAD}, the size of a head")
    layers = len({key.split(".")[1] for key in shapes if key.startswith("blocks.")})
    with torch.device("meta"):
        net = WhisperEncoder(bins=bins, width=width, hidden=hidden, layers=layers, positions=positions)
    fill(net, tensors, path=path, what=_WHAT)
    return net.eval().requires_grad_(False)


def _renamed(key: str) -> str:
    for pattern, name in _RULES.items():
        if match := re.match(pattern, key):
            return match.expand(name) + key[match.end() :]
    return key
