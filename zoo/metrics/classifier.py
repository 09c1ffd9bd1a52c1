"""A small classifier, trained on the data that samples are compared with, and its last features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zoo.core.errors import ArgumentValueError
from zoo.metrics.features import Features

_BATCH = 128


class Network(nn.Module):
    """Three convolutions of stride 2, a layer of features, and the logits.

    Args:
        channels: of the images.
        height: of the images.
        width: of the images.
        base_channels: of the first convolution; the others have two and four times as many.
        dimensions: number of features.
        classes: number of logits.
    """

    def __init__(
        self, channels: int, height: int, width: int, *, base_channels: int, dimensions: int, classes: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for times in (1, 2, 4):
            layers += [
                nn.Conv2d(before, base_channels * times, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(base_channels * times),
                nn.ReLU(),
            ]
            before = base_channels * times
        size = before * math.ceil(height / 8) * math.ceil(width / 8)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, dimensions), nn.ReLU())
        self.head = nn.Linear(dimensions, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of x: (B, C, H, W)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class Classifier(Features):
    """The penultimate features of a small CNN, trained here on four fifths of the real examples.

    The same examples and the same seed give the same network.

    Args:
        epochs: passes over the training examples.
        base_channels: width of the network.
        dimensions: number of features. Distances need several times as many samples.
        learning_rate: at its highest; it falls along a cosine.
        seed: of the split, the weights and the order.
        images: (N, C, H, W) real examples.
        labels: (N,) their classes.

    Raises:
        ArgumentValueError: a number is below 1; examples have no label, or are too few to train on.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        base_channels: int = 16,
        dimensions: int = 32,
        learning_rate: float = 3e-3,
        seed: int = 0,
        images: Tensor,
        labels: Tensor,
    ) -> None:
        for name, value in (("epochs", epochs), ("base_channels", base_channels), ("dimensions", dimensions)):
            if value < 1:
                raise ArgumentValueError(f"classifier: {name} must be at least 1, got {value}")
        if labels.min() < 0:
            raise ArgumentValueError("classifier: its features need labelled data, and some examples have no class")
        if len(images) < 10:
            raise ArgumentValueError(f"classifier: {len(images)} examples are too few to train on")
        self.dimensions, self._seed, self._epochs = dimensions, seed, epochs
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        held_out, trained_on = order[: len(order) // 5], order[len(order) // 5 :]
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.network = Network(
                *images.shape[1:],
                base_channels=base_channels,
                dimensions=dimensions,
                classes=int(labels.max()) + 1,
            )
        self._train(images[trained_on], labels[trained_on], learning_rate)
        self.accuracy = self._accuracy(images[held_out], labels[held_out])
        self._counts = len(trained_on), len(held_out)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        images = images.to("cpu", torch.float32)
        return torch.cat([self.network.body(batch) for batch in torch.split(images, _BATCH)])

    @torch.no_grad()
    def guess(self, images: Tensor) -> Tensor:
        """The classes (N,) that it sees in images: (N, C, H, W) in data space."""
        images = images.to("cpu", torch.float32)
        return torch.cat([self.network(batch).argmax(1) for batch in torch.split(images, _BATCH)])

    def facts(self) -> Mapping[str, float | int]:
        trained_on, held_out = self._counts
        return {
            "dimensions": self.dimensions,
            "trained_on": trained_on,
            "held_out": held_out,
            "held_out_accuracy": self.accuracy,
        }

    def _train(self, images: Tensor, labels: Tensor, learning_rate: float) -> None:
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate)
        # a last batch of one example would leave the norms nothing to normalise
        starts = [start for start in range(0, len(images), _BATCH) if len(images) - start > 1]
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._epochs * len(starts))
        generator = torch.Generator().manual_seed(self._seed)
        self.network.train()
        for _ in range(self._epochs):
            order = torch.randperm(len(images), generator=generator)
            for start in starts:
                rows = order[start : start + _BATCH]
                optimizer.zero_grad()
                cross_entropy(self.network(images[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                fall.step()
        self.network.eval()

    def _accuracy(self, images: Tensor, labels: Tensor) -> float:
        return float((self.guess(images) == labels).double().mean())
