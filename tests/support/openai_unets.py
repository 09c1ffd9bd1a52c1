"""Networks of ours under the keys of OpenAI's projects: the importer's work the other way round."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

INSIDE = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "temb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "nin_shortcut": "skip_connection",
}
OUTSIDE = {
    "temb.dense.0": "time_embed.0",
    "temb.dense.1": "time_embed.2",
    "temb.label": "label_emb",
    "conv_in": "input_blocks.0.0",
    "norm_out": "out.0",
}
ENDS = {
    None: {"conv_out": "out.2"},
    "attention": {"pool.positions": "out.2.positional_embedding", "pool.proj_out": "out.2.c_proj"},
    "adaptive": {"pool.1": "out.3"},
    "spatial": {"pool.0": "out.0", "pool.2": "out.2"},
    "spatial-norm": {"pool.0": "out.0", "pool.1": "out.1", "pool.3": "out.3"},
}
MIDDLE = {"block_1": "0", "attn_1": "1", "block_2": "2"}
Order = Literal["legacy", "new"]


def theirs(net: Any, order: Order = "legacy", pool: str | None = None) -> dict[str, Tensor]:
    """The state_dict of an ADM or an ADMClassifier as OpenAI's code would write it."""
    ours = net.state_dict()
    found: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        ends = {**OUTSIDE, **ENDS[pool]}
        outside = next((key for key in ends if name == key or name.startswith(f"{key}.")), None)
        if outside is not None:
            conv = outside == "pool.proj_out" and tensor.ndim == 2
            found[ends[outside] + name.removeprefix(outside)] = tensor[..., None] if conv else tensor
            continue
        place, layer, kind, heads = _place(net, name)
        if layer in ("k", "v"):
            continue
        if layer == "q":
            parts = [
                ours[f"{name.rpartition('.')[0][:-1]}{part}.{kind}"].flatten(1 if kind == "weight" else 0)
                for part in "qkv"
            ]
            found[f"{place}.qkv{'_proj' if place == 'out.2' else ''}.{kind}"] = _fused(parts, heads, order, kind)
        elif layer == "proj_out":
            found[f"{place}.proj_out.{kind}"] = tensor[..., 0] if kind == "weight" else tensor
        else:
            found[f"{place}.{INSIDE.get(layer, layer)}.{kind}"] = tensor
    return found


def _place(net: Any, name: str) -> tuple[str, str, str, int]:
    """Where a tensor stands in theirs, the name of its layer in ours, and the heads of the attention it is in."""
    *path, layer, kind = name.split(".")
    stride = net.blocks_per_level + 1
    levels = len(net.widths)
    heads = getattr(net.get_submodule(".".join(path)), "heads", 1)
    if path[0] == "pool":
        return "out.2", layer, kind, 1
    if path[0] == "mid":
        return f"middle_block.{MIDDLE[path[1]]}", layer, kind, heads
    level = int(path[1])
    if path[0] == "down":
        n = 1 + level * stride
        if path[2] == "downsample":
            return f"input_blocks.{n + stride - 1}.0", "op" if layer == "conv" else layer, kind, heads
        return f"input_blocks.{n + int(path[3])}.{int(path[2] == 'attn')}", layer, kind, heads
    n = (levels - 1 - level) * stride
    if path[2] == "upsample":
        m = 1 + net.attends[level]
        return f"output_blocks.{n + stride - 1}.{m}", layer, kind, heads
    return f"output_blocks.{n + int(path[3])}.{int(path[2] == 'attn')}", layer, kind, heads


def _fused(parts: list[Tensor], heads: int, order: Order, kind: str) -> Tensor:
    if order == "legacy":
        parts = [torch.cat([part.chunk(heads)[h] for part in parts]) for h in range(heads)]
    fused = torch.cat(parts)
    return fused[..., None] if kind == "weight" else fused
