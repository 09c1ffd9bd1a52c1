"""Any folder of pictures as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from registry.names import natural
from zoo.data.base import DataError
from zoo.data.buckets import Sides, bucket_of, bucket_sides
from zoo.data.enlarging import Enlarged, check_factor, smaller
from zoo.data.picture_set import PictureSet
from zoo.data.pictures import SUFFIXES, UnreadableError, as_floats, decoded, find, image_shape, upright_size

_MEGABYTE = 1 << 20
_PREVIEWED = 8


class Images(PictureSet):
    """Pictures of any size in a folder and all folders below, cut and resized to the model's shape.

    The largest centred part with the model's aspect ratio is kept and resized. The orientation that a camera noted is
    respected, transparency is laid on white, colours become grey for a model of one channel, and of an animation the
    first frame is taken. Files that cannot be read are left out and counted. Small sets are held in memory; of others
    only the heads are read at the start, and what breaks behind its head is replaced and counted when it is met.

    With buckets a picture keeps more of itself: it is cut to whichever of several shapes has the proportions nearest
    to its own. Pictures of one shape make a group, and a batch is of one group.

    Args:
        path: the folder. Hidden files, folders behind links, and files whose ending is no picture's, are ignored.
        class_folders: whether each folder in ``path`` that holds pictures is a class; they are numbered in natural
            order.
        horizontal_flip: whether every picture is there twice, as it is and mirrored.
        buckets: whether pictures are cut to several shapes, none of more pixels than the model's.
        aspect_limit: of these shapes, the longer side over the shorter one, at the most.
        divisor: both sides of these shapes are multiples of it: of what the network halves to its smallest level.
        low_res_factor: how many times smaller the picture is that a model enlarges, which each example has as
            ``low_res`` (C, H / factor, W / factor), averaged from x_0; None for models that enlarge nothing.
        memory_mb: the largest set that is decoded once and kept; larger ones are read anew in every epoch.
        shape: of the model, (1 or 3, H, W).

    Attributes:
        files: the pictures, in natural order; of a mirrored set the first half of the examples are these.
        sizes: of each file, its own height and width, as it is looked at.
        unreadable: file -> why it is left out.
        class_names: by label.
        no_classes: folders in ``path`` that would be classes if they held pictures.
        shapes: of the buckets, (H, W) each; the model's alone without.

    Raises:
        DataError: when the folder does not exist, holds no readable picture, or has pictures that belong to no class;
            when the shape is not that of images, or no buckets or smaller pictures can be made of it.
    """

    def __init__(
        self,
        *,
        path: str,
        class_folders: bool = False,
        horizontal_flip: bool = False,
        buckets: bool = False,
        aspect_limit: float = 2.0,
        divisor: int = 8,
        low_res_factor: int | None = None,
        memory_mb: int = 1024,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        self.folder, self.buckets = Path(path).expanduser(), buckets
        channels, height, width = image_shape(shape, "images")
        self.shapes = bucket_sides((height, width), aspect_limit, divisor) if buckets else [(height, width)]
        self.low_res_factor = low_res_factor
        if low_res_factor is not None:
            check_factor(low_res_factor, self.shapes)
        if memory_mb < 0:
            raise DataError(f"images: data.memory_mb is a number from 0, got {memory_mb}; 0 reads every picture anew")
        if not self.folder.is_dir():
            raise DataError(f"images: {self.folder} is not a folder; data.path names one that holds pictures")
        files = sorted(find(self.folder), key=lambda file: natural(str(file.relative_to(self.folder))))
        class_names = self._class_names(files) if class_folders else []
        self.no_classes = self._without_pictures(class_names) if class_folders else []
        cached = len(files) * channels * height * width <= memory_mb * _MEGABYTE
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda file: self._found(file, channels, decode=cached), files))
        self.unreadable = {one.file: one.trouble for one in found if one.trouble}
        found = [one for one in found if not one.trouble]
        if not found:
            raise DataError(f"images: there is nothing to train on in {self.folder}: {self._why_nothing(files)}")
        self.files = [one.file for one in found]
        self.sizes = [one.size for one in found]
        self._bucket = [one.bucket for one in found]
        self._members: list[list[int]] = [[] for _ in self.shapes]
        for index, bucket in enumerate(self._bucket):
            self._members[bucket].append(index)
        # one tensor a bucket: the processes of a loader share it, where of many small ones each would get its own
        self._pixels = [_stacked(found, members) for members in self._members] if cached else None
        self._row = {index: row for members in self._members for row, index in enumerate(members)}
        number = {name: index for index, name in enumerate(class_names)}
        super().__init__(
            "images",
            (channels, height, width),
            [number[self._top(file)] if number else -1 for file in self.files],
            len(class_names) or None,
            class_names=class_names,
            horizontal_flip=horizontal_flip,
        )

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = super().__getitem__(index)
        if self.low_res_factor is not None:
            example["low_res"] = smaller(example["x_0"], self.low_res_factor)
        return example

    def groups(self) -> list[list[int]] | None:
        if not self.buckets:
            return None
        copies = range(0, len(self), len(self.files))
        return [[index + first for first in copies for index in members] for members in self._members if members]

    def describe(self) -> str:
        size = ""
        if self.buckets:
            filled = [f"{h}x{w}" for (h, w), members in zip(self.shapes, self._members, strict=True) if members]
            size = f"{len(filled)} buckets {filled[0]} to {filled[-1]}" if len(filled) > 1 else f"1 bucket {filled[0]}"
        small = f", beside {self.low_res_factor} times smaller ones" if self.low_res_factor else ""
        files = "file" if len(self.unreadable) == 1 else "files"
        skipped = f"; {len(self.unreadable)} unreadable {files} skipped" if self.unreadable else ""
        return f"{len(self.files):,} images of {self.folder}{self._looks(size)}{small}{skipped}{self._losses()}"

    def preview(self) -> Enlarged | None:
        """Pictures of the data to be enlarged, for a model that does that."""
        if self.low_res_factor is None:
            return None
        step = max(1, len(self.files) // _PREVIEWED)
        chosen = range(0, len(self.files), step)[:_PREVIEWED]
        # samples of a preview are of one shape, whatever the buckets of its pictures
        read = [self._read(index, self.shape[1:]) for index in chosen]
        x_0 = torch.stack([as_floats(pixels) for pixels, _ in read])
        labels = torch.tensor([self.labels[index] for _, index in read]) if self.classes else None
        return Enlarged(x_0, self.low_res_factor, labels)

    def pixels(self, index: int, sides: Sides | None = None, channels: int | None = None) -> Tensor:
        own = self.sides(index)
        if self._pixels is not None and sides in (None, own) and channels in (None, self.shape[0]):
            return self._pixels[self._bucket[index]][self._row[index]]
        return decoded(self.files[index], (channels or self.shape[0], *(sides or own)), str(self.files[index]))

    def sides(self, index: int) -> Sides:
        return self.shapes[self._bucket[index]]

    def title(self, index: int) -> str:
        return str(self.files[index].relative_to(self.folder))

    def left_out(self) -> dict[str, str]:
        return {str(file.relative_to(self.folder)): why for file, why in self.unreadable.items()}

    def _found(self, file: Path, channels: int, *, decode: bool) -> _Found:
        try:
            size = upright_size(file, str(file))
            bucket = bucket_of(size, self.shapes)
            pixels = decoded(file, (channels, *self.shapes[bucket]), str(file)) if decode else None
            return _Found(file, size, bucket, pixels)
        except UnreadableError as error:
            return _Found(file, trouble=error.why)

    def _why_nothing(self, files: Sequence[Path]) -> str:
        if not files:
            return f"it has no files {' '.join(sorted(SUFFIXES))}"
        return f"none of its {len(files)} pictures can be read; {files[0].name}: {self.unreadable[files[0]]}"

    def _class_names(self, files: Sequence[Path]) -> list[str]:
        loose = [file for file in files if file.parent == self.folder]
        if loose:
            raise DataError(
                f"images: {loose[0]} is in no class: with class_folders every picture lies in a folder of "
                f"{self.folder} that names its class"
            )
        return sorted({self._top(file) for file in files}, key=natural)

    def _without_pictures(self, class_names: Sequence[str]) -> list[str]:
        folders = {place.name for place in self.folder.iterdir() if place.is_dir() and not place.name.startswith(".")}
        return sorted(folders - set(class_names), key=natural)

    def _top(self, file: Path) -> str:
        return file.relative_to(self.folder).parts[0]


@dataclass(frozen=True)
class _Found:
    """What was seen of a file.

    Args:
        file: its path.
        size: its height and width.
        bucket: number of the shape that it is cut to.
        pixels: (C, H, W) bytes, where they are kept.
        trouble: why it cannot be used; empty when it can.
    """

    file: Path
    size: Sides = (0, 0)
    bucket: int = 0
    pixels: Tensor | None = None
    trouble: str = ""


def _stacked(found: Sequence[_Found], members: Sequence[int]) -> Tensor:
    kept = [pixels for index in members if (pixels := found[index].pixels) is not None]
    return torch.stack(kept) if kept else torch.empty(0)
