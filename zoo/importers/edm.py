"""Weights of NVlabs/edm: SongUNet and DhariwalUNet, bare or preconditioned, as a state_dict.

The published files are pickles that rebuild their classes from source code and are refused; whoever trusts them exports
the state_dict once, and the arguments beside it. A preconditioned model has the network's keys under ``model.``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.attention_orders import split_qkv
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source

_BLOCK = re.compile(r"(enc|dec)\.(\d+)x\d+_(conv|aux_[a-z]+|down|up|in|block)(\d*)\.(.+)")
_HEADS = 64  # channels of a head of DhariwalUNet, which its code does not let anyone choose
_PRECONDITIONERS = {
    "EDMPrecond": "edm",
    "VPPrecond": "vp-precond",
    "VEPrecond": "ve-precond",
    "iDDPMPrecond": "iddpm-precond",
}
_NETWORKS = {"SongUNet": "edm-song", "DhariwalUNet": "edm-dhariwal"}
_OUTSIDE = {
    "map_noise.freqs": "temb.waves.frequencies",
    "map_label": "temb.label",
    "map_augment": "temb.augment",
    "map_layer0": "temb.dense.0",
    "map_layer1": "temb.dense.1",
    "out_norm": "norm_out",
    "out_conv": "conv_out",
}
_INSIDE = {
    "norm0": "norm1",
    "conv0": "conv1",
    "affine": "temb_proj",
    "norm1": "norm2",
    "conv1": "conv2",
    "skip": "nin_shortcut",
}
_ATTENTION = {"norm2": "norm", "proj": "proj_out"}
_COPIES: dict[str, Copy] = {"": "unknown", "module.": "unknown", "ema.": "ema", "net.": "raw"}
_STEPS = {32: 18, 64: 40}  # of the paper's own samples, by the side of the images


class EDM(Importer):
    """EDM's networks: to ``edm-song`` and ``edm-dhariwal``, with the preconditioning as the parameterization."""

    # the filters are in the config of ours
    dropped: ClassVar[tuple[str, ...]] = ("*.resample_filter",)
    configs: ClassVar[tuple[str, ...]] = ("training_options.json", "config.yaml", "config.json")

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        files = [source.under(f"{file}/") for file in source.files] if source.files else [source]
        found: dict[Copy, Source] = {}
        for file in files:
            for prefix, name in _COPIES.items():
                if _network(part := file.under(prefix)):
                    found.setdefault(name, part)
        return found

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        fields.alias("network_kwargs.", "")
        fields.alias("class_name", "cls")
        net = _Network(weights)
        song = net.family == "SongUNet"
        in_channels, out_channels, side = net.in_channels, net.out_channels, net.sides[0]
        precond = _preconditioner(weights, net, fields)
        learned = precond == "iDDPMPrecond" and out_channels == 2 * in_channels
        if not learned and out_channels != in_channels:
            fields.assumed.append(f"the {out_channels} output channels for {in_channels} of x are all a prediction")

        fields.agree("img_resolution", side, f"enc.{side}x{side}_conv")
        fields.agree("in_channels", in_channels, "enc.*_conv.weight")
        fields.agree("img_channels", in_channels, "enc.*_conv.weight")
        if "img_channels" not in fields:
            fields.agree("out_channels", out_channels, "the last convolution")
        base = net.base_channels if not song else net.stem
        mult = [width / base for width in net.widths]
        fields.agree("model_channels", base, "map_layer0.weight" if not song else "enc.*_conv.weight")
        fields.agree("channel_mult", tuple(map(_whole, mult)), "enc.*_block0.conv1.weight")
        fields.agree("channel_mult_emb", _whole(net.time_width / base), "map_layer0.weight")
        fields.agree("num_blocks", net.blocks, "enc.*_block*")
        fields.agree("label_dim", net.classes or 0, "map_label.weight")
        fields.agree("augment_dim", net.augment_channels or 0, "map_augment.weight")
        _check_attention(net, fields)
        denoiser: dict[str, Any] = {
            "name": _NETWORKS[net.family],
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base,
            "channel_mult": [_whole(m) for m in mult],
            "blocks_per_level": net.blocks,
            "attention_resolutions": [net.sides[i] for i in net.attends],
            "resolution": side,
            "dropout": fields.assume("dropout", float, 0.1, "it matters for further training only"),
            "classes": net.classes,
            "augment_channels": net.augment_channels,
            "time_mult": _whole(net.time_width / base),
        }
        if song:
            denoiser |= {
                "embedding": fields.agree("embedding_type", net.embedding, "map_noise.freqs"),
                "noise_mult": fields.agree("channel_mult_noise", _whole(net.waves_width / base), "map_layer0.weight"),
                "encoder": fields.agree("encoder_type", net.encoder, "enc.*_aux_*"),
                "decoder": fields.agree("decoder_type", net.decoder, "dec.*_aux_*"),
                "resample_filter": list(net.taps(fields)),
            }
        else:
            denoiser |= {"head_channels": _HEADS, "mid_attention": net.mid_attends}
        return {
            "shape": [in_channels, side, side],
            "denoiser": denoiser,
            **_noise(precond, learned, side, weights, fields),
            "sampler": {"name": "heun"},
        }

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        net = _Network(weights)
        if "u" in weights:
            yield "parameterization.u", weights["u"]
        for key in net.source:
            if not key.endswith(".resample_filter") and key != "u":
                for name, tensor in net.ours(key):
                    yield f"denoiser.{name}", tensor


