"""Weights of SiT (willisma/SiT): DiT's keys and shapes, trained as the velocity of a flow.

They come as a plain state_dict (the released files) or as {model, ema, opt, args} of train.py. Nothing in a file tells
it from DiT's: whoever loads it has to say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor

from zoo.importers.base import Copy, Importer
from zoo.importers.fields import Fields
from zoo.importers.source import Source
from zoo.importers.transformers import TRAINING, copies, dit_network, known_dit


class SiT(Importer):
    """SiT's released files and those of its train.py: to the denoiser ``sit``."""

    dropped: ClassVar[tuple[str, ...]] = TRAINING

    def matches(self, source: Source) -> bool:
        return bool(self.copies(source))

    def copies(self, source: Source) -> dict[Copy, Source]:
        return copies(source, known_dit)

    def config(self, weights: Source, fields: Fields) -> dict[str, Any]:
        fields.alias("model.", "")
        denoiser, made = dit_network(weights, fields)
        in_channels, size = denoiser["in_channels"], denoiser["resolution"]
        fields.assumed.append("path = a straight line, prediction = velocity, time 1 at data: as the published models")
        guidance = {"name": "cfg", "scale": 4.0, "channels": min(3, in_channels)}
        return {
            "shape": [in_channels, size, size],
            "denoiser": {"name": "sit", **denoiser, "spare_channels": made == 2 * in_channels},
            "schedule": {"name": "flow"},
            "parameterization": {"name": "flow", "toward": "data"},
            "sampler": {"name": "flow-rk", "method": "heun"},
            "sampling": {
                "steps": 125,
                "spacing": "linspace",
                **({"guidance": [guidance]} if denoiser.get("null_class") else {}),
            },
        }

    def tensors(self, weights: Source) -> Iterator[tuple[str, Tensor]]:
        for key in weights:
            yield f"denoiser.{key}", weights[key]
