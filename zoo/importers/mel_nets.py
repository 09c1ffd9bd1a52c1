"""The denoisers of mels in a foreign file: where they are, and their sizes from the shapes of their weights."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from zoo.header import CheckpointError
from zoo.importers.fields import Fields
from zoo.importers.source import Source

_FAMILIES = {
    "diffnet": re.compile(r"(.*?)residual_layers\.\d+\.dilated_conv\.weight"),
    "lynxnet": re.compile(r"(.*?)residual_layers\.\d+\.convmodule\.net\.2\.weight"),
    "lynxnet2": re.compile(r"(.*?)residual_layers\.\d+\.net\.8\.weight"),
    "fft-denoiser": re.compile(r"(.*?)get_decode_inp\.weight"),
}


_BINS = (("output_projection.bias", -1), ("output_projection.weight", 0), ("input_projection.weight", 1))
_COND = ((r"residual_layers\.\d+\.conditioner_projection\.weight", 1),)
_WIDTH = ((r"(norm|input_projection|diffusion_embedding\.3)\.bias", -1),)


@dataclass(frozen=True)
class Net:
    """A denoiser in a file.

    Args:
        family: our name of it.
        prefix: what its keys begin with.
    """

    family: str
    prefix: str


@dataclass(frozen=True)
class Names:
    """What a project calls the sizes of its networks in its configs."""

    mel_bins: str = "audio_num_mel_bins"
    cond_channels: str = "hidden_size"
    channels: str = "residual_channels"
    layers: str = "residual_layers"
    n_feats: str = "n_feats"


def nets(source: Source) -> list[Net]:
    """The denoisers in there, from key names alone."""
    found = {
        Net(family, said[1])
        for key in source
        for family, pattern in _FAMILIES.items()
        if (said := pattern.fullmatch(key))
    }
    return sorted(found, key=lambda net: net.prefix)


def network(weights: Source, net: Net, fields: Fields, names: Names) -> dict[str, Any]:
    """The config of a denoiser, its sizes from its weights.

    Raises:
        CheckpointError: a tensor that tells a size is missing.
        MissingField: what the shapes cannot tell is not given.
    """
    part = weights.under(net.prefix)
    read = {"diffnet": _diffnet, "lynxnet": _lynxnet, "lynxnet2": _lynxnet2, "fft-denoiser": _fft}[net.family]
    tree = {"name": net.family, **read(part, fields)}
    n_feats = fields.get(names.n_feats, int, 1)
    if n_feats < 1 or tree["mel_bins"] % n_feats:
        fields.contradict(names.n_feats, f"the network has {tree['mel_bins']} outputs a frame")
    elif n_feats > 1:
        tree |= {"n_feats": n_feats, "mel_bins": tree["mel_bins"] // n_feats}
    channels = tree["channels"] if "channels" in tree else tree["residual_channels"]
    fields.agree(names.mel_bins, tree["mel_bins"], "its outputs a frame")
    fields.agree(names.cond_channels, tree["cond_channels"], "its inputs of the condition")
    fields.agree(names.channels, channels, "the width of its layers")
    if net.family != "fft-denoiser":
        fields.agree(names.layers, tree["layers"], f"{net.prefix}residual_layers.*")
    return tree


# Every size is what most tensors say: one that is cut or missing is then found by its own name.


def _diffnet(part: Source, fields: Fields) -> dict[str, Any]:
    return {
        "mel_bins": _most(part, *_BINS),
        "cond_channels": _most(part, *_COND),
        "residual_channels": _most(part, (r"(input_projection|skip_projection|mlp\.2)\.bias", -1)),
        "layers": _count(part, "residual_layers"),
    }


def _lynxnet(part: Source, fields: Fields) -> dict[str, Any]:
    layer = r"residual_layers\.\d+\.convmodule\.net"
    channels = _most(part, *_WIDTH)
    inner = _most(part, (rf"{layer}\.4\.bias", -1))
    slopes = any(re.fullmatch(rf"{layer}\.5\.weight", key) for key in part)
    default = "the default of OpenVPI's LYNXNet"
    if slopes:
        activation = fields.agree("backbone_args.activation", "PReLU", f"{layer}.5.weight")
    else:
        activation = fields.need("backbone_args.activation", str, "SiLU")
        if activation not in ("SiLU", "ReLU"):
            fields.contradict("backbone_args.activation", "the weights say SiLU or ReLU (they have no slopes)")
            activation = "SiLU"
    return {
        "mel_bins": _most(part, *_BINS),
        "cond_channels": _most(part, *_COND),
        "channels": channels,
        "layers": _count(part, "residual_layers"),
        "expansion": _expansion(inner, channels),
        "kernel_size": _most(part, (rf"{layer}\.4\.weight", 2)),
        "activation": activation.lower(),
        "strong_cond": fields.assume("backbone_args.strong_cond", bool, False, default),
        "dropout": fields.get("backbone_args.dropout_rate", float, 0.0),
    }


def _lynxnet2(part: Source, fields: Fields) -> dict[str, Any]:
    layer = r"residual_layers\.\d+\.net"
    channels = _most(part, *_WIDTH)
    inner = _most(part, (rf"{layer}\.4\.bias", -1)) // 2
    glu = fields.need("backbone_args.glu_type", str, "atanglu")
    if glu not in ("swiglu", "atanglu"):
        fields.contradict("backbone_args.glu_type", "this importer knows swiglu and atanglu")
        glu = "swiglu"
    projection = len(part.shape("conditioner_projection.weight"))
    return {
        "mel_bins": _most(part, *_BINS),
        "cond_channels": _most(part, ("conditioner_projection.weight", 1)),
        "channels": channels,
        "layers": _count(part, "residual_layers"),
        "expansion": _expansion(inner, channels),
        "kernel_size": _most(part, (rf"{layer}\.2\.weight", 2)),
        "glu": glu,
        "conv_conditioner": fields.agree("backbone_args.use_conditioner_cache", projection == 3, "its shape"),
        "dropout": fields.get("backbone_args.dropout_rate", float, 0.0),
    }


def _fft(part: Source, fields: Fields) -> dict[str, Any]:
    return {
        "mel_bins": _most(part, ("get_mel_out.bias", -1), ("get_mel_out.weight", 0), ("input_projection.weight", 1)),
        "cond_channels": _most(part, (r"(layer_norm|layers\.\d+\.op\.layer_norm1)\.bias", -1)),
        "residual_channels": _most(part, (r"(input_projection|mlp\.2)\.bias", -1), ("input_projection.weight", 0)),
        "layers": fields.agree("dec_layers", _count(part, "layers"), "layers.*"),
        "heads": fields.need("num_heads", int, 2),
        "kernel_size": fields.agree(
            "dec_ffn_kernel_size", _most(part, (r"layers\.\d+\.op\.ffn\.ffn_1\.weight", 2)), "layers.*.op.ffn.ffn_1"
        ),
        "dropout": fields.get("dropout", float, 0.1),
    }


def _count(part: Source, name: str) -> int:
    """How many layers there are: one more than the highest number, so that a gap is missed later on."""
    pattern = re.compile(rf"{name}\.(\d+)\.")
    return 1 + max(int(found[1]) for key in part if (found := pattern.match(key)))


def _most(part: Source, *where: tuple[str, int]) -> int:
    """The size that most tensors have, of those named by a pattern, along the axis beside it."""
    sizes = Counter(
        part.shape(key)[axis]
        for key in part
        for pattern, axis in where
        if re.fullmatch(pattern, key) and len(part.shape(key)) > axis
    )
    if not sizes:
        pattern = where[0][0].replace(r"\d+", "*").replace("\\", "")
        raise CheckpointError(f"{part.path}: has no tensor {part.prefix}{pattern}")
    return sizes.most_common(1)[0][0]


def _expansion(inner: int, channels: int) -> float:
    """The factor that gives this inner width when the product is rounded down."""
    ratio = inner / channels
    return ratio if int(channels * ratio) == inner else (inner + 0.5) / channels
