"""Quality: the distance of samples from real data, with the distances that bound it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from registry import data as datasets
from registry import features as extractors
from zoo.bench.suite import Draws, Quality
from zoo.core.errors import ZooError
from zoo.metrics.features import Features
from zoo.metrics.frechet import Moments, frechet_distance
from zoo.metrics.sliced import sliced_wasserstein

_DRAWS = 20


@dataclass(frozen=True)
class Yardstick:
    """What the distances of a model's cells are to be compared with.

    Args:
        model: whose cells.
        measure: what the distance is called.
        samples: how many of each cell.
        data: what the real examples are.
        floor: the distance of as many real examples from the others: the median of several draws.
        floor_range: its least and its greatest value over the draws.
        noise: the distance of the start noise.
        facts: what the features tell about themselves.
        reason: why there is no quality; empty when there is.
    """

    model: str
    measure: str
    samples: int
    data: str = ""
    floor: float | None = None
    floor_range: tuple[float, float] | None = None
    noise: float | None = None
    facts: Mapping[str, Any] | None = None
    reason: str = ""


def _of_classes(wanted: Sequence[int], rows: Tensor, labels: Tensor) -> Tensor:
    """The first of the rows that have these classes, as many of each."""
    chosen = []
    for label, count in Counter(wanted).items():
        found = rows[labels == label][:count]
        if len(found) < count:
            raise ZooError(
                f"quality.samples: {count} samples of class {label} need as many real ones, there are {len(found)}"
            )
        chosen.append(found)
    return torch.cat(chosen)


def measure(quality: Quality) -> str:
    """The name of the distance: Frechet distance, and in whose features."""
    name = quality.features["name"] if isinstance(quality.features, Mapping) else quality.features
    return f"FD-{name}"


class Judge:
    """Real examples in two random halves: samples are compared with one, the other gives the floor.

    Args:
        quality: what the suite asks for.
        shape: of one sample.
        seed: of the halves.
        labels: the classes that are dealt to the samples in turn; the floor's draws have as many of each. None draws
            any.

    Raises:
        ZooError: the data cannot be had, does not fit, or is too little.
        RegistryError: likewise, for the arguments of its factories.
    """

    def __init__(
        self, quality: Quality, shape: Sequence[int | None] | None, seed: int, labels: Sequence[int] | None = None
    ) -> None:
        self._quality, self.samples = quality, quality.samples
        dataset = datasets.build(quality.data, path="quality.data", shape=shape)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(dataset), generator=generator)[: quality.real].tolist()
        if len(order) // 2 < quality.samples:
            raise ZooError(
                f"quality.samples: {quality.samples} samples need twice as many real examples, there are {len(order)}"
            )
        examples = [dataset[index] for index in order]
        images = torch.stack([example["x_0"] for example in examples])
        labels_of = torch.tensor([int(example["labels"]) for example in examples])
        self._features: Features = extractors.build(
            quality.features, path="quality.features", images=images, labels=labels_of
        )
        self._about = dataset.describe()
        self._range = float(images.min()), float(images.max())
        real = self._features(images)
        self._real, spare = Moments.of(real[len(real) // 2 :]), real[: len(real) // 2]
        wanted = None if labels is None else [labels[row % len(labels)] for row in range(quality.samples)]
        self._floors = []
        for _ in range(_DRAWS):
            mixed = torch.randperm(len(spare), generator=generator)
            rows = mixed[: quality.samples] if wanted is None else _of_classes(wanted, mixed, labels_of[mixed])
            self._floors.append(self._distance(spare[rows]))

    def distance(self, samples: Tensor) -> float:
        """The distance of samples: (N, C, H, W) in data space, cut to the range of the real ones as a picture is."""
        return self._distance(self._features(samples.clamp(*self._range)))

    def yardstick(self, model: str, noise: Tensor) -> Yardstick:
        """The bounds of the distances, for samples: (N, C, H, W) that are the start noise."""
        return Yardstick(
            model=model,
            measure=measure(self._quality),
            samples=self._quality.samples,
            data=self._about,
            floor=statistics.median(self._floors),
            floor_range=(min(self._floors), max(self._floors)),
            noise=self.distance(noise),
            facts=dict(self._features.facts()),
        )

    def _distance(self, features: Tensor) -> float:
        return frechet_distance(Moments.of(features), self._real)


class DrawsJudge:
    """Exact draws of the data of a model that knows them: samples are compared with some, others give the floor.

    Args:
        draws: what the suite asks for.
        denoiser: knows its data: ``sample(n, generator)`` draws from it.
        seed: of the draws.

    Raises:
        ZooError: it does not know its data.
    """

    def __init__(self, draws: Draws, denoiser: Any, seed: int) -> None:
        if not hasattr(denoiser, "sample"):
            raise ZooError(
                f"draws: {type(denoiser).__name__} does not know its data: take an analytic model, such as "
                "tiny-mixture, or quality with real data"
            )
        self._draws, self.samples = draws, draws.samples
        generator = torch.Generator().manual_seed(seed)
        self._data: Tensor = denoiser.sample(draws.samples, generator)
        self._floors = [self.distance(denoiser.sample(draws.samples, generator)) for _ in range(_DRAWS)]

    def distance(self, samples: Tensor) -> float:
        """The distance of samples: (N, ...) in data space."""
        return sliced_wasserstein(samples.double(), self._data, directions=self._draws.directions)

    def yardstick(self, model: str, noise: Tensor) -> Yardstick:
        """The bounds of the distances, for samples: (N, ...) that are the start noise."""
        return Yardstick(
            model=model,
            measure="SW2",
            samples=self.samples,
            data="exact draws",
            floor=statistics.median(self._floors),
            floor_range=(min(self._floors), max(self._floors)),
            noise=self.distance(noise),
        )
