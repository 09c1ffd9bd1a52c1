"""Unconditional and class-conditional pipelines of diffusers: UNet2DModel with its scheduler.

They come as a folder (model_index.json, unet/, scheduler/), as an older folder with everything in one place, as a unet/
folder alone, or as the file of weights in one of these. Of several files the safetensors one is read before the .bin
one, and full precision before a variant such as fp16, whose numbers are the rounded ones; parts of a sharded file are
put together. A training folder holds its moving average as unet_ema/.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers import diffusers_names as names
from zoo.importers import diffusers_schedulers
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields, read_fields
from zoo.importers.source import Source

T = TypeVar("T")

_HALLMARKS = ("conv_in.weight", "time_embedding.linear_1.weight", "conv_norm_out.weight", "conv_out.weight")
_FILE = re.compile(
    r"(?P<folder>(?:.*/)?)diffusion_pytorch_model(?:\.(?P<variant>\w+?))?(?:-(?P<part>\d+)-of-(?P<parts>\d+))?"
    r"(?:\.(?P<old_variant>\w+))?\.(?P<suffix>safetensors|bin)"
)
_USUAL = "diffusers' default"


class _File(NamedTuple):
    """A file of weights, by its name."""

    name: str
    folder: str
    variant: str
    part: int
    parts: int
    suffix: str


class Diffusers(Importer):
    """diffusers' UNet2DModel and its scheduler: to the denoiser ``unet2d``."""

    # what buffers and a second name of the random frequencies were saved as, once
    dropped: ClassVar[tuple[str, ...]] = ("*time_proj.W",)
    configs: ClassVar[tuple[str, ...]] = ("unet/config.json", "config.json")
    beside: ClassVar[bool] = True

    def matches(self, source: Source) -> bool:
        return any(self._keys(copy) for copy in self.copies(source).values())

    def copies(self, source: Source) -> dict[Copy, Source]:
        if not source.files:
            return {"unknown": source}
        folders = {file.folder for file in _all_files(source)}
        if "unet_ema/" in folders and "unet/" in folders:
            return {"raw": source.under("unet/"), "ema": source.under("unet_ema/")}
        if "unet_ema/" in folders:
            return {"ema": source.under("unet_ema/")}
        return {"unknown": source.under("unet/") if "unet/" in folders else source}

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        fields.alias("unet.", "")
        kind = fields.get("_class_name", str, "UNet2DModel")
        if kind != "UNet2DModel":
            raise CheckpointError(
                f"{weights.path}: holds a {kind}; this importer reads UNet2DModel, the network without a text condition"
            )
        taken = [file.name for file in _taken(weights)]
        if others := [file.name for file in _files(weights) if file.name not in taken]:
            fields.remarks.append(f"read {', '.join(taken)}; beside it lie {', '.join(others)}")
        denoiser = _denoiser(self._keys(weights), fields)
        given = (fields.tree or {}).get("scheduler")
        scheduler = read_fields(given if isinstance(given, Mapping) else _scheduler_file(weights))
        tree = {"denoiser": denoiser, **diffusers_schedulers.parts(scheduler)}
        fields.assumed += scheduler.assumed
        fields.remarks += scheduler.remarks
        scheduler.settle()
        in_channels, out_channels = denoiser["in_channels"], denoiser["out_channels"]
        if out_channels == 2 * in_channels:
            fields.assumed.append(f"the second {in_channels} of the {out_channels} output channels are a variance")
            tree["parameterization"]["learned_variance"] = True
        if size := _sample_size(fields):
            tree["shape"] = [in_channels, *size]
        return tree

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        keys = self._keys(weights)
        for ours, theirs in names.tensors(_ladder(keys)):
            key = theirs if theirs in keys else names.legacy(theirs)
            if key not in keys:
                continue
            # random frequencies, a vector, and a table of times share their name
            if (ours, len(keys[key].shape(key))) in ((names.FREQUENCIES, 2), (names.TIME_TABLE, 1)):
                continue
            tensor = keys[key][key]
            is_matrix = names.is_token_conv(ours) and tensor.ndim == 2
            yield f"denoiser.{ours}", tensor[..., None, None] if is_matrix else tensor

    def _keys(self, weights: Source) -> dict[str, Source]:
        """Which part of the source holds each key of the network; nothing for another network."""
        parts = [weights]
        if weights.files:
            parts = [weights.under(f"{file.name.removeprefix(weights.prefix)}/") for file in _taken(weights)]
        keys = {key: part for part in parts for key in part}
        return keys if all(key in keys for key in _HALLMARKS) else {}


