"""Weights of openai/guided-diffusion: ADM, its upsamplers, and its classifiers of noisy images.

They come as a plain state_dict: the released files, and ``model*.pt`` and ``ema_*.pt`` of a training.
"""

from __future__ import annotations

from typing import ClassVar

from zoo.importers.openai import OpenAI
from zoo.importers.openai_files import published
from zoo.importers.openai_names import Network, halves_by_conv
from zoo.importers.source import Source


class GuidedDiffusion(OpenAI):
    """guided-diffusion's networks: to the denoiser ``adm`` and the classifier ``adm-classifier``."""

    rescales: ClassVar[bool] = False

    def could_make(self, weights: Source) -> bool:
        # improved-diffusion's own files are left to its importer
        file = published(Network(weights)) if halves_by_conv(weights) else None
        return file is None or file.project == "guided-diffusion"