class _Network:
    """The network in a file, and what its keys and shapes say of it."""

    def __init__(self, weights: Source) -> None:
        self.source = source = _network(weights)
        self.family = "DhariwalUNet" if "out_conv.weight" in source else "SongUNet"
        self.sides = sorted({int(found[2]) for key in source if (found := _BLOCK.fullmatch(key))}, reverse=True)
        if not self.sides:
            raise CheckpointError(f"{source.path}: has map_layer0 and map_layer1, and no levels of a network of EDM")
        self.levels = range(len(self.sides))
        first = f"{self.sides[0]}x{self.sides[0]}"
        self.stem, self.in_channels = source.shape(f"enc.{first}_conv.weight")[:2]
        last = "out_conv" if self.family == "DhariwalUNet" else f"dec.{first}_aux_conv"
        self.out_channels = source.shape(f"{last}.weight")[0]
        self.widths = [source.shape(self._key("enc", i, "block0.conv1.weight"))[0] for i in self.levels]
        self.blocks = 0
        while self._key("enc", 0, f"block{self.blocks}.conv1.weight") in source:
            self.blocks += 1
        self.time_width, self.waves_width = source.shape("map_layer0.weight")
        self.base_channels = self.waves_width
        self.classes = self._inputs("map_label.weight")
        self.augment_channels = self._inputs("map_augment.weight")
        self.attends = [i for i in self.levels if self._key("enc", i, "block0.qkv.weight") in source]
        self.mid_attends = self._key("dec", len(self.sides) - 1, "in0.qkv.weight") in source
        self.embedding = "fourier" if "map_noise.freqs" in source else "positional"
        deepest = self.levels[-1]
        self.encoder = next(
            (kind for kind in ("skip", "residual") if self._key("enc", deepest, f"aux_{kind}.weight") in source),
            "standard",
        )
        several = deepest > 0 and self._key("dec", deepest, "aux_conv.weight") in source
        self.decoder = "skip" if several else "standard"

    def taps(self, fields: Fields) -> tuple[float, ...]:
        """The filter that halves and doubles: what the file holds, or of a network of one level the config."""
        given: tuple[float, ...] = fields.get("resample_filter", tuple[float, ...], (1.0, 1.0))
        filters = [key for key in self.source if key.endswith(".resample_filter")]
        if not filters:
            return given
        sums = self.source[filters[0]].double().flatten(0, 2).sum(0)
        found = tuple(round(tap, 6) for tap in (sums / sums[0]).tolist())
        if "resample_filter" in fields and tuple(round(tap / given[0], 6) for tap in given) != found:
            fields.contradict("resample_filter", f"the weights say {list(found)} ({filters[0]})")
        return found

    def ours(self, key: str) -> Iterator[tuple[str, Tensor]]:
        """Our names of a tensor of theirs; that of a fused q, k, v comes apart."""
        for theirs, ours in _OUTSIDE.items():
            if key.startswith(theirs):
                yield ours + key.removeprefix(theirs), self.source[key]
                return
        found = _BLOCK.fullmatch(key)
        if found is None:
            raise CheckpointError(f"{self.source.path}: {key} is in no network of EDM")
        way, side, kind, number, rest = found.groups()
        i = self.sides.index(int(side))
        if place := self._whole_layer(way, i, kind):
            yield f"{place}.{rest}", self.source[key]
            return
        block, attention = self._place(way, i, kind, number)
        layer, _, tensor = rest.partition(".")
        if layer == "qkv":
            channels = self.widths[i]
            heads = channels // _HEADS if self.family == "DhariwalUNet" else 1
            parts = zip("qkv", split_qkv(self.source[key], heads, "edm"), strict=True)
            for part, weight in parts:
                yield f"{attention}.{part}.{tensor}", weight
        elif layer in _ATTENTION:
            yield f"{attention}.{_ATTENTION[layer]}.{tensor}", self.source[key]
        else:
            yield f"{block}.{_INSIDE.get(layer, layer)}.{tensor}", self.source[key]

    def _whole_layer(self, way: str, i: int, kind: str) -> str | None:
        """The place of what is no residual block."""
        if kind == "conv":
            return "conv_in"
        if kind in ("aux_skip", "aux_residual"):
            return f"input_skip.{i - 1}.conv"
        if kind in ("aux_norm", "aux_conv"):
            layer = kind.removeprefix("aux_")
            return f"output_skip.{i - 1}.{layer}" if i else f"{layer}_out"
        return None

    def _place(self, way: str, i: int, kind: str, number: str) -> tuple[str, str]:
        """The places of a residual block and of the attention behind it."""
        if kind == "block":
            level = "down" if way == "enc" else "up"
            return f"{level}.{i}.block.{number}", f"{level}.{i}.attn.{number}"
        if kind == "in":
            return f"mid.block_{int(number) + 1}", f"mid.attn_{int(number) + 1}"
        return (f"down.{i - 1}.downsample", "") if kind == "down" else (f"up.{i + 1}.upsample", "")

    def _key(self, way: str, level: int, rest: str) -> str:
        return f"{way}.{self.sides[level]}x{self.sides[level]}_{rest}"

    def _inputs(self, key: str) -> int | None:
        return self.source.shape(key)[1] if key in self.source else None


