"""Weights of DiT: facebookresearch/DiT, and the folder that diffusers made of them (DiTTransformer2DModel).

They come as a plain state_dict (the released files), as {model, ema, opt, args} of train.py, or as transformer/ of a
pipeline. Keys of the first two are ours already. SiT has the same keys and another meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source
from zoo.importers.transformers import (
    TRAINING,
    classes,
    copies,
    count,
    dit_network,
    heads,
    known_dit,
    mlp_ratio,
)
from zoo.layers.positions import sin_cos_positions

_DIFFUSERS = (
    "pos_embed.proj.weight",
    "transformer_blocks.0.norm1.linear.weight",
    "proj_out_1.weight",
    "proj_out_2.weight",
)
_EMBEDDERS = "norm1.emb."
_RENAMED = (
    (r"^pos_embed\.proj\.", "x_embedder.proj."),
    (r"^proj_out_1\.", "final_layer.adaLN_modulation.1."),
    (r"^proj_out_2\.", "final_layer.linear."),
    (r"^transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_1\.", "t_embedder.mlp.0."),
    (r"^transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_2\.", "t_embedder.mlp.2."),
    (r"^transformer_blocks\.0\.norm1\.emb\.class_embedder\.", "y_embedder."),
    (r"^transformer_blocks\.(\d+)\.norm1\.linear\.", r"blocks.\1.adaLN_modulation.1."),
    (r"^transformer_blocks\.(\d+)\.attn1\.to_out\.0\.", r"blocks.\1.attn.proj."),
    (r"^transformer_blocks\.(\d+)\.ff\.net\.0\.proj\.", r"blocks.\1.mlp.fc1."),
    (r"^transformer_blocks\.(\d+)\.ff\.net\.2\.", r"blocks.\1.mlp.fc2."),
)
_QUERY = re.compile(r"transformer_blocks\.(\d+)\.attn1\.to_q\.(weight|bias)")
_ALIASES = {
    "num_attention_heads": "num_heads",
    "sample_size": "input_size",
    "num_layers": "depth",
    "num_embeds_ada_norm": "num_classes",
}


class DiT(Importer):
    """DiT of facebookresearch/DiT and of diffusers: to the denoiser ``dit``."""

    dropped: ClassVar[tuple[str, ...]] = TRAINING
    configs: ClassVar[tuple[str, ...]] = ("transformer/config.json", "config.json")
    beside: ClassVar[bool] = True

    def __init__(self) -> None:
        # what diffusers leaves out of its files, since it computes them anew
        self._positions: Tensor | None = None

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        return copies(source, lambda part: known_dit(part) or _of_diffusers(part))

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        if _of_diffusers(weights):
            for theirs, ours in _ALIASES.items():
                fields.alias(theirs, ours)
            denoiser, made = _diffusers_network(weights, fields)
            side = denoiser["resolution"] // denoiser["patch"]
            self._positions = sin_cos_positions(side, side, denoiser["channels"])
        else:
            fields.alias("model.", "")
            denoiser, made = dit_network(weights, fields)
            denoiser["time_shift"] = fields.get("time_shift", float, 0.0)
        in_channels, size = denoiser["in_channels"], denoiser["resolution"]
        learned = made == 2 * in_channels
        if learned:
            fields.assumed.append(f"the second {in_channels} of the {made} output channels are a variance")
        fields.assumed.append("schedule = linear with 1000 steps: as all published models of this network")
        guidance = {"name": "cfg", "scale": 4.0, "channels": min(3, in_channels)}
        return {
            "shape": [in_channels, size, size],
            "denoiser": {"name": "dit", **denoiser, "out_channels": made},
            "schedule": {"name": "linear", "steps": 1000, "beta_start": 1e-4, "beta_end": 0.02},
            "parameterization": {"name": "eps", "learned_variance": learned},
            "sampler": {"name": "ddpm", "variance": "learned-range"} if learned else {"name": "ddim", "eta": 0.0},
            "sampling": {
                "steps": 250,
                "spacing": "respaced",
                **({"guidance": [guidance]} if denoiser.get("null_class") else {}),
            },
        }

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        if _of_diffusers(weights):
            yield from _translated(weights)
            if self._positions is not None:
                yield "denoiser.pos_embed", self._positions.clone()
        else:
            for key in weights:
                yield f"denoiser.{key}", weights[key]


def _of_diffusers(part: Source) -> bool:
    return all(key in part for key in _DIFFUSERS)


def _diffusers_network(weights: Source, fields: Fields) -> tuple[dict[str, Any], int]:
    """Arguments of the denoiser without out_channels, and the channels it makes."""
    block = "transformer_blocks.0."
    channels, in_channels, patch, _ = weights.shape(_DIFFUSERS[0])
    depth = count(weights, "transformer_blocks.{}.norm1.linear.weight")
    made = weights.shape("proj_out_2.weight")[0] // patch**2
    table = f"{block}{_EMBEDDERS}class_embedder.embedding_table.weight"
    rows = weights.shape(table)[0]
    for name, found, because in (
        ("in_channels", in_channels, _DIFFUSERS[0]),
        ("patch_size", patch, _DIFFUSERS[0]),
        ("depth", depth, "transformer_blocks.*"),
        ("num_classes", rows - 1, table),
    ):
        fields.agree(name, found, because)
    if fields.get("out_channels", int, made) not in (made, 0):
        fields.contradict("out_channels", f"the weights say {made} (proj_out_2.weight)")
    hidden = weights.shape(f"{block}ff.net.0.proj.weight")[0]
    size = fields.need("input_size", int, 32)
    if size < 1 or size % patch:
        fields.contradict("input_size", f"which patches of {patch} do not divide")
        size = patch
    return {
        "in_channels": in_channels,
        "channels": channels,
        "depth": depth,
        "heads": heads(fields, "dit", depth, channels),
        "patch": patch,
        "resolution": size,
        "mlp_ratio": mlp_ratio(fields, f"{block}ff.net.0.proj.weight", hidden, channels),
        **classes(fields, rows, null_class=True),
        "time_shift": fields.assume(
            "time_shift",
            float,
            1.0,
            "as diffusers computes; Meta's weights were trained with 0, which fits them better",
        ),
    }, made


def _translated(weights: Source) -> Iterator[tuple[str, Tensor]]:
    for key in weights:
        if query := _QUERY.fullmatch(key):
            parts = [weights[key.replace("to_q", name)] for name in ("to_q", "to_k", "to_v")]
            yield f"denoiser.blocks.{query[1]}.attn.qkv.{query[2]}", torch.cat(parts)
        elif ".to_k." in key or ".to_v." in key:
            continue
        elif _EMBEDDERS in key and not key.startswith("transformer_blocks.0."):
            _same(weights, key)
        else:
            name = key
            for pattern, new in _RENAMED:
                name = re.sub(pattern, new, name)
            yield f"denoiser.{name}", weights[key]


def _same(weights: Source, key: str) -> None:
    """A block's own copy of the embedders, of which one is enough.

    Raises:
        CheckpointError: it is another than the first block's.
    """
    first = "transformer_blocks.0." + key.split(".", 2)[2]
    if not torch.equal(weights[key], weights[first]):
        raise CheckpointError(
            f"{weights.path}: {key} differs from {first}: blocks with embedders of their own cannot be read, since "
            "DiT has one for all"
        )
