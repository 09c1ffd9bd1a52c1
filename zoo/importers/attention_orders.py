"""The orders in which projects stack the rows of q, k and v in one weight.

Row r of a fused weight belongs to part j of q, k, v, to head h and to channel c of that head:

    new     r = j H d + h d + c      (ADM with use_new_attention_order, DiT, U-ViT, timm)
    legacy  r = h 3 d + j d + c      (improved-diffusion, ADM)
    edm     r = h 3 d + 3 c + j      (EDM)
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from zoo.header import CheckpointError

Order = Literal["new", "legacy", "edm"]


def split_qkv(weight: Tensor, heads: int, order: Order) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of a fused weight (3 C, ...) or bias (3 C,), (C, ...) each, head by head.

    Raises:
        CheckpointError: the rows are not three times as many as heads x any number.
    """
    rows, *rest = weight.shape
    if heads < 1 or rows % (3 * heads):
        raise CheckpointError(f"a fused q, k, v of {rows} rows does not split into 3 x {heads} heads")
    d = rows // (3 * heads)
    sizes, part = {"new": ((3, heads, d), 0), "legacy": ((heads, 3, d), 1), "edm": ((heads, d, 3), 2)}[order]
    q, k, v = (one.reshape(heads * d, *rest) for one in weight.reshape(*sizes, *rest).unbind(part))
    return q, k, v
