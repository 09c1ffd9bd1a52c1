"""Published files of HiFi-GAN and NSF-HiFiGAN: found, read as tensors only, folded, and compared with their config.

Three layouts are known. HiFi-GAN's and OpenVPI's ``{"generator": ...}`` with a ``config.json`` beside it; diff-svc's
``{"state_dict": {"model_gen": ...}}`` with a ``config.yaml``; and the bare tensors of either.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from zoo.core.errors import ArgumentValueError
from zoo.header import CheckpointError
from zoo.importers.fields import Fields, read_fields
from zoo.importers.source import SUFFIXES, Source
from zoo.voice.base import LogBase, VoiceError
from zoo.voice.vocoders.generator import Generator, SourceKind

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_CONFIGS = ("config.json", "config.yaml", "config.yml")
_FIRST = re.compile(r"(|.*\.)conv_pre\.(weight|bias|parametrizations)")
_ENDING = re.compile(r"\.(weight_g|weight_v|parametrizations\.weight\.original[01]|weight|bias)$")
# of the names in a folder the first that is there, and of its files the latest
_NAMED = (r"model(\.\w+)?", r"model_ckpt_steps_\d+\.ckpt", r"g_\d+", r"generator\w*(\.\w+)?")

_MEL_FIELDS = {"n_fft": ("n_fft", "fft_size"), "win": ("win_size",), "fmin": ("fmin",), "fmax": ("fmax",)}


@dataclass(frozen=True)
class Read:
    """A vocoder as its files have it.

    Attributes:
        network: in eval mode, with folded weights in float32.
        log: the logarithm of its mels.
        mel: what else its config says of them, by the names of ``zoo.voice.mel``.
        optional_f0: whether it was trained to be heard without a pitch too.
        path: of the weights.
    """

    network: Generator
    log: LogBase
    mel: Mapping[str, float]
    optional_f0: bool
    path: Path


def read(path: str | Path) -> Read:
    """Read a generator.

    Args:
        path: of a file of weights with its config beside it, or of the folder of both.

    Raises:
        VoiceError: there are no such files, they are broken or want to run code, or weights and config do not belong
            together; the message names the fields.
    """
    weights = find(Path(path).expanduser())
    try:
        config = _config_beside(weights)
        fields = _normalized(read_fields(config))
        return _read(weights, config, fields)
    except (CheckpointError, ArgumentValueError) as error:
        message = str(error)
        raise VoiceError(message if str(weights.parent) in message else f"{weights}: {message}") from None


def find(path: Path) -> Path:
    """The file of weights: ``path`` itself, or the one in that folder.

    Raises:
        VoiceError: there is none, or several that could be meant.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise VoiceError(f"{path}: no such file or folder of a vocoder")
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name not in _CONFIGS)
    for pattern in _NAMED:
        if named := [file for file in files if re.fullmatch(pattern, file.name)]:
            newest = max(_number(file) for file in named)
            files = [file for file in named if _number(file) == newest]
            break
    else:
        files = [file for file in files if file.suffix in SUFFIXES]
    if len(files) != 1:
        found = f"several files could be it: {', '.join(file.name for file in files)}; name one" if files else None
        raise VoiceError(f"{path}: " + (found or f"no weights in this folder (model, {', '.join(SUFFIXES)})"))
    return files[0]


def _number(file: Path) -> int:
    """The step in a name, 0 where there is none."""
    return int(match[0]) if (match := re.search(r"\d+", file.name)) else 0


def _config_beside(weights: Path) -> Path:
    for name in _CONFIGS:
        if (weights.parent / name).is_file():
            return weights.parent / name
    raise CheckpointError(
        f"{weights}: no {' or '.join(_CONFIGS[:2])} beside it; the dilations and the sample rate cannot be read from "
        "the weights, so put the config that came with them into the same folder"
    )


