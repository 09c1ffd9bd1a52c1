"""The features of FID: the Inception network of 2015, as torch-fidelity keeps it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo.core.device import usable
from zoo.core.errors import ArgumentValueError
from zoo.metrics.features import Features
from zoo.metrics.weights import read, sha256

_BATCH = 32
_SHA256 = "6726825d"
_SOURCE = "weights-inception-2015-12-05-6726825d.pth, from https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0"


class Inception(Features):
    """The 2,048 features that the Frechet distance is called FID in (Heusel et al. 2017).

    Args:
        weights: the file of torch-fidelity's weights, which is not fetched and which no other can replace.
        device: cpu, cuda, ...; None takes the GPU when there is one.

    Raises:
        ArgumentValueError: torch-fidelity is not installed, or the file is not there or another.
    """

    def __init__(self, *, weights: str, device: str | None = None) -> None:
        # the rest of the zoo works without the package
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
                FeatureExtractorInceptionV3,
            )
        except ImportError:
            raise ArgumentValueError(
                "inception: its network comes with torch-fidelity: pip install 'diffusion-zoo[fid]'"
            ) from None
        file = Path(weights).expanduser()
        if not file.is_file():
            raise ArgumentValueError(f"inception: there is no file {file}; it takes {_SOURCE}")
        self._sha256 = sha256(file)
        if not self._sha256.startswith(_SHA256):
            raise ArgumentValueError(
                f"inception: {file} has the SHA-256 {self._sha256[:8]}..., and in other weights there is no FID; it "
                f"takes {_SOURCE}"
            )
        # torch-fidelity unpickles the file, whatever its ending, and eight digits of a hash prove nothing about it
        read(file, "inception", pickled=True)
        self._device = usable(device)
        self.network = FeatureExtractorInceptionV3("zoo", ["2048"], feature_extractor_weights_path=str(file))
        self.network.to(self._device)
        self.dimensions = 2048

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._features(batch) for batch in torch.split(images, _BATCH)])

    def _features(self, images: Tensor) -> Tensor:
        pixels = ((images.to(self._device, torch.float32).clamp(-1, 1) + 1) * 127.5).round().byte()
        features: Tensor = self.network(pixels.expand(-1, 3, -1, -1))[0]
        return features.cpu()

    def facts(self) -> Mapping[str, float | int]:
        return {"dimensions": self.dimensions}

    def origin(self) -> Mapping[str, str]:
        return {"torch-fidelity": importlib.metadata.version("torch-fidelity"), "weights_sha256": self._sha256}
