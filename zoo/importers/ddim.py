"""Weights of the DDPM UNet in PyTorch: pesser/pytorch_diffusion, ermongroup/ddim, luping-liu/PNDM.

They come as a plain state_dict (the released files), as the training list [model, optimizer, epoch, step, EMA] with a
``module.`` prefix on the model, or as the folder of a PNDM run with train.ckpt and ema.ckpt. Keys are ours already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source

_HALLMARKS = ("temb.dense.0.weight", "conv_in.weight", "mid.attn_1.q.weight", "norm_out.weight")
_LISTS = ("ckpt.pth", "train.ckpt")
_SCHEDULES = {
    "linear": "linear",
    "quad": "scaled-linear",
    "sigmoid": "sigmoid",
    "cosine": "cosine",
    "const": "linear",
    "jsd": "jsd",
}
_ALIASES = {  # PNDM's sections
    "Model.image_size": "data.image_size",
    "Model.": "model.",
    "Dataset.": "data.",
    "Schedule.type": "diffusion.beta_schedule",
    "Schedule.diffusion_step": "diffusion.num_diffusion_timesteps",
    "Schedule.": "diffusion.",
}


class DDIM(Importer):
    """The DDPM UNet of ermongroup/ddim, its pretrained files, and PNDM's: to the denoiser ``unet``."""

    # logvar belongs to the type "bayesian", which never used it; 1 is the optimizer of a training list
    dropped: ClassVar[tuple[str, ...]] = ("logvar", "1.*", "*/1.*")
    configs: ClassVar[tuple[str, ...]] = ("config.yml", "config.yaml")

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        if not source.files:
            return _copies(source, source.path.name.startswith("ema"))
        found: dict[Copy, Source] = {}
        for file in (*_LISTS, "ema.ckpt"):
            if file in source.files:
                found |= _copies(source.under(f"{file}/"), file.startswith("ema"))
        return found

    def step(self, source: Source) -> int | None:
        lists = [source.under(f"{file}/") for file in _LISTS if file in source.files] if source.files else [source]
        return next((part.plain["3"] for part in lists if isinstance(part.plain.get("3"), int)), None)

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        for theirs, ours in _ALIASES.items():
            fields.alias(theirs, ours)
        base, in_channels = weights.shape("conv_in.weight")[:2]
        out_channels = weights.shape("conv_out.weight")[0]
        levels = _count(weights, "down.{}.block.0.conv1.weight")
        blocks = _count(weights, "down.0.block.{}.conv1.weight")
        mult = [weights.shape(f"down.{i}.block.0.conv1.weight")[0] / base for i in range(levels)]
        for name, found, because in (
            ("model.ch", base, "conv_in.weight"),
            ("model.in_channels", in_channels, "conv_in.weight"),
            ("data.channels", in_channels, "conv_in.weight"),
            ("model.out_ch", out_channels, "conv_out.weight"),
            ("model.ch_mult", tuple(_whole(m) for m in mult), "down.*.block.0.conv1.weight"),
            ("model.num_res_blocks", blocks, "down.0.block.*"),
        ):
            fields.agree(name, found, because)
        if levels > 1:
            resample = "down.0.downsample.conv.weight" in weights
            fields.agree("model.resamp_with_conv", resample, "down.0.downsample")
        else:
            resample = fields.get("model.resamp_with_conv", bool, True)
        attends = [i for i in range(levels) if f"down.{i}.attn.0.norm.weight" in weights]
        size = _image_size(fields, attends, levels)
        learned = out_channels == 2 * in_channels
        if learned:
            fields.assumed.append(f"the second {in_channels} of the {out_channels} output channels are a variance")
        tree = {
            "shape": [in_channels, size, size],
            "denoiser": {
                "name": "unet",
                "in_channels": in_channels,
                "out_channels": out_channels,
                "base_channels": base,
                "channel_mult": [_whole(m) for m in mult],
                "blocks_per_level": blocks,
                "attention_resolutions": [size // 2**i for i in attends],
                "resolution": size,
                "dropout": fields.assume("model.dropout", float, 0.0, "it matters for further training only"),
                "resample_with_conv": resample,
            },
            "schedule": _schedule(weights, fields),
            "parameterization": {"name": "eps", "learned_variance": learned},
            "scaling": _scaling(fields),
            "sampler": {"name": "ddim", "eta": 0.0},
            "sampling": {"steps": 50, "spacing": "leading"},
        }
        if variance := fields.get("model.var_type", str, ""):
            tree["notes"] = {"var_type": variance}
        return tree

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        for key in weights:
            if key not in self.dropped:
                yield f"denoiser.{key}", weights[key]


def _copies(source: Source, is_ema: bool) -> dict[Copy, Source]:
    """The copies in one file."""
    if plain := _network(source):
        return {"ema" if is_ema else "unknown": plain}
    found: dict[Copy, Source] = {}
    if raw := _network(source.under("0.")):
        found["raw"] = raw
    if ema := _network(source.under("4.")):
        found["ema"] = ema
    return found


def _network(source: Source) -> Source | None:
    """The weights of a network under this prefix, past the ``module.`` of DataParallel."""
    for part in (source, source.under("module.")):
        if all(key in part for key in _HALLMARKS):
            return part
    return None


def _count(weights: Source, pattern: str) -> int:
    """How many of the keys ``pattern`` with 0, 1, 2, ... there are."""
    count = 0
    while pattern.format(count) in weights:
        count += 1
    return count


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _image_size(fields: Fields, attends: list[int], levels: int) -> int:
    """The side of the images: given, or the only one that puts the given attention where the weights have it."""
    attention: tuple[int, ...] = fields.get("model.attn_resolutions", tuple[int, ...], ())

    def places(side: int) -> list[int]:
        return [i for i in range(levels) if side // 2**i in attention]

    if "data.image_size" not in fields:
        fitting: set[int] = {side * 2**i for side in attention for i in attends if places(side * 2**i) == attends}
        if len(fitting) == 1:
            (size,) = fitting
            fields.assumed.append(
                f"data.image_size = {size}: only then is attention at {list(attention)} on level(s) {attends}"
            )
            return size
    size = fields.need("data.image_size", int, 32)
    if attention and places(size) != attends:
        there = f"the weights attend on {attends or 'none'}"
        fields.contradict(
            "model.attn_resolutions",
            f"with data.image_size = {size} that is level(s) {places(size) or 'none'}, {there}",
        )
    return size


def _schedule(weights: Source, fields: Fields) -> dict[str, Any]:
    usual = "as all published models of this network"
    kind = fields.assume("diffusion.beta_schedule", str, "linear", usual)
    if kind not in _SCHEDULES:
        fields.contradict("diffusion.beta_schedule", f"this importer knows {', '.join(sorted(_SCHEDULES))}")
        return {"name": "linear"}
    steps = fields.assume("diffusion.num_diffusion_timesteps", int, 1000, usual)
    if "logvar" in weights:
        fields.agree("diffusion.num_diffusion_timesteps", weights.shape("logvar")[0], "logvar")
    if kind in ("cosine", "jsd"):
        return {"name": kind, "steps": steps}
    end = fields.assume("diffusion.beta_end", float, 0.02, usual)
    start = end if kind == "const" else fields.assume("diffusion.beta_start", float, 1e-4, usual)
    return {"name": _SCHEDULES[kind], "steps": steps, "beta_start": start, "beta_end": end}


def _scaling(fields: Fields) -> dict[str, Any]:
    if fields.get("data.logit_transform", bool, False):
        raise CheckpointError(
            "data.logit_transform is true in the config: models of logits are not supported; their samples would "
            "have to go through a sigmoid"
        )
    if fields.get("data.rescaled", bool, True):
        return {"name": "identity"}
    # [-1, 1] to the [0, 1] that the network was trained on
    return {"name": "mean-std", "mean": -1.0, "std": 2.0}
