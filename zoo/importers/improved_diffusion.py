"""Weights of openai/improved-diffusion: the first version of ADM, and its upsampler.

They come as a plain state_dict: the released files, and ``model*.pt`` and ``ema_*.pt`` of a training.
"""

from __future__ import annotations

from typing import ClassVar

from zoo.importers.openai import OpenAI
from zoo.importers.openai_names import Network, halves_by_conv, is_classifier
from zoo.importers.source import Source


class ImprovedDiffusion(OpenAI):
    """improved-diffusion's networks: to the denoiser ``adm``."""

    rescales: ClassVar[bool] = True

    def could_make(self, weights: Source) -> bool:
        if is_classifier(weights) or not halves_by_conv(weights):
            return False
        net = Network(weights)
        return net.widths[0] == net.base
