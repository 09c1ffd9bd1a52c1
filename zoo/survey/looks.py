"""One pass over a set: what is kept of each picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.base import DataError, Dataset
from zoo.data.latents import Latents
from zoo.data.picture_set import PictureSet
from zoo.data.pictures import UnreadableError, as_floats
from zoo.images import false_colours
from zoo.progress import Events, Progress

_THUMB = 16
_CHUNK = 256
_BLANK = 2 / 127.5
"""The largest deviation of a picture of one colour: two of 256 levels, which JPEG adds to it."""


@dataclass(frozen=True)
class Look:
    """What is kept of one picture.

    Args:
        index: of the example.
        label: its class, -1 for none.
        sides: its height and width, as the model sees it.
        digest: of its pixels, as the model sees them.
        thumb: (3, 16, 16) bytes.
        blank: whether it is of one colour.
    """

    index: int
    label: int
    sides: tuple[int, int]
    digest: bytes
    thumb: Tensor
    blank: bool


@dataclass(frozen=True)
class Looks:
    """The pictures of a set, mirror images left out.

    Args:
        seen: those that can be read.
        names: by the index of an example, what it is called.
        unreadable: name -> why it cannot be read.
    """

    seen: Sequence[Look]
    names: Sequence[str]
    unreadable: dict[str, str]


def look(data: Dataset) -> Events[Looks]:
    """Look at every picture of a dataset once; latents are looked at in false colours.

    Raises:
        DataError: an example is no picture, or none can be read.
    """
    if isinstance(data, PictureSet):
        return (yield from _look_at_pictures(data))
    seen, latent = [], isinstance(data, Latents)
    for index in range(len(data)):
        if index % _CHUNK == 0:
            yield Progress("looking at pictures", index, len(data))
        example = data[index]
        x_0: Tensor = example["x_0"]
        if not latent and (x_0.ndim != 3 or x_0.shape[0] not in (1, 3)):
            raise DataError(
                f"{data.describe()}: an example has the shape {tuple(x_0.shape)} and is no picture, (1 or 3, H, W): "
                "there is nothing to look at"
            )
        seen.append(_look(index, x_0, int(example.get("labels", -1)), latent=latent))
    if not seen:
        raise DataError(f"{data.describe()}: there is nothing to look at")
    return Looks(seen, [f"#{index}" for index in range(len(data))], {})


def _look_at_pictures(data: PictureSet) -> Events[Looks]:
    names = [data.title(index) for index in range(len(data.labels))]
    unreadable, seen = dict(data.left_out()), list[Look]()
    with ThreadPoolExecutor() as pool:
        for chunk in _chunks(range(len(names))):
            yield Progress("looking at pictures", chunk.start, len(names))
            # decoded here, where the set does not hold them; in chunks, so that no more than a few are held
            for index, found in zip(chunk, pool.map(lambda index: _look_at_picture(data, index), chunk), strict=True):
                if isinstance(found, Look):
                    seen.append(found)
                else:
                    unreadable[names[index]] = found
    if not seen:
        raise DataError(f"{data.describe()}: none of these can be read to its end")
    return Looks(seen, names, unreadable)


def _look_at_picture(data: PictureSet, index: int) -> Look | str:
    """The picture, not what is given in its place, or why it cannot be read."""
    try:
        return _look(index, as_floats(data.pixels(index)), data.labels[index])
    except UnreadableError as error:
        return error.why


def _look(index: int, x_0: Tensor, label: int, *, latent: bool = False) -> Look:
    # neither brightness nor contrast counts where thumbs are compared, so each may have a scale of its own
    shown = false_colours(x_0[None]) if latent else x_0[None]
    thumb = F.adaptive_avg_pool2d(shown, _THUMB)[0].clamp(-1, 1).expand(3, -1, -1)
    return Look(
        index=index,
        label=label,
        sides=(x_0.shape[1], x_0.shape[2]),
        digest=blake2b(x_0.contiguous().numpy().tobytes(), digest_size=16).digest(),
        thumb=((thumb + 1) * 127.5).round().byte(),
        blank=bool(x_0.std((1, 2), correction=0).amax() < _BLANK),
    )


def _chunks(numbers: range) -> Iterator[range]:
    for start in range(0, len(numbers), _CHUNK):
        yield numbers[start : start + _CHUNK]


def thumbs(looks: Sequence[Look]) -> Tensor:
    """(N, 3, 16, 16) bytes."""
    return torch.stack([one.thumb for one in looks]) if looks else torch.empty(0, 3, _THUMB, _THUMB)
