"""The data that samples are compared with, in two halves, and the classes that samples of a model are to have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.data.base import Dataset
from zoo.evaluation.errors import EvaluationError
from zoo.progress import Events, Progress

LEAST = 20
"""Pictures of the data: half of them have neighbours enough for every measure."""

_TOLD_EVERY = 100


@dataclass(frozen=True)
class Real:
    """Pictures of the data in a random order that the seed decides, but for classes: every beginning has them in the
    shares of the whole, so that no distance is one of classes that chance dealt.

    The first half plays the part of samples, which tells how near to the second half a perfect model comes. All
    examples of a picture, such as its mirror image, are in the same half.

    Args:
        images: (N, C, H, W) in data space.
        labels: (N,) their classes, -1 for none.
        about: what they are, in a line.
        size: of the whole set.
        low_res: (N, C, h, w) smaller ones of them, where the data has these.
        copies: examples of each picture, which lie side by side.
    """

    images: Tensor
    labels: Tensor
    about: str
    size: int
    low_res: Tensor | None = None
    copies: int = 1

    @property
    def half(self) -> int:
        """Where the second half begins."""
        return len(self.images) // self.copies // 2 * self.copies


def gather(data: Dataset, limit: int, seed: int) -> Events[Real]:
    """Read pictures of a dataset, at most ``limit`` of them with all their examples, chosen and ordered by the seed.

    Raises:
        DataError: one cannot be read.
        EvaluationError: they are no pictures of one size, or too few.
    """
    copies, pictures = data.copies, len(data) // data.copies
    chosen = torch.randperm(pictures, generator=torch.Generator().manual_seed(seed))[:limit]
    if len(chosen) < LEAST:
        raise EvaluationError(f"{data.describe()}: {len(chosen)} pictures are too few to judge by; it takes {LEAST}")
    order = _beside(chosen, copies, pictures).tolist()
    images = low_res = torch.empty(0)
    labels: list[int] = []
    for place, index in enumerate(order):
        example = data[index]
        image: Tensor = example["x_0"]
        if image.ndim != 3 or image.shape[0] not in (1, 3) or (place and image.shape != images.shape[1:]):
            first = f" where others are {tuple(images.shape[1:])}" if place else ""
            hint = "; buckets=false cuts these to one" if data.groups() is not None else ""
            raise EvaluationError(
                f"{data.describe()}: example {index} has the shape {tuple(image.shape)}{first}; only pictures, "
                f"(1 or 3, H, W) and all of one size, can be compared{hint}"
            )
        smaller: Tensor | None = example.get("low_res")
        if not place:
            # one piece of memory from the start: a list that is stacked and put in order would be there three times
            images = image.new_empty(len(order), *image.shape)
            low_res = low_res if smaller is None else smaller.new_empty(len(order), *smaller.shape)
        images[place] = image
        if smaller is not None:
            low_res[place] = smaller
        labels.append(int(example.get("labels", -1)))
        if place % _TOLD_EVERY == 0:
            yield Progress("reading", place, len(order))
    found = torch.tensor(labels)
    spread = _beside(_spread(found[::copies]) * copies, copies, 1)
    _reorder(images, spread)
    if len(low_res):
        _reorder(low_res, spread)
    return Real(images, found[spread], data.describe(), len(data), low_res if len(low_res) else None, copies)


def _beside(places: Tensor, copies: int, apart: int) -> Tensor:
    """Each place, and its copies that are so far apart, side by side."""
    return (places[:, None] + apart * torch.arange(copies)).flatten()


def _reorder(rows: Tensor, order: Tensor) -> None:
    """``rows[order]`` in place, cycle by cycle."""
    sources, filled = order.tolist(), [False] * len(order)
    for start in range(len(sources)):
        if filled[start]:
            continue
        kept, place = rows[start].clone(), start
        while (source := sources[place]) != start:
            rows[place], filled[place] = rows[source], True
            place = source
        rows[place], filled[place] = kept, True


def _spread(labels: Tensor) -> Tensor:
    """An order in which each class comes at even distances: places (N,) of labels (N,)."""
    due = torch.empty(len(labels), dtype=torch.float64)
    for label in sorted(set(labels.tolist())):
        places = (labels == label).nonzero()[:, 0]
        due[places] = (torch.arange(len(places), dtype=torch.float64) + 0.5) / len(places)
    return due.argsort(stable=True)


def wanted_labels(model: Diffusion, real: Real, n: int) -> tuple[Tensor | None, str]:
    """The classes that n samples are to have, and a remark where the data does not decide them.

    Sample i has the class of picture i of the first half, over and over, so that classes are spread as in the data
    and as many of each are in the samples as in what they are compared beside.

    Returns:
        (n,) labels, or None for a model that takes none; the remark may be empty.

    Raises:
        EvaluationError: the data has classes that the model does not know, or for some pictures none.
    """
    classes = model.config.get("denoiser", {}).get("classes")
    if classes is None:
        return None, ""
    if (real.labels < 0).all():
        return torch.arange(n) % classes, f"The data has no classes; samples have the model's {classes} in turn."
    if (real.labels < 0).any():
        missing = int((real.labels < 0).sum())
        raise EvaluationError(f"{real.about}: {missing} of {len(real.labels)} pictures have no class, and others do")
    if real.labels.max() >= classes:
        raise EvaluationError(
            f"{real.about}: it has a class {int(real.labels.max())}, and the model has the classes 0-{classes - 1}"
        )
    return real.labels[torch.arange(n) % real.half], ""


def wanted_low_res(model: Diffusion, real: Real, n: int) -> Tensor | None:
    """What n samples are to be enlarged from: (n, C, h, w), of the pictures of the first half, over and over.

    Returns:
        None for a model that enlarges nothing.

    Raises:
        EvaluationError: the model enlarges, and the data has no smaller pictures.
    """
    if not model.config.get("denoiser", {}).get("low_res_channels"):
        return None
    if real.low_res is None:
        raise EvaluationError(
            f"{real.about}: this model enlarges pictures, and the data has no smaller ones; set its low_res_factor, "
            "as in 'images path=FOLDER low_res_factor=4'"
        )
    return real.low_res[torch.arange(n) % real.half]