def _normalized(fields: Fields) -> Fields:
    """diff-svc's names of the 24 kHz vocoder as everybody else's; the kind of residual block as a string."""
    fields.alias("audio_sample_rate", "sampling_rate")
    fields.alias("audio_num_mel_bins", "num_mels")
    tree = dict(fields.tree or {})
    if isinstance(tree.get("resblock"), int):
        fields = Fields(tree | {"resblock": str(tree["resblock"])})
        return _normalized(fields)
    return fields


def _read(weights: Path, config: Path, fields: Fields) -> Read:
    part = _root(Source(weights))
    folded = _folded(part, weights)
    settings = _settings(folded, fields)
    fields.settle()
    with torch.device("meta"):
        network = Generator(**settings)
    _fill(network, folded, weights)
    hop = fields.get("hop_size", int, network.hop)
    if hop != network.hop:
        _LOG.warning("%s: hop_size is %d, but the generator makes %d samples of a frame", config, hop, network.hop)
    # only the 24 kHz vocoder of diff-svc writes its config in these words, and only it was trained on log10
    old = "audio_sample_rate" in fields
    mel = {
        ours: fields.get(theirs, float, math.nan)
        for ours, names in _MEL_FIELDS.items()
        for theirs in names
        if theirs in fields
    }
    mel = {name: value for name, value in mel.items() if not math.isnan(value)}  # null is as good as not given
    return Read(network.eval(), "log10" if old else "ln", mel, old, weights)


def _root(source: Source) -> Source:
    """The part of a file whose keys are those of a generator."""
    roots = sorted({match[1] for key in source if (match := _FIRST.match(key))})
    if len(roots) != 1:
        found = f"has {len(roots)} generators ({', '.join(roots)})" if roots else "holds no generator"
        raise CheckpointError(f"{source.path}: {found}: expected one 'conv_pre', the first layer of HiFi-GAN")
    return source.under(roots[0])


