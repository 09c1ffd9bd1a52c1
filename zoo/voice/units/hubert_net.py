"""HuBERT as a network: sized by its tensors, run over sound of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from zoo.voice.base import VoiceError
from zoo.voice.units.hubert_layouts import Projection, read_hubert
from zoo.voice.weights import fill

HOP, WINDOW = 320, 400
"""Samples from one unit to the next, and those that one unit's convolutions hear."""
_CONVOLUTIONS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Kernel and stride; 320 is the product of the strides."""
_ONLY = {
    "conv_stride": [stride for _, stride in _CONVOLUTIONS],
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}
"""What Hugging Face's configs can say, weights do not show, and all published networks have in common."""
_NAMED_BY_HUGGING_FACE = ("model.safetensors", "pytorch_model.bin")
_HEADS = {768: 12, 1024: 16, 1280: 16}
"""Of the published widths: base, large, extra large."""
_BLOCK, _CONTEXT = 1500, 100
"""Units that attend to each other at most, and those on either side of a block that its neighbour says again."""


@dataclass(frozen=True)
class Sizes:
    """What a network looks like.

    Attributes:
        channels: of each of the seven convolutions.
        width: of the transformer.
        hidden: of its feed-forward layers.
        layers: how many it has.
        heads: that attend.
        kernel: taps of the position convolution.
        groups: of it.
        conv_bias: whether the seven convolutions have one.
        every_norm: whether all of them are followed by a layer norm (large), or the first by a group norm (base).
        norm_first: whether layers norm what they read (large) or what they write (base).
    """

    channels: tuple[int, ...]
    width: int
    hidden: int
    layers: int
    heads: int
    kernel: int
    groups: int
    conv_bias: bool
    every_norm: bool
    norm_first: bool


class Hubert(nn.Module):
    """The network with the projection that its file has.

    Args:
        network: torchaudio's.
        projections: by their names, at most one: of the last layer, or of the ninth in ContentVec.
        sizes: of the network.
        normalized: whether it was trained on recordings of mean 0 and variance 1.
    """

    def __init__(self, network: Any, projections: nn.ModuleDict, sizes: Sizes, normalized: bool) -> None:
        super().__init__()
        self.network, self.projections = network, projections
        self.sizes, self.normalized = sizes, normalized

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def forward(self, wav: Tensor, *, layer: int | None = None, projection: Projection | None = None) -> Tensor:
        """Encode at once.

        Args:
            wav: (B, L) at 16 kHz, from 400 samples.
            layer: whose output is wanted, from 1; None for that of the whole network, whose last norm no layer has
                in large networks.
            projection: that follows, one that there is.

        Returns:
            (B, (L - 400) // 320 + 1, C).
        """
        if layer is None:
            units: Tensor = self.network(wav)[0]
        else:
            units = self.network.extract_features(wav, num_layers=layer)[0][-1]
        return units if projection is None else self.projections[projection](units)

    @torch.no_grad()
    def units(self, wav: Tensor, *, layer: int | None = None, projection: Projection | None = None) -> Tensor:
        """Encode sound of any length: at most 30 seconds attend to each other, with 2 on either side of a block.

        Args:
            wav: (L,) at 16 kHz, from 400 samples.
            layer: as in a call.
            projection: as in a call.

        Returns:
            ((L - 400) // 320 + 1, C) on the CPU; of sound of up to 30 seconds the same as at once.
        """
        count = (len(wav) - WINDOW) // HOP + 1
        found = []
        for low, start, stop, high in _blocks(count):
            # the group norm of base networks hears the samples behind the last unit too
            end = len(wav) if high == count else (high - 1) * HOP + WINDOW
            heard = wav[low * HOP : end].to(self.device)
            encoded = self(heard[None], layer=layer, projection=projection)[0]
            found.append(encoded[start - low : stop - low].float().cpu())
        return torch.cat(found)


