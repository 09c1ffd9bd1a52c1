"""Any folder of pictures as a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from registry.names import natural
from zoo.data.base import DataError, Dataset

_FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
_SUFFIXES = frozenset(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
_MEGABYTE = 1 << 20


class Images(Dataset):
    """Pictures of any size in a folder and all folders below, cut and resized to the model's shape.

    The largest centred part with the model's aspect ratio is kept and resized. The orientation that a camera noted is
    respected, transparency is laid on white, colours become grey for a model of one channel, and of an animation the
    first frame is taken. Files that cannot be read are left out and counted. Small sets are held in memory.

    Args:
        path: the folder. Hidden files, and files whose ending is no picture's, are ignored.
        class_folders: whether each folder in ``path`` is a class; they are numbered in natural order.
        horizontal_flip: whether every picture is there twice, as it is and mirrored.
        memory_mb: the largest set that is decoded once and kept; larger ones are read anew in every epoch.
        shape: of the model, (1 or 3, H, W).

    Raises:
        DataError: when the folder does not exist, holds no readable picture, or has pictures that belong to no class;
            or when the shape is not that of images.
    """

    def __init__(
        self,
        *,
        path: str,
        class_folders: bool = False,
        horizontal_flip: bool = False,
        memory_mb: int = 1024,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        self.folder = Path(path).expanduser()
        self.shape = _image_shape(shape)
        if not self.folder.is_dir():
            raise DataError(f"images: {self.folder} is not a folder; data.path names one that holds pictures")
        files = sorted(_pictures(self.folder), key=lambda file: natural(str(file.relative_to(self.folder))))
        names = self._class_names(files) if class_folders else []
        channels, height, width = self.shape
        cached = len(files) * channels * height * width <= memory_mb * _MEGABYTE
        self._pixels: Tensor | None = None
        with ThreadPoolExecutor() as pool:
            if cached:
                decoded = list(pool.map(self._try_decode, files))
                readable = [pixels is not None for pixels in decoded]
                self._pixels = torch.stack([p for p in decoded if p is not None]) if any(readable) else None
            else:
                readable = list(pool.map(_has_header, files))
        self.skipped = readable.count(False)
        self.files = [file for file, good in zip(files, readable, strict=True) if good]
        if not self.files:
            endings = " ".join(sorted(_SUFFIXES))
            why = f"none of its {len(files)} pictures can be read" if files else f"it has no files {endings}"
            raise DataError(f"images: there is nothing to train on in {self.folder}: {why}")
        self.classes = len(names) or None
        number = {name: index for index, name in enumerate(names)}
        self.labels = [number[self._top(file)] if number else -1 for file in self.files]
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return len(self.files) * (2 if self.horizontal_flip else 1)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)} images")
        mirrored, index = divmod(index, len(self.files))
        pixels, index = self._read(index)
        x_0 = pixels.float() / 127.5 - 1
        return {"x_0": x_0.flip(-1) if mirrored else x_0, "labels": self.labels[index]}

    def describe(self) -> str:
        size = "x".join(str(side) for side in self.shape)
        classes = f", {self.classes} classes" if self.classes else ""
        mirrored = " and their mirror images" if self.horizontal_flip else ""
        skipped = f"; {self.skipped} unreadable files skipped" if self.skipped else ""
        return f"{len(self.files):,} images of {self.folder}{mirrored}, {size}{classes}{skipped}"

    def _read(self, index: int) -> tuple[Tensor, int]:
        """The picture, or the next one that can be decoded, with its number: (C, H, W) bytes."""
        if self._pixels is not None:
            return self._pixels[index], index
        for offset in range(len(self.files)):
            other = (index + offset) % len(self.files)
            pixels = self._try_decode(self.files[other])
            if pixels is not None:
                return pixels, other
        raise DataError(f"images: none of the pictures in {self.folder} can be read any more")

    def _try_decode(self, file: Path) -> Tensor | None:
        try:
            return _decoded(file, self.shape)
        except Exception:  # decoders raise whatever the bytes of a broken file lead them to
            return None

    def _class_names(self, files: Sequence[Path]) -> list[str]:
        loose = [file for file in files if file.parent == self.folder]
        if loose:
            raise DataError(
                f"images: {loose[0]} is in no class: with class_folders every picture lies in a folder of "
                f"{self.folder} that names its class"
            )
        return sorted({self._top(file) for file in files}, key=natural)

    def _top(self, file: Path) -> str:
        return file.relative_to(self.folder).parts[0]


def picture(path: str | Path, shape: Sequence[int | None]) -> Tensor:
    """One picture as a model sees it, cut and resized as those of a folder.

    Args:
        path: the file.
        shape: of the model, (1 or 3, H, W).

    Returns:
        (C, H, W) in [-1, 1].

    Raises:
        DataError: the file cannot be read, or the shape is not that of images.
    """
    file, size = Path(path).expanduser(), _image_shape(shape)
    try:
        return _decoded(file, size).float() / 127.5 - 1
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such picture") from None
    except Exception as error:  # decoders raise whatever the bytes of a broken file lead them to
        raise DataError(f"{file}: cannot be read as a picture: {error}") from error


def whole_picture(path: str | Path, channels: int) -> Tensor:
    """One picture at its own size.

    Args:
        path: the file.
        channels: 1 or 3.

    Returns:
        (channels, H, W) in [-1, 1].

    Raises:
        DataError: the file cannot be read.
    """
    file = Path(path).expanduser()
    try:
        with _open(file) as opened:
            width, height = ImageOps.exif_transpose(opened).size
    except Exception as error:  # decoders raise whatever the bytes of a broken file lead them to
        raise DataError(f"{file}: cannot be read as a picture: {error}") from error
    return picture(file, (channels, height, width))


def _image_shape(shape: Sequence[int | None] | None) -> tuple[int, int, int]:
    sizes = [] if shape is None else [size for size in shape if size is not None]
    if len(sizes) != 3 or sizes[0] not in (1, 3):
        found = "open" if shape is None else list(shape)
        raise DataError(f"images: the model's shape must be [1 or 3, height, width], it is {found}")
    return sizes[0], sizes[1], sizes[2]


def _pictures(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in _SUFFIXES and not hidden and file.is_file():
            yield file


def _open(file: Path) -> Image.Image:
    Image.init()
    # named formats only: Pillow would start other programs for some of the rest
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def _has_header(file: Path) -> bool:
    try:
        with _open(file):
            return True
    except Exception:  # as above
        return False


def _decoded(file: Path, shape: tuple[int, int, int]) -> Tensor:
    """The picture as (C, H, W) bytes."""
    channels, height, width = shape
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _open(file) as opened:
            # a JPEG is decoded at a fraction of its size where that is still twice what is needed
            side = 2 * max(height, width)
            opened.draft(None, (side, side))
            image = ImageOps.exif_transpose(opened)
            image = _on_white(image) if image.has_transparency_data else _eight_bits(image)
            image = image.convert("L" if channels == 1 else "RGB")
            fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow cuts 16-bit greys off at 255 when it converts them; they are scaled here."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