def _folded(part: Source, path: Path) -> dict[str, Tensor]:
    """The tensors with g v / |v| in place of its factors, whichever way they are called."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key in part:
        name, ending = (key[: match.start()], match[1]) if (match := _ENDING.search(key)) else (key, "")
        layers.setdefault(name, {})[ending.rpartition(".")[2]] = part[key].float()
    folded: dict[str, Tensor] = {}
    for name, tensors in layers.items():
        for g, v in (("weight_g", "weight_v"), ("original0", "original1")):
            if (g in tensors) != (v in tensors):
                raise CheckpointError(f"{path}: {name} has {g if g in tensors else v} alone: weight norm needs both")
            if g in tensors:
                tensors["weight"] = _product(tensors.pop(g), tensors.pop(v), name)
        folded |= {f"{name}.{ending}" if ending else name: tensor for ending, tensor in tensors.items()}
    return folded


def _product(g: Tensor, v: Tensor, name: str) -> Tensor:
    """g v / |v|; the norm is over all dimensions but the first, which in transposed convolutions are the inputs."""
    if g.numel() != len(v) or v.ndim != 3:
        raise CheckpointError(f"{name}: weight norm of shapes {tuple(g.shape)} and {tuple(v.shape)} is not known")
    exact = v.double()
    length: Tensor = torch.linalg.vector_norm(exact, dim=(1, 2), keepdim=True)
    return (exact * (g.double().reshape(-1, 1, 1) / length)).float()


def _settings(weights: Mapping[str, Tensor], fields: Fields) -> dict[str, Any]:
    """The arguments of the network: from the shapes what they tell, from the config the rest."""
    channels, bins, _ = _shape(weights, "conv_pre.weight")
    stages, blocks = _count(weights, "ups"), _count(weights, "resblocks")
    a_stage = max(1, blocks // max(1, stages))
    paired = "resblocks.0.convs1.0.weight" in weights
    convs = "convs1" if paired else "convs"
    kernels = [_shape(weights, f"ups.{stage}.weight")[2] for stage in range(stages)]
    sizes = [_shape(weights, f"resblocks.{index}.{convs}.0.weight")[2] for index in range(a_stage)]
    depth = [_count(weights, f"resblocks.{index}.{convs}") for index in range(a_stage)]
    source: SourceKind = "none"
    if "m_source.l_linear.weight" in weights or "source_conv.weight" in weights:
        source = "sine" if "source_conv.weight" in weights else "harmonics"
    settings = {
        "mel_bins": fields.agree("num_mels", bins, "conv_pre.weight"),
        "channels": fields.agree("upsample_initial_channel", channels, "conv_pre.weight"),
        "rates": _rates(weights, fields, stages),
        "kernel_sizes": fields.agree("upsample_kernel_sizes", kernels, "ups.*.weight"),
        "block": fields.agree("resblock", "1" if paired else "2", "resblocks.0.*"),
        "block_kernel_sizes": fields.agree("resblock_kernel_sizes", sizes, "resblocks.*.weight"),
        "block_dilations": _dilations(fields, depth),
        "source": source,
        "sample_rate": _needed(fields, "sampling_rate", int, 0),
        "noise_sigma": fields.get("noise_sigma", float, 0.0),
    }
    fields.agree("mini_nsf", source == "sine", "source_conv.weight")
    fields.agree("use_pitch_embed", source != "none", "m_source.*")
    return settings


def _rates(weights: Mapping[str, Tensor], fields: Fields, stages: int) -> list[int]:
    rates: list[int] = _needed(fields, "upsample_rates", list[int], [])
    if len(rates) != stages:
        if rates:
            fields.contradict("upsample_rates", f"the weights have {stages} stages (ups.*)")
        return rates
    for stage in range(stages):
        key = f"noise_convs.{stage}.weight"
        rest = math.prod(rates[stage + 1 :])
        if key in weights and weights[key].shape[-1] != (2 * rest if rest > 1 else 1):
            size = weights[key].shape[-1]
            fields.contradict("upsample_rates", f"the weights have windows of {size} samples ({key})")
            break
    return rates


def _dilations(fields: Fields, depth: list[int]) -> list[list[int]]:
    name = "resblock_dilation_sizes"
    dilations: list[list[int]] = _needed(fields, name, list[list[int]], [])
    if dilations and [len(one) for one in dilations] != depth:
        fields.contradict(name, f"the weights have {depth} convolutions in the residual blocks of a stage")
    return dilations


def _needed(fields: Fields, name: str, kind: type[T], instead: T) -> T:
    """A field that the weights do not tell; ``instead`` where its value is noted as wrong."""
    if name not in fields:
        raise CheckpointError(f"{name} is missing in the config, and cannot be read from the weights")
    return fields.get(name, kind, instead)


def _shape(weights: Mapping[str, Tensor], key: str) -> tuple[int, int, int]:
    if key not in weights:
        raise CheckpointError(f"has no tensor {key!r}: expected the generator of HiFi-GAN")
    if weights[key].ndim != 3:
        raise CheckpointError(f"{key}: expected the weight of a convolution, got {tuple(weights[key].shape)}")
    first, second, third = weights[key].shape
    return first, second, third


def _count(weights: Mapping[str, Tensor], name: str) -> int:
    """How many numbered parts ``name`` has."""
    found = {match[1] for key in weights if (match := re.match(rf"{re.escape(name)}\.(\d+)\.", key))}
    return len(found)


def _fill(network: Generator, weights: Mapping[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    problems = [f"{key}: missing" for key in wanted if key not in weights]
    problems += [f"{key}: not a part of this generator" for key in weights if key not in wanted]
    problems += [
        f"{key}: expected {tuple(wanted[key].shape)}, got {tuple(weights[key].shape)}"
        for key in wanted
        if key in weights and weights[key].shape != wanted[key].shape
    ]
    if problems:
        more = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
        lines = "\n    ".join(problems[:8] + more)
        raise CheckpointError(f"{path}: the weights do not fit the config beside them\n    {lines}")
    network.load_state_dict(dict(weights), assign=True)