def _network(source: Source) -> Source:
    """The weights of the network, past the ``model.`` of a preconditioner; empty when there are none."""
    for part in (source, source.under("model.")):
        if "map_layer0.weight" in part and "map_layer1.weight" in part:
            return part
    return source.under("no network/")


def _preconditioner(weights: Source, net: _Network, fields: Fields) -> str:
    """The class of the preconditioner."""
    words = (fields.get("cls", str, ""), fields.get("model_type", str, ""))
    names = [word.rpartition(".")[2] for word in words]
    for name, word in zip(names, ("cls", "model_type"), strict=True):
        if name in _NETWORKS and name != net.family:
            fields.contradict(word, f"the weights are those of a {net.family}")
        elif name and name not in _NETWORKS and name not in _PRECONDITIONERS:
            fields.contradict(word, f"this importer knows {', '.join([*_PRECONDITIONERS, *_NETWORKS])}")
    if names[0] in _PRECONDITIONERS:
        if "u" in weights and names[0] != "iDDPMPrecond":
            fields.contradict("cls", "the weights hold the noise levels u of an iDDPMPrecond")
        return names[0]
    if "u" in weights:
        return "iDDPMPrecond"
    fields.assumed.append("cls = 'EDMPrecond': as all published models of this project")
    return "EDMPrecond"


def _check_attention(net: _Network, fields: Fields) -> None:
    """Attention is where the config has it, but for levels too narrow for a head."""
    wanted: tuple[int, ...] = fields.get("attn_resolutions", tuple[int, ...], ())
    if "attn_resolutions" not in fields:
        return
    there = [i for i in net.levels if net.sides[i] in wanted]
    narrow = [i for i in there if net.family == "DhariwalUNet" and net.widths[i] < _HEADS]
    if [i for i in there if i not in narrow] != net.attends:
        sides = [net.sides[i] for i in net.attends]
        fields.contradict("attn_resolutions", f"the weights attend at {sides or 'none'}")
    elif narrow:
        sides = [net.sides[i] for i in narrow]
        fields.remarks.append(f"no attention at {sides}, though attn_resolutions has it: too narrow for a head")


def _noise(precond: str, learned: bool, side: int, weights: Source, fields: Fields) -> dict[str, Any]:
    """The parameterization, the noise levels that the model was trained on, and the walk through them."""
    parameterization: dict[str, Any] = {"name": _PRECONDITIONERS[precond], "learned_variance": learned}
    if precond == "EDMPrecond":
        parameterization["sigma_data"] = fields.get("sigma_data", float, 0.5)
        low, high = fields.get("sigma_min", float, 0.0) or 0.002, fields.get("sigma_max", float, 80.0)
        high = high if math.isfinite(high) else 80.0
    elif precond == "VPPrecond":
        grow, start = fields.get("beta_d", float, 19.9), fields.get("beta_min", float, 0.1)
        steps, least = fields.get("M", int, 1000), fields.get("epsilon_t", float, 1e-5)
        parameterization |= {"beta_d": grow, "beta_min": start, "steps": steps}
        low, high = (math.sqrt(math.expm1(grow * t**2 / 2 + start * t)) for t in (least, 1.0))
    elif precond == "VEPrecond":
        low, high = fields.get("sigma_min", float, 0.02), fields.get("sigma_max", float, 100.0)
    else:
        if "u" not in weights:
            raise CheckpointError("an iDDPMPrecond has a tensor u, its noise levels, which is not among these weights")
        steps = fields.agree("M", weights.shape("u")[0] - 1, "u")
        cap, offset = fields.get("C_1", float, 0.001), fields.get("C_2", float, 0.008)
        parameterization |= {"c_1": cap, "c_2": offset, "steps": steps}
        high, low = float(weights["u"][0]), float(weights["u"][-2])
    # where the paper's walks start and end, as far as the model knows these levels
    spacing = {"name": "karras", "sigma_min": max(low, 0.002), "sigma_max": min(high, 80.0)}
    return {
        "parameterization": parameterization,
        "schedule": {"name": "edm", "sigma_min": low, "sigma_max": high},
        "sampling": {"steps": _STEPS.get(side, 40), "spacing": spacing},
    }


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number