def _files(source: Source) -> list[_File]:
    """The files of weights of a pipeline's network that lie right under this prefix."""
    return [file for file in _all_files(source) if file.folder == source.prefix]


def _all_files(source: Source) -> list[_File]:
    found = []
    for name in source.files:
        if match := _FILE.fullmatch(name):
            variant = match["variant"] or match["old_variant"] or ""
            part, parts = int(match["part"] or 1), int(match["parts"] or 1)
            found.append(_File(name, match["folder"], variant, part, parts, match["suffix"]))
    return found


def _taken(source: Source) -> list[_File]:
    """Of the files under this prefix those that make up the best copy, part by part.

    Raises:
        CheckpointError: a part is missing.
    """
    copies: dict[tuple[str, str, int], list[_File]] = {}
    for file in _files(source):
        copies.setdefault((file.variant, file.suffix, file.parts), []).append(file)
    if not copies:
        return []
    # full precision has no variant; fp16 has more digits than bf16
    best = min(copies, key=lambda copy: (copy[0] != "", copy[0] != "fp16", copy[0], copy[1] != "safetensors", copy[2]))
    missing = set(range(1, best[2] + 1)) - {file.part for file in copies[best]}
    if missing:
        raise CheckpointError(f"{source.path}: of {best[2]} files these are missing: {sorted(missing)}")
    return sorted(copies[best], key=lambda file: file.part)


def _scheduler_file(weights: Source) -> Path | None:
    """The scheduler's config of the pipeline that the network belongs to."""
    folder = weights.path if weights.files else weights.path.parent
    places = [folder / "scheduler", folder]
    if folder.name.startswith("unet"):
        places.append(folder.parent / "scheduler")
    return next((file for place in places if (file := place / "scheduler_config.json").is_file()), None)


def _sample_size(fields: Fields) -> tuple[int, int] | None:
    """Height and width of the images, where the config tells them."""
    if not isinstance(size := fields.get("sample_size", object, None), int):
        return fields.get("sample_size", tuple[int, int], None)
    return (size, size)


def _ladder(keys: Container[str]) -> names.Ladder:
    """How the modules are called, from the keys of the weights."""
    levels = _count(keys, "down_blocks.{}.resnets.0.conv1.weight")
    blocks = _count(keys, "down_blocks.0.resnets.{}.conv1.weight")
    ups = {i: f"up_blocks.{levels - 1 - i}" for i in range(levels)}
    query = "{}.attentions.{}.group_norm.weight"
    return names.Ladder(
        levels,
        blocks,
        fir_down=frozenset(i for i in range(levels) if f"down_blocks.{i}.resnet_down.conv1.weight" in keys),
        fir_up=frozenset(i for i, up in ups.items() if f"{up}.resnet_up.conv1.weight" in keys),
        single=frozenset(i for i, up in ups.items() if query.format(up, 0) in keys and query.format(up, 1) not in keys),
    )


def _count(keys: Container[str], pattern: str) -> int:
    """How many of the keys ``pattern`` with 0, 1, 2, ... there are."""
    count = 0
    while pattern.format(count) in keys:
        count += 1
    return count


