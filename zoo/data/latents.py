"""Encoded pictures on the disk: what latent models are trained on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from registry.names import natural
from zoo.data.base import DataError, Dataset

_ENDINGS = (".npy", ".safetensors")
_OTHERS = (".npz", ".pt", ".pth")
_KEY, _LABELS = "latents", "labels"


class Latents(Dataset):
    """Latents of pictures, one or many in a file; only what an example needs is read.

    A ``.npy`` file holds latents (C, H, W), (1, C, H, W) or (N, C, H, W); a ``.safetensors`` file those under the name
    "latents", and its "labels" (N,) where it has them. An example is always the same: of latents with twice the
    model's channels, which are the mean and the spread of an encoder, the mean is taken.

    Args:
        path: a folder of such files, or one of them.
        labels: for ``.npy`` files: a folder with the class of each in a file of the same name, or the one file of the
            one file; None for data without classes, or with those of ``.safetensors`` files.
        classes: their number; None for one more than the largest label.
        scale: x_0 = scale (latent - shift), such as 0.18215 for an encoder's plain output; 1 for latents that were
            scaled when they were written, as those of DiT's extraction are. The model's own ``scaling`` comes on top.
        shift: as above.
        shape: of the model, (C, H, W).

    Raises:
        DataError: there are none, they are not of the model's shape, or the labels do not fit them.
    """

    def __init__(
        self,
        *,
        path: str,
        labels: str | None = None,
        classes: int | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        self.folder, self.scale, self.shift = Path(path).expanduser(), scale, shift
        self.shape = _latent_shape(shape)
        self.files = _files(self.folder)
        self.others = len(_others(self.folder))
        with ThreadPoolExecutor() as pool:
            counts = list(pool.map(self._count, self.files))
        self._ends = list(accumulate(counts))
        self.labels = self._read_labels(None if labels is None else Path(labels).expanduser(), counts)
        self.classes = classes
        if self.labels is not None:
            known = max(self.labels, default=-1) + 1
            self.classes = known if classes is None else classes
            if min(self.labels, default=0) < 0 or known > self.classes:
                reach = f"{min(self.labels)} to {known - 1}"
                raise DataError(f"latents: the labels reach from {reach}; {self.classes} classes count from 0")

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)} latents")
        number = bisect_right(self._ends, index)
        row = index - (self._ends[number - 1] if number else 0)
        file = self.files[number]
        latent = _row(file, row)[: self.shape[0]].float()
        if not latent.isfinite().all():
            raise DataError(f"latents: {file}: number {row} is not finite; leave it out of the folder")
        return {"x_0": self.scale * (latent - self.shift), "labels": -1 if self.labels is None else self.labels[index]}

    def describe(self) -> str:
        size = "x".join(str(side) for side in self.shape)
        others = f"; {self.others} {' or '.join(_OTHERS)} files are not read" if self.others else ""
        files = "1 file" if len(self.files) == 1 else f"{len(self.files):,} files"
        classes = f", {self.classes} classes" if self.classes else ""
        return f"{len(self):,} latents in {files} of {self.folder}, {size}{classes}{others}"

    def _count(self, file: Path) -> int:
        """How many latents a file holds; they must be the model's."""
        found = _shape_of(file)
        channels, height, width = self.shape
        if len(found) not in (3, 4) or found[-2:] != (height, width) or found[-3] not in (channels, 2 * channels):
            raise DataError(
                f"latents: {file} holds {list(found)}, and the model's shape is {list(self.shape)}; expected latents "
                "of that shape, or of twice the channels"
            )
        if not found[0]:
            raise DataError(f"latents: {file} is empty, it holds {list(found)}; leave it out of the folder")
        return found[0] if len(found) == 4 else 1

    def _read_labels(self, place: Path | None, counts: Sequence[int]) -> list[int] | None:
        if place is None:
            found = [_own_labels(file, count) for file, count in zip(self.files, counts, strict=True)]
            if all(one is None for one in found):
                return None
            missing = [file for file, one in zip(self.files, found, strict=True) if one is None]
            if missing:
                raise DataError(f"latents: {missing[0]} has no labels, and others have")
            return [label for one in found if one is not None for label in one]
        files = [place / file.name for file in self.files] if place.is_dir() else [place]
        if len(files) != len(self.files):
            raise DataError(f"latents: {place} is one file of labels for {len(self.files)} files of latents")
        labels: list[int] = []
        for file, beside, count in zip(files, self.files, counts, strict=True):
            if not file.is_file():
                raise DataError(f"latents: {beside} has no labels: there is no {file}")
            mapped = _mapped(file)
            labels += _whole(mapped.reshape(-1).tolist(), str(mapped.dtype), file, count)
        return labels


