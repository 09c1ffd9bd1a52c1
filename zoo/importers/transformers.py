"""What importers of image transformers share: the copies in a file, and what shapes tell of the network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from zoo.header import CheckpointError
from zoo.importers.base import Copy
from zoo.importers.fields import Fields
from zoo.importers.source import Source

TRAINING = ("opt.*", "optimizer.*", "*/opt.*", "*/optimizer.*")
"""What training files hold beside the weights, of which nothing is ever read."""

# Published sizes by (depth, width), as heads cannot be seen in the weights.
_HEADS = {(12, 384): 6, (12, 768): 12, (24, 1024): 16, (28, 1152): 16}
_HEADS_UVIT = {(12, 512): 8, (16, 768): 12, (20, 1024): 16, (28, 1152): 16}
_TABLES = {"dit": _HEADS, "uvit": _HEADS_UVIT}

_PATCHES, _TABLE, _OUT = "x_embedder.proj.weight", "y_embedder.embedding_table.weight", "final_layer.linear.weight"
_HALLMARKS = (_PATCHES, _OUT, "pos_embed", "t_embedder.mlp.0.weight", "blocks.0.adaLN_modulation.1.weight")
_HIDDEN = "blocks.0.mlp.fc1.weight"
_PUBLISHED_ROWS = 1001


def copies(source: Source, known: Callable[[Source], bool]) -> dict[Copy, Source]:
    """The sets of weights in a file, or in the files of a folder, past the ``module.`` of DDP.

    Args:
        source: the file or folder.
        known: whether these are keys of a network of the family.
    """
    found: dict[Copy, Source] = {}
    for part in [source.under(f"{file}/") for file in source.files] or [source]:
        places: tuple[tuple[Copy, str], ...] = (
            ("unknown", ""),
            ("unknown", "state_dict."),
            ("ema", "ema."),
            ("raw", "model."),
        )
        for name, prefix in places:
            for weights in (part.under(prefix), part.under(f"{prefix}module.")):
                if name not in found and known(weights):
                    found[name] = weights
    return found


def count(weights: Source, pattern: str) -> int:
    """How many of the keys ``pattern`` with 0, 1, 2, ... there are."""
    number = 0
    while pattern.format(number) in weights:
        number += 1
    return number


def heads(fields: Fields, family: Literal["dit", "uvit"], depth: int, channels: int) -> int:
    """The heads: of the config, or of the published model of this depth and width."""
    usual = _TABLES[family].get((depth, channels))
    if usual is None:
        number = fields.need("num_heads", int, 16)
    else:
        number = fields.assume("num_heads", int, usual, f"as the published model of depth {depth} and width {channels}")
    if number < 1 or channels % number:
        fields.contradict("num_heads", f"which does not divide the width of {channels}")
        return 1
    return number


def mlp_ratio(fields: Fields, name: str, rows: int, channels: int) -> float:
    """The width inside the MLPs as a multiple of the tokens'."""
    ratio = fields.get("mlp_ratio", float, rows / channels)
    # a ratio such as 2.67 is rounded down to the rows
    if abs(ratio * channels - rows) >= 1:
        fields.contradict("mlp_ratio", f"the weights say {rows / channels:g} ({name})")
    return rows / channels


def side(weights: Source, fields: Fields, field: str, patch: int, patches: int) -> int:
    """The side of the square images whose patches have learned or stored positions.

    Raises:
        CheckpointError: the number of patches is no square.
    """
    grid = math.isqrt(max(patches, 0))
    if patches < 1 or grid * grid != patches:
        raise CheckpointError(
            f"{weights.path}: pos_embed has positions for {patches} patches, which is no square grid: files of this "
            "family are of square images"
        )
    return fields.agree(field, grid * patch, "pos_embed")


def classes(fields: Fields, rows: int, null_class: bool) -> dict[str, Any]:
    """The arguments of a network with a table of so many rows."""
    if rows == 1 and null_class:
        raise CheckpointError("the table of classes has one row, which cannot be a class and the null class")
    return {"classes": rows - null_class, "null_class": null_class}


def known_dit(part: Source) -> bool:
    """Whether these are keys of DiT."""
    return all(key in part for key in _HALLMARKS)


def dit_network(weights: Source, fields: Fields) -> tuple[dict[str, Any], int]:
    """Arguments that DiT and SiT share, and the channels that the last layer makes."""
    channels, in_channels, patch, _ = weights.shape(_PATCHES)
    depth = count(weights, "blocks.{}.attn.qkv.weight")
    made = weights.shape(_OUT)[0] // patch**2
    for name, found, because in (
        ("in_channels", in_channels, _PATCHES),
        ("hidden_size", channels, _PATCHES),
        ("patch_size", patch, _PATCHES),
        ("depth", depth, "blocks.*"),
        ("learn_sigma", made == 2 * in_channels, _OUT),
    ):
        fields.agree(name, found, because)
    return {
        "in_channels": in_channels,
        "channels": channels,
        "depth": depth,
        "heads": heads(fields, "dit", depth, channels),
        "patch": patch,
        "resolution": side(weights, fields, "input_size", patch, weights.shape("pos_embed")[1]),
        "mlp_ratio": mlp_ratio(fields, _HIDDEN, weights.shape(_HIDDEN)[0], channels),
        **_dit_classes(weights, fields),
    }, made


def _dit_classes(weights: Source, fields: Fields) -> dict[str, Any]:
    if _TABLE not in weights:
        return {"classes": None}
    rows = weights.shape(_TABLE)[0]
    told = fields.get("num_classes", int, rows)
    if "num_classes" in fields and told not in (rows, rows - 1):
        fields.contradict("num_classes", f"the table has {rows} rows, one of them perhaps for no class ({_TABLE})")
    if "class_dropout_prob" in fields or "num_classes" not in fields:
        usual = "as published" + ("" if rows == _PUBLISHED_ROWS else f", so the last of {rows} rows is no class")
        null_class = fields.assume("class_dropout_prob", float, 0.1, usual) > 0
        if told != rows - null_class and "num_classes" in fields and told in (rows, rows - 1):
            fields.contradict("class_dropout_prob", f"the table has {rows} rows for {told} classes ({_TABLE})")
    else:
        null_class = told == rows - 1
    return classes(fields, rows, null_class)
