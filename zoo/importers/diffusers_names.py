"""Names of modules in diffusers' UNet2DModel and in ours: one table, read both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

FREQUENCIES, TIME_TABLE = "temb.waves.frequencies", "temb.table.weight"
_RESIDUAL = {
    "norm1": "norm1",
    "conv1": "conv1",
    "temb_proj": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_LEGACY = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
KINDS = {
    "down": {
        "DownBlock2D": "conv",
        "AttnDownBlock2D": "{}-attention",
        "ResnetDownsampleBlock2D": "residual",
        "SkipDownBlock2D": "fir",
        "AttnSkipDownBlock2D": "fir-attention",
    },
    "up": {
        "UpBlock2D": "conv",
        "AttnUpBlock2D": "{}-attention",
        "ResnetUpsampleBlock2D": "residual",
        "SkipUpBlock2D": "fir",
        "AttnSkipUpBlock2D": "fir-attention",
    },
}
"""Their types of levels and our kinds; where {} stands, one field of theirs tells for all levels."""
_ENDS = {
    "temb.dense.0": "time_embedding.linear_1",
    "temb.dense.1": "time_embedding.linear_2",
    "temb.table": "time_proj",
    "temb.label": "class_embedding",
    "temb.label_dense.0": "class_embedding.linear_1",
    "temb.label_dense.1": "class_embedding.linear_2",
    "conv_in": "conv_in",
    "norm_out": "conv_norm_out",
    "conv_out": "conv_out",
}


class Ladder(NamedTuple):
    """What decides how the modules of a network are called.

    Attributes:
        levels: how many there are.
        blocks: residual blocks of a level on the way down.
        fir_down: levels that are halved with a filter.
        fir_up: levels that are doubled with a filter.
        single: levels that attend once on the way up, at their end.
    """

    levels: int
    blocks: int
    fir_down: frozenset[int]
    fir_up: frozenset[int]
    single: frozenset[int]


def modules(ladder: Ladder) -> Iterator[tuple[str, str]]:
    """Our name and theirs of every module that may hold weights, whether or not a given network has it."""
    yield from _ENDS.items()
    for i in range(ladder.levels):
        theirs = f"down_blocks.{i}"
        for j in range(ladder.blocks):
            yield from _below(f"down.{i}.block.{j}", f"{theirs}.resnets.{j}", _RESIDUAL)
            yield from _below(f"down.{i}.attn.{j}", f"{theirs}.attentions.{j}", _ATTENTION)
        halved = "resnet_down" if i in ladder.fir_down else "downsamplers.0"
        yield from _below(f"down.{i}.downsample", f"{theirs}.{halved}", {"conv": "conv", **_RESIDUAL})
        yield f"input_skip.{i}.conv", f"{theirs}.skip_conv"
        theirs = f"up_blocks.{ladder.levels - 1 - i}"  # theirs count from the deepest
        for j in range(ladder.blocks + 1):
            yield from _below(f"up.{i}.block.{j}", f"{theirs}.resnets.{j}", _RESIDUAL)
            if i not in ladder.single:
                yield from _below(f"up.{i}.attn.{j}", f"{theirs}.attentions.{j}", _ATTENTION)
        if i in ladder.single:
            yield from _below(f"up.{i}.attn.{ladder.blocks}", f"{theirs}.attentions.0", _ATTENTION)
        doubled = "resnet_up" if i in ladder.fir_up else "upsamplers.0"
        yield from _below(f"up.{i}.upsample", f"{theirs}.{doubled}", {"conv": "conv", **_RESIDUAL})
        yield f"output_skip.{i - 1}.norm", f"{theirs}.skip_norm"
        yield f"output_skip.{i - 1}.conv", f"{theirs}.skip_conv"
    yield from _below("mid.block_1", "mid_block.resnets.0", _RESIDUAL)
    yield from _below("mid.attn_1", "mid_block.attentions.0", _ATTENTION)
    yield from _below("mid.block_2", "mid_block.resnets.1", _RESIDUAL)


def tensors(ladder: Ladder) -> Iterator[tuple[str, str]]:
    """Our name and theirs of every tensor that there may be."""
    for ours, theirs in modules(ladder):
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", f"{theirs}.{kind}"
    yield FREQUENCIES, "time_proj.weight"


def legacy(theirs: str) -> str:
    """What a tensor of attention was called before diffusers 0.12; published files still call it so."""
    module, _, kind = theirs.rpartition(".")
    for new, old in _LEGACY.items():
        if ".attentions." in module and module.endswith(f".{new}"):
            return f"{module.removesuffix(new)}{old}.{kind}"
    return theirs


def is_token_conv(ours: str) -> bool:
    """Whether this is the weight of a layer of attention, which is a matrix there and a 1x1 convolution here."""
    return ours.endswith((".q.weight", ".k.weight", ".v.weight", ".proj_out.weight"))


def _below(ours: str, theirs: str, table: dict[str, str]) -> Iterator[tuple[str, str]]:
    for our_leaf, their_leaf in table.items():
        yield f"{ours}.{our_leaf}", f"{theirs}.{their_leaf}"