def _latent_shape(shape: Sequence[int | None] | None) -> tuple[int, int, int]:
    sizes = [] if shape is None else [size for size in shape if size is not None]
    if len(sizes) != 3:
        found = "open" if shape is None else list(shape)
        raise DataError(f"latents: the model's shape must be [channels, height, width], it is {found}")
    return sizes[0], sizes[1], sizes[2]


def _files(place: Path) -> list[Path]:
    if place.is_file() and place.suffix in _ENDINGS:
        return [place]
    if not place.is_dir():
        raise DataError(f"latents: {place} is neither a folder nor a file {' or '.join(_ENDINGS)}")
    found = [file for file in place.iterdir() if file.suffix in _ENDINGS and not file.name.startswith(".")]
    if not found:
        others = _others(place)
        hint = f"; save what {others[0].name} holds as one of these" if others else ""
        raise DataError(f"latents: {place} has no files {' or '.join(_ENDINGS)}{hint}")
    return sorted(found, key=lambda file: natural(file.name))


def _others(place: Path) -> list[Path]:
    """Files that may hold latents, and are not read: nothing in them can be had without the rest."""
    return sorted(file for file in place.iterdir() if file.suffix in _OTHERS) if place.is_dir() else []


def _mapped(file: Path) -> np.ndarray[Any, Any]:
    """A .npy file on the disk; what would have to be unpickled is refused."""
    try:
        found: np.ndarray[Any, Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        return found
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"latents: {file} cannot be read as an array: {error}") from None


def _shape_of(file: Path) -> tuple[int, ...]:
    if file.suffix == ".npy":
        mapped = _mapped(file)
        if mapped.dtype.kind not in "fiu":
            raise DataError(f"latents: {file} holds {mapped.dtype}, which are no real numbers")
        return tuple(map(int, mapped.shape))
    with _opened(file) as held:
        names = list(held.keys())
        if _KEY not in names:
            raise DataError(f"latents: {file} has no tensor {_KEY!r}; it has {', '.join(names) or 'none'}")
        return tuple(int(size) for size in held.get_slice(_KEY).get_shape())


def _row(file: Path, row: int) -> Tensor:
    if file.suffix == ".npy":
        mapped = _mapped(file)
        # numbers of any width and byte order, which torch does not know all of
        return torch.from_numpy(np.array(mapped[row] if mapped.ndim == 4 else mapped, dtype=np.float32))
    with _opened(file) as held:
        rows = held.get_slice(_KEY)
        found: Tensor = rows[row] if len(rows.get_shape()) == 4 else rows[:]
        return found


def _own_labels(file: Path, count: int) -> list[int] | None:
    """Those beside the latents in one file."""
    if file.suffix == ".npy":
        return None
    with _opened(file) as held:
        if _LABELS not in list(held.keys()):
            return None
        found = held.get_tensor(_LABELS)
        return _whole(found.reshape(-1).tolist(), str(found.dtype), file, count)


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise DataError(f"latents: {file} cannot be read: {error}") from None


def _whole(labels: list[Any], kind: str, file: Path, count: int) -> list[int]:
    if len(labels) != count or any(type(label) is not int for label in labels):
        raise DataError(
            f"latents: {file} has {len(labels)} labels of type {kind} for {count} latents; "
            "expected as many whole numbers"
        )
    return labels
