"""The UNet of OpenAI's diffusion projects by its keys: what they say of it, and our names.

    input_blocks.n.m    n counts flat over the levels: the stem, then per level its blocks and what halves
    middle_block.m      block, attention, block
    output_blocks.n.m   per level, deepest first; what doubles shares the n of the level's last block

m = 0 is a residual block or a resampling, m = 1 and 2 are what follows: attention, doubling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from zoo.header import CheckpointError
from zoo.importers.attention_orders import Order, split_qkv
from zoo.importers.fields import Fields
from zoo.importers.source import Source

Pool = Literal["attention", "adaptive", "spatial", "spatial-norm"]

_HALLMARKS = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight")
_PLACE = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)|middle_block\.(\d)\.(.+)")
_OUTSIDE = {
    "time_embed.0": "temb.dense.0",
    "time_embed.2": "temb.dense.1",
    "label_emb": "temb.label",
    "input_blocks.0.0": "conv_in",
}
_DENOISER_ENDS = {"out.0": "norm_out", "out.2": "conv_out"}
_CLASSIFIER_ENDS: dict[Pool, dict[str, str]] = {
    "attention": {"out.0": "norm_out", "out.2.positional_embedding": "pool.positions", "out.2.c_proj": "pool.proj_out"},
    "adaptive": {"out.0": "norm_out", "out.3": "pool.1"},
    "spatial": {"out.0": "pool.0", "out.2": "pool.2"},
    "spatial-norm": {"out.0": "pool.0", "out.1": "pool.1", "out.3": "pool.3"},
}
_LAST: dict[Pool | None, str] = {
    None: "out.2",
    "attention": "out.2.c_proj",
    "adaptive": "out.3",
    "spatial": "out.2",
    "spatial-norm": "out.3",
}
_INSIDE = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "temb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "nin_shortcut",
}
_POOL_QKV = "out.2.qkv_proj"


def network(source: Source) -> Source | None:
    """The weights of such a network, past the ``module.`` of DDP."""
    for part in (source, source.under("module.")):
        if all(key in part for key in _HALLMARKS):
            return part
    return None


def is_classifier(source: Source) -> bool:
    """Whether this is the way down alone."""
    return not any(key.startswith("output_blocks.") for key in source)


def halves_by_conv(source: Source) -> bool:
    """Whether maps are halved by convolutions."""
    return any(key.endswith(".0.op.weight") for key in source)


class Network:
    """What keys and shapes say.

    Args:
        source: the weights.
        fields: the config, for the one thing that may be open: where levels of a classifier end that are all alike.

    Attributes:
        source: the weights.
        classifier: whether it is the way down alone, with a pool.
        base: width that the levels multiply.
        seen: channels that the stem sees.
        out: channels of the output, or classes of a classifier.
        classes: rows of the table of classes; None without one.
        widths: channels of each level.
        blocks: residual blocks of a level on the way down.
        attends: the levels that attend.
        resample: what halves and doubles.
        scale_shift: whether the time scales and shifts.
        pool: of a classifier; None for a denoiser.
        positions: positions of the map that an attention pool was made for.

    Raises:
        CheckpointError: these are blocks, but not of this network.
        MissingField: the levels of a classifier are all alike, and the config does not tell num_res_blocks.
    """

    def __init__(self, source: Source, fields: Fields | None = None) -> None:
        self.source = source
        self._indices = {way: self._numbers(f"{way}_blocks") for way in ("input", "output")}
        self.classifier = not self._indices["output"]
        self.base = source.shape("time_embed.0.weight")[1]
        self.seen = source.shape("input_blocks.0.0.weight")[1]
        self.classes = source.shape("label_emb.weight")[0] if "label_emb.weight" in source else None
        self.pool: Pool | None = self._pool() if self.classifier else None
        self.out = self._outputs()
        self.positions: int | None = None
        if self.pool == "attention":
            self.positions = source.shape("out.2.positional_embedding")[1] - 1
        self.resample, self.blocks = self._resampling(fields or Fields(None))
        stride = self.blocks + 1
        count = self._indices["input"][-1] + 1
        self.levels = count // stride
        firsts = [1 + i * stride for i in range(self.levels)]
        if count % stride or any(f"input_blocks.{n}.0.in_layers.2.weight" not in source for n in firsts):
            raise CheckpointError(
                f"{source.path}: {count} input_blocks are no levels of {self.blocks} residual blocks, each but the "
                "last followed by what halves"
            )
        self.widths = [source.shape(f"input_blocks.{n}.0.in_layers.2.weight")[0] for n in firsts]
        self.attends = [i for i, n in enumerate(firsts) if f"input_blocks.{n}.1.qkv.weight" in source]
        self.scale_shift = source.shape("input_blocks.1.0.emb_layers.1.weight")[0] == 2 * self.widths[0]

    @property
    def mult(self) -> list[int | float]:
        """The widths as multiples of the base width."""
        return [width // self.base if width % self.base == 0 else width / self.base for width in self.widths]

    def ours(self, key: str, heads: list[int], heads_up: list[int], order: Order) -> Iterator[tuple[str, Tensor]]:
        """Our names of a tensor of theirs; that of a fused q, k, v comes apart.

        Args:
            key: theirs.
            heads: attention heads of each level.
            heads_up: likewise on the way up.
            order: of the rows of a fused weight.
        """
        tensor = self.source[key]
        if key.startswith(_POOL_QKV):
            # the pool's own order is always this one
            for part, weight in zip("qkv", split_qkv(tensor, 1, "new"), strict=True):
                yield f"pool.{part}{key.removeprefix(_POOL_QKV)}", weight.flatten(1) if weight.ndim > 1 else weight
            return
        ends = _CLASSIFIER_ENDS[self.pool] if self.pool else _DENOISER_ENDS
        for theirs, name in {**_OUTSIDE, **ends}.items():
            if key == theirs or key.startswith(f"{theirs}."):
                # a 1x1 convolution of tokens, which is a linear layer here
                yield name + key.removeprefix(theirs), tensor.flatten(1) if tensor.ndim == 3 else tensor
                return
        found = _PLACE.fullmatch(key)
        if found is None:
            raise CheckpointError(f"{self.source.path}: {key} is in no network of this project")
        place, level = self._place(found)
        inside = found[4] or found[6]
        layer, _, kind = inside.rpartition(".")
        if layer == "qkv":
            count = heads_up[level] if found[1] == "output" else heads[level]
            for part, weight in zip("qkv", split_qkv(tensor, count, order), strict=True):
                yield f"{place}.{part}.{kind}", weight[..., None] if weight.ndim > 1 else weight
        elif layer == "proj_out":
            yield f"{place}.proj_out.{kind}", tensor[..., None] if tensor.ndim > 1 else tensor
        else:
            yield f"{place}.{_INSIDE.get(layer, 'conv' if layer == 'op' else layer)}.{kind}", tensor

    def _place(self, found: re.Match[str]) -> tuple[str, int]:
        """Where a block, an attention or a resampling stands in ours, and its level."""
        if found[5] is not None:
            return f"mid.{('block_1', 'attn_1', 'block_2')[int(found[5])]}", self.levels - 1
        n, m, inside = int(found[2]), int(found[3]), found[4]
        attention = inside.startswith(("norm.", "qkv.", "proj_out."))
        if found[1] == "input":
            i, j = divmod(n - 1, self.blocks + 1)
            if j == self.blocks:
                return f"down.{i}.downsample", i
            return f"down.{i}.{'attn' if attention else 'block'}.{j}", i
        i, j = divmod(n, self.blocks + 1)
        i = self.levels - 1 - i
        if m and not attention:
            return f"up.{i}.upsample", i
        return f"up.{i}.{'attn' if attention else 'block'}.{j}", i

    def _numbers(self, section: str) -> list[int]:
        found = (re.match(rf"{section}\.(\d+)\.", key) for key in self.source)
        return sorted({int(one[1]) for one in found if one})

    def _resampling(self, fields: Fields) -> tuple[Literal["conv", "residual", "plain"], int]:
        """What halves, and the number of residual blocks before it."""
        inputs, outputs = self._indices["input"], self._indices["output"]
        convs = [n for n in inputs if f"input_blocks.{n}.0.op.weight" in self.source]
        if convs:
            return "conv", convs[0] - 1
        missing = [n for n in range(inputs[-1]) if n not in inputs]
        if missing:
            return "plain", missing[0] - 1
        doubling = [n for n in outputs for m in (1, 2) if f"output_blocks.{n}.{m}.in_layers.0.weight" in self.source]
        if doubling:
            return "residual", doubling[0]
        if outputs:  # a single level
            return "conv", inputs[-1]
        return "residual", self._blocks_of_classifier(fields)

    def _blocks_of_classifier(self, fields: Fields) -> int:
        """The residual blocks of a level where those that halve have the shapes of the others.

        They never attend and never change the width, which leaves one number for every published classifier.
        """
        count = self._indices["input"][-1] + 1
        fitting = [blocks for blocks in range(1, count) if count % (blocks + 1) == 0 and self._halves_after(blocks)]
        if len(fitting) == 1:
            return fitting[0]
        blocks = fields.need("num_res_blocks", int, 2)
        if blocks not in fitting:
            fields.contradict("num_res_blocks", f"with these weights it is one of {fitting}")
            fields.settle()
        return blocks

    def _halves_after(self, blocks: int) -> bool:
        count = self._indices["input"][-1] + 1
        stride = blocks + 1
        for n in range(1, count):
            changes = f"input_blocks.{n}.0.skip_connection.weight" in self.source
            attends = f"input_blocks.{n}.1.qkv.weight" in self.source
            first = n - (n - 1) % stride
            if n % stride == 0 and (changes or attends):
                return False
            if n != first and changes:
                return False
            if n % stride and attends != (f"input_blocks.{first}.1.qkv.weight" in self.source):
                return False
        return True

    def _pool(self) -> Pool:
        if "out.2.positional_embedding" in self.source:
            return "attention"
        if "out.0.weight" in self.source and len(self.source.shape("out.0.weight")) == 1:
            return "adaptive"
        return "spatial-norm" if "out.1.weight" in self.source else "spatial"

    def _outputs(self) -> int:
        key = f"{_LAST[self.pool]}.weight"
        if key not in self.source:
            raise CheckpointError(f"{self.source.path}: has input_blocks and a middle_block, and no {key}")
        return self.source.shape(key)[0]
