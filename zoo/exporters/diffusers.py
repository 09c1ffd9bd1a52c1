"""A model as a pipeline of diffusers: UNet2DModel, its scheduler, and the index of the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from registry import denoisers
from registry.signature import parameters
from zoo.core.diffusion import Diffusion
from zoo.exporters import diffusers_schedulers
from zoo.exporters.errors import ExportError
from zoo.importers import diffusers_names as names

_VERSION = "0.42.1"  # of diffusers, which the files are written for and tested with
_RGB = 3

Tree = dict[str, Any]


class Pipeline(NamedTuple):
    """What the files of a pipeline hold.

    Attributes:
        pipeline: model_index.json.
        unet: unet/config.json.
        scheduler: scheduler/scheduler_config.json.
        tensors: the weights.
        remarks: what the files cannot say, a sentence each.
    """

    pipeline: Tree
    unet: Tree
    scheduler: Tree
    tensors: dict[str, Tensor]
    remarks: tuple[str, ...]


def pipeline(model: Diffusion, tree: Mapping[str, Any]) -> Pipeline:
    """The files of a model that is sampled as a config says.

    Raises:
        ExportError: diffusers has no words for a part of it.
    """
    spec = dict(tree["denoiser"])
    name = spec.pop("name")
    if name not in _FAMILIES:
        raise ExportError(f"denoiser {name!r}: diffusers has no such network; exportable are {', '.join(_FAMILIES)}")
    if model.conditioner is not None:
        raise ExportError("conditioner: a pipeline of diffusers has none for this network")
    if tree["scaling"]["name"] != "identity":
        raise ExportError("scaling: diffusers takes images in [-1, 1] as they are: only 'identity' can be written")
    arguments = _FAMILIES[name](spec)
    remarks: list[str] = []
    scheduler = diffusers_schedulers.scheduler(model.schedule, tree, remarks)
    if name == "unet" and arguments["classes"] is not None:
        remarks.append(f"no class is the class {arguments['classes'] - 1} there")
    kind = scheduler["_class_name"]
    return Pipeline(
        pipeline={
            "_class_name": "DDIMPipeline" if kind == "DDIMScheduler" else "DDPMPipeline",
            "_diffusers_version": _VERSION,
            "scheduler": ["diffusers", kind],
            "unet": ["diffusers", "UNet2DModel"],
        },
        unet={"_class_name": "UNet2DModel", "_diffusers_version": _VERSION, **_unet_config(arguments, model.shape)},
        scheduler={"_diffusers_version": _VERSION, **scheduler},
        tensors=_tensors(model, arguments),
        remarks=tuple(remarks),
    )


def _unet2d(spec: Tree) -> Tree:
    return spec


def _unet(spec: Tree) -> Tree:
    """The DDPM UNet in the arguments of unet2d."""
    if not spec["resample_with_conv"]:
        raise ExportError("denoiser.resample_with_conv: false: diffusers has no level that is halved by a mean alone")
    kinds = _kinds(spec, "conv")
    return _arguments(
        spec,
        down=kinds,
        up=kinds,
        symmetric_padding=False,
        head_channels=None,
        norm_eps=spec["norm_eps"],
        order="sin-cos",
        shift=1.0,
        # the row of "no class" is one more
        classes=None if spec["classes"] is None else spec["classes"] + 1,
    )


def _adm(spec: Tree) -> Tree:
    """The ADM UNet in the arguments of unet2d."""
    if spec["low_res_channels"]:
        raise ExportError("denoiser.low_res_channels: UNet2DModel enlarges no images")
    if spec["resample"] == "plain":
        raise ExportError("denoiser.resample: plain: diffusers has no level that is halved by a mean alone")
    kinds = _kinds(spec, spec["resample"])
    return _arguments(
        spec,
        down=kinds,
        up=kinds,
        symmetric_padding=True,
        head_channels=_head_channels(spec, kinds),
        scale_shift=spec["scale_shift"],
        middle_norm_groups=spec["norm_groups"],
        classes=spec["classes"],
    )


_FAMILIES: dict[str, Callable[[Tree], Tree]] = {"adm": _adm, "unet": _unet, "unet2d": _unet2d}


def _arguments(spec: Tree, **given: Any) -> Tree:
    """All arguments of unet2d: what both families call the same, what is given, and the defaults."""
    if spec["channel_mult"][0] != 1:
        raise ExportError(
            f"denoiser.channel_mult begins with {spec['channel_mult'][0]:g}: in diffusers the embedding of the time is "
            "as wide as level 0"
        )
    defaults = {name: one.default for name, one in parameters(denoisers.get("unet2d")).items()}
    same = ("in_channels", "out_channels", "blocks_per_level", "dropout", "norm_groups")
    return {**defaults, **{name: spec[name] for name in same}, "widths": _widths(spec), **given}


def _widths(spec: Tree) -> list[int]:
    return [int(spec["base_channels"] * mult) for mult in spec["channel_mult"]]


def _kinds(spec: Tree, kind: str) -> list[str]:
    """The kind of each level, with its attention where the resolutions have it."""
    size = spec["resolution"]
    side = size if isinstance(size, int) else max(size)
    wanted = spec["attention_resolutions"]
    return [f"{kind}-attention" if side // 2**i in wanted else kind for i in range(len(spec["channel_mult"]))]


def _head_channels(spec: Tree, kinds: Sequence[str]) -> int:
    """The width of every head; ADM may fix the number of heads instead."""
    if spec["head_channels"] is not None:
        return int(spec["head_channels"])
    widths = _widths(spec)
    attending = [width for width, kind in zip(widths, kinds, strict=True) if kind.endswith("-attention")]
    heads = {spec["heads"], spec["heads_up"] or spec["heads"]} if attending else {spec["heads"]}
    found = {width // count for width in (*attending, widths[-1]) for count in heads}
    if len(found) > 1:
        raise ExportError(
            f"denoiser.heads: diffusers has heads of one width everywhere, and here they have {sorted(found)} channels"
        )
    return int(found.pop())


def _unet_config(spec: Tree, shape: Sequence[int | None] | None) -> Tree:
    """The config of UNet2DModel from the arguments of unet2d."""
    widths, scale_shift = list(spec["widths"]), spec["scale_shift"]
    out_channels = spec["in_channels"] if spec["out_channels"] is None else spec["out_channels"]
    down_types, down_resampling = _types("down", spec["down"], spec["in_channels"])
    up_types, up_resampling = _types("up", spec["up"], out_channels)
    groups = _groups(spec, widths)
    middle_groups = spec["middle_norm_groups"]
    if middle_groups == 0 and not scale_shift:
        raise ExportError("denoiser.middle_norm_groups: 0: diffusers leaves this norm out beside scale_shift alone")
    if middle_groups is None and scale_shift:
        middle_groups = groups if groups is not None else min(widths[-1] // 4, 32)
    table = spec["class_embedding"] in (None, "table")
    config: Tree = {
        "sample_size": _sample_size(shape),
        "in_channels": spec["in_channels"],
        "out_channels": out_channels,
        "center_input_sample": spec["center_input"],
        "time_embedding_type": spec["embedding"],
        "time_embedding_dim": spec["time_width"],
        "freq_shift": spec["shift"],
        "flip_sin_to_cos": spec["order"] == "cos-sin",
        "down_block_types": down_types,
        "mid_block_type": "UNetMidBlock2D" if spec["middle"] else None,
        "up_block_types": up_types[::-1],  # theirs count from the deepest level
        "block_out_channels": widths,
        "layers_per_block": spec["blocks_per_level"],
        "mid_block_scale_factor": spec["middle_scale"],
        "downsample_padding": int(spec["symmetric_padding"]),
        "downsample_type": down_resampling,
        "upsample_type": up_resampling,
        "dropout": spec["dropout"],
        "act_fn": "silu",
        "attention_head_dim": spec["head_channels"],
        "norm_num_groups": groups,
        "attn_norm_num_groups": middle_groups or None,
        "norm_eps": spec["norm_eps"],
        "resnet_time_scale_shift": "scale_shift" if scale_shift else "default",
        "add_attention": spec["middle_attention"],
        "class_embed_type": None if table else spec["class_embedding"],
        "num_class_embeds": spec["classes"],
        "num_train_timesteps": spec["time_steps"],
    }
    return config


def _types(way: str, kinds: Sequence[str], image_channels: int) -> tuple[list[str], str]:
    """Their types of the levels, counted from full resolution, and how those that attend are resampled."""
    resampled = list(kinds[:-1]) if way == "down" else list(kinds[1:])
    found = {kind.removesuffix("-attention") for kind in resampled if kind in ("conv-attention", "residual-attention")}
    if len(found) > 1:
        raise ExportError(f"denoiser.{way}: diffusers resamples all levels that attend in one way, here both occur")
    if any(kind.startswith("fir") for kind in resampled) and image_channels != _RGB:
        raise ExportError(f"denoiser.{way}: beside a filter diffusers takes {_RGB} channels, not {image_channels}")
    resampling = found.pop() if found else "conv"
    theirs = {ours: type_ for type_, ours in names.KINDS[way].items()}
    attending = theirs["{}-attention"]
    plain = [theirs.get(kind, attending) for kind in kinds]
    return plain, "resnet" if resampling == "residual" else "conv"


def _groups(spec: Tree, widths: Sequence[int]) -> int | None:
    """norm_num_groups, whose null serves networks with filters alone."""
    groups: int | None = spec["norm_groups"]
    if groups is not None or all(kind.startswith("fir") for kind in (*spec["down"], *spec["up"])):
        return groups
    if min(widths) // 4 >= 32:
        return 32
    raise ExportError("denoiser.norm_groups: null: diffusers has groups by width beside a filter alone")


def _sample_size(shape: Sequence[int | None] | None) -> int | list[int | None] | None:
    if shape is None:
        return None
    height, width = shape[1:]
    return height if height == width else [height, width]


def _tensors(model: Diffusion, spec: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights under their names."""
    fir = {way: frozenset(i for i, kind in enumerate(spec[way]) if kind.startswith("fir")) for way in ("down", "up")}
    single = frozenset(i for i, kind in enumerate(spec["up"]) if kind == "fir-attention")
    ladder = names.Ladder(len(spec["widths"]), spec["blocks_per_level"], fir["down"], fir["up"], single)
    table = dict(names.tensors(ladder))
    found: dict[str, Tensor] = {}
    for ours, tensor in model.denoiser.state_dict().items():
        found[table[ours]] = (tensor[:, :, 0, 0] if names.is_token_conv(ours) else tensor).contiguous()
    return found
