"""Which unit a mel frame belongs to."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.layers.features import align

Rule = Literal["diff-svc", "ddsp-svc", "centred"]


def mel2ph(units: int, frames: int, *, rule: Rule = "centred", per_frame: float | None = None) -> Tensor:
    """The number of the unit of each frame, from 1.

    "diff-svc" stretches the units over the frames, about one frame late, and leaves frames at the end without any, as
    its models were trained. "centred" gives frame n the unit that its middle lies in, by the clock:

        mel2ph_n = 1 + floor((n + 1/2) units a frame), at most the last

    "ddsp-svc" gives it the unit that DDSP-SVC and its relatives were trained with, which is up to half a unit later:

        mel2ph_n = 1 + round(n units a frame), at most the last

    An encoder hears 25 ms every 20 ms, so that HuBERT-Soft's unit i is centred at (i + 1/2) 20 ms, and the unit that a
    time lies in is the one whose centre is nearest. Units of the other encoders are centred within half a unit of that.

    Args:
        units: how many there are.
        frames: how many there are.
        rule: as above.
        per_frame: units a frame, their rate times the hop in seconds; all but "diff-svc" need it, unless the units are
            as long as the frames.

    Returns:
        (frames,) int64.
    """
    if rule == "diff-svc":
        return align(units, frames)
    step = units / max(frames, 1) if per_frame is None else per_frame
    frame = torch.arange(frames, dtype=torch.float64)
    place = (frame * step).round() if rule == "ddsp-svc" else ((frame + 0.5) * step).floor()
    return place.long().clamp(max=units - 1) + 1