def _denoiser(keys: Mapping[str, Source], fields: Fields) -> dict[str, Any]:
    """The arguments of the network."""

    def shape(key: str) -> tuple[int, ...]:
        return keys[key].shape(key)

    ladder = _ladder(keys)
    widths = tuple(shape(f"down_blocks.{i}.resnets.0.conv1.weight")[0] for i in range(ladder.levels))
    in_channels, out_channels = shape("conv_in.weight")[1], shape("conv_out.weight")[0]
    fields.agree("in_channels", in_channels, "conv_in.weight")
    fields.agree("out_channels", out_channels, "conv_out.weight")
    fields.agree("block_out_channels", widths, "down_blocks.*.resnets.0.conv1.weight")
    fields.agree("layers_per_block", ladder.blocks, "down_blocks.0.resnets.*")
    activation = fields.get("act_fn", str, "silu")
    if activation not in ("silu", "swish"):
        raise CheckpointError(f"act_fn is {activation!r}: only networks with silu are supported")
    shift = _one_of(fields, "resnet_time_scale_shift", {"default": False, "scale_shift": True})
    groups = _nullable(fields, "norm_num_groups", int, 32)
    middle_groups = fields.get("attn_norm_num_groups", int, None)
    label = _label(keys, fields)
    padding = fields.assume("downsample_padding", int, 1, _USUAL)
    if padding not in (0, 1):
        raise CheckpointError(f"downsample_padding is {padding}: 0 and 1 are supported")
    embedding = fields.get("time_embedding_type", str, "positional")
    if embedding not in ("positional", "fourier", "learned"):
        raise CheckpointError(f"time_embedding_type is {embedding!r}: positional, fourier and learned are supported")
    down, up = _kinds(fields, "down", ladder.levels), _kinds(fields, "up", ladder.levels)
    tree: dict[str, Any] = {
        "name": "unet2d",
        "in_channels": in_channels,
        "out_channels": out_channels,
        "widths": list(widths),
        "down": down,
        "up": up[::-1],  # theirs count from the deepest level
        "blocks_per_level": ladder.blocks,
        "middle": "mid_block.resnets.0.conv1.weight" in keys,
        "middle_attention": fields.get("add_attention", bool, True),
        "middle_scale": fields.assume("mid_block_scale_factor", float, 1.0, _USUAL),
        "symmetric_padding": padding == 1,
        "head_channels": _nullable(fields, "attention_head_dim", int, 8),
        "scale_shift": shift,
        "dropout": fields.assume("dropout", float, 0.0, "it matters for further training only"),
        "norm_groups": groups,
        "norm_eps": fields.assume("norm_eps", float, 1e-5, _USUAL),
        "center_input": fields.assume("center_input_sample", bool, False, _USUAL),
        "embedding": embedding,
        "time_width": shape("time_embedding.linear_1.weight")[0],
        **label,
    }
    if middle_groups is not None or shift:
        tree["middle_norm_groups"] = middle_groups or 0
    if embedding == "positional":
        cosines_first = fields.assume("flip_sin_to_cos", bool, True, _USUAL)
        tree["order"] = "cos-sin" if cosines_first else "sin-cos"
        tree["shift"] = fields.assume("freq_shift", float, 0.0, _USUAL)
    if embedding == "learned":
        tree["time_steps"] = shape("time_proj.weight")[0]
    return tree


def _kinds(fields: Fields, way: str, levels: int) -> list[str]:
    """Our kinds of the levels of one way, in their order."""
    field = f"{way}_block_types"
    example = (f"{way.title()}Block2D",) * levels
    types = [one.removeprefix("UNetRes") for one in fields.need(field, tuple[str, ...], example)]
    if len(types) != levels:
        fields.contradict(field, f"the weights have {levels} levels")
    unknown = sorted(set(types) - set(names.KINDS[way]))
    if unknown:
        raise CheckpointError(f"{field}: {', '.join(unknown)} not supported; known: {', '.join(names.KINDS[way])}")
    kinds = [names.KINDS[way][one] for one in types]
    resampling = "conv"
    if "{}-attention" in kinds:
        resampling = _one_of(fields, f"{way}sample_type", {"conv": "conv", "resnet": "residual"})
    return [kind.format(resampling) for kind in kinds]


def _label(keys: Mapping[str, Source], fields: Fields) -> dict[str, Any]:
    """The arguments about classes."""
    kind = fields.get("class_embed_type", str, None)
    if kind not in (None, "timestep", "identity"):
        raise CheckpointError(f"class_embed_type is {kind!r}: null, timestep and identity are supported")
    if kind is not None:
        return {"class_embedding": kind}
    if "class_embedding.weight" not in keys:
        return {}
    classes = keys["class_embedding.weight"].shape("class_embedding.weight")[0]
    return {"classes": fields.agree("num_class_embeds", classes, "class_embedding.weight")}


def _one_of(fields: Fields, name: str, words: dict[str, T]) -> T:
    """Our word for theirs, the first being their default."""
    value = fields.assume(name, str, next(iter(words)), _USUAL)
    if value not in words:
        raise CheckpointError(f"{name} is {value!r}: {', '.join(words)} are supported")
    return words[value]


def _nullable(fields: Fields, name: str, kind: type[T], default: T) -> T | None:
    """A field for which null is a value of its own."""
    return fields.get(name, kind, None) if name in fields else fields.assume(name, kind, default, _USUAL)