def read_net(path: Path, *, what: str, heads: int | None = None, normalize: bool | None = None) -> Hubert:
    """The network of a file, with the sizes that its tensors have.

    What tensors do not tell comes from the ``config.json`` and ``preprocessor_config.json`` in a folder of Hugging
    Face, or else from how the published networks are built: a norm behind every convolution goes with norms before
    every layer and with recordings that are normalized.

    Args:
        path: of a file, or of a folder with its configs.
        what: the file should be, for messages.
        heads: of attention; None takes those of the config, or of the published widths.
        normalize: recordings to mean 0 and variance 1 before they are encoded; None as it was trained.

    Raises:
        VoiceError: there is no such file, it holds something else, or its heads are not known.
    """
    tensors = read_hubert(path, what=what)
    folder = path if path.is_dir() else path.parent
    # a config beside a file of any other name may be that of something else
    named = path.is_dir() or path.name in _NAMED_BY_HUGGING_FACE
    told = _json(folder / "config.json") if named else {}
    for key, value in _ONLY.items():
        if told.get(key, value) != value:
            raise VoiceError(f"{folder / 'config.json'}: {key} is {told[key]}; only networks with {value} can be read")
    sizes = _sizes(tensors, told, heads, path, what)
    projections = nn.ModuleDict()
    for name in get_args(Projection):
        part = {key.removeprefix(f"{name}."): tensors.pop(key) for key in list(tensors) if key.startswith(f"{name}.")}
        if part:
            channels = len(part["weight"]) if "weight" in part else 0
            projections[name] = nn.Linear(sizes.width, channels, device="meta")
            fill(projections[name], part, path=path, what=f"{what} (its {name})")
    network = _built(sizes)
    fill(network, tensors, path=path, what=what)
    if normalize is None:
        prepared = _json(folder / "preprocessor_config.json") if named else {}
        normalize = bool(prepared.get("do_normalize", sizes.every_norm))
    return Hubert(network, projections, sizes, normalize).eval().requires_grad_(False)


def _blocks(count: int) -> Iterator[tuple[int, int, int, int]]:
    """Which units are encoded together, from low to high, and which of them are kept, from start to stop."""
    start = 0
    while start < count:
        # the last block is as long as the others, so that its units hear as much
        low = max(0, min(start - _CONTEXT, count - _BLOCK))
        high = min(count, low + _BLOCK)
        stop = count if high == count else high - _CONTEXT
        yield low, start, stop, high
        start = stop


def _sizes(tensors: Mapping[str, Tensor], told: Mapping[str, Any], heads: int | None, path: Path, what: str) -> Sizes:
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    convs = "feature_extractor.conv_layers"
    deep = "encoder.transformer"
    try:
        kernels = [shapes[f"{convs}.{number}.conv.weight"] for number in range(len(_CONVOLUTIONS))]
        width, within, taps = shapes[f"{deep}.pos_conv_embed.conv.weight"]
        hidden = shapes[f"{deep}.layers.0.feed_forward.intermediate_dense.weight"][0]
    except (KeyError, ValueError) as error:
        raise VoiceError(f"{path}: is not {what}: {error.args[0]} is missing or of no use") from None
    if [shape[-1] for shape in kernels] != [kernel for kernel, _ in _CONVOLUTIONS]:
        found = ", ".join(str(shape[-1]) for shape in kernels)
        raise VoiceError(f"{path}: is not {what}: its convolutions have {found} taps, not 10, 3, 3, 3, 3, 2, 2")
    heads = heads or told.get("num_attention_heads") or _HEADS.get(width)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise VoiceError(
            f"{path}: how many heads attend cannot be read from weights of width {width}: pass heads=NUMBER, or the "
            "folder with the config.json of Hugging Face"
        )
    every_norm = f"{convs}.1.layer_norm.weight" in shapes
    return Sizes(
        channels=tuple(shape[0] for shape in kernels),
        width=width,
        hidden=hidden,
        layers=len({key.split(".")[3] for key in shapes if key.startswith(f"{deep}.layers.")}),
        heads=heads,
        kernel=taps,
        groups=max(1, width // max(1, within)),
        conv_bias=f"{convs}.0.conv.bias" in shapes,
        every_norm=every_norm,
        norm_first=bool(told.get("do_stable_layer_norm", every_norm)),
    )


def _built(sizes: Sizes) -> Any:
    # torchaudio takes a while to import
    from torchaudio.models import wav2vec2_model

    with torch.device("meta"):
        network: Any = wav2vec2_model(
            extractor_mode="layer_norm" if sizes.every_norm else "group_norm",
            extractor_conv_layer_config=[
                (channels, *shape) for channels, shape in zip(sizes.channels, _CONVOLUTIONS, strict=True)
            ],
            extractor_conv_bias=sizes.conv_bias,
            encoder_embed_dim=sizes.width,
            encoder_projection_dropout=0.0,
            encoder_pos_conv_kernel=sizes.kernel,
            encoder_pos_conv_groups=sizes.groups,
            encoder_num_layers=sizes.layers,
            encoder_num_heads=sizes.heads,
            encoder_attention_dropout=0.0,
            encoder_ff_interm_features=sizes.hidden,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.0,
            encoder_layer_norm_first=sizes.norm_first,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        nn.utils.parametrize.remove_parametrizations(network.encoder.transformer.pos_conv_embed.conv, "weight")
    return network


def _json(path: Path) -> Mapping[str, Any]:
    """A config of Hugging Face, empty where there is none."""
    if not path.is_file():
        return {}
    try:
        tree = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise VoiceError(f"{path}: cannot be read: {error}") from None
    return tree if isinstance(tree, Mapping) else {}
