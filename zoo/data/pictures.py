"""Files of pictures: finding them, and decoding them as a model sees them."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo.data.base import DataError

_FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
SUFFIXES = frozenset(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
"""Endings of the files that are taken for pictures, in small letters."""

_UNREAD = frozenset((".jp2", ".jxl", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"))
"""Endings of what cameras write besides: Pillow does not know them, or reads a raw file's small preview."""

Source: TypeAlias = Path | IO[bytes]
"""A file, or an open one that can be read from its beginning."""

_LYING = (5, 6, 7, 8)
"""Orientations of EXIF that exchange height and width."""

# such pictures are refused below, and said to be; filters that change while threads open files decide by chance
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadableError(DataError):
    """A picture that cannot be decoded.

    Args:
        name: of the picture.
        why: the reason.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: cannot be read as a picture: {why}")
        self.why = why


def find(folder: Path) -> Iterator[Path]:
    """Pictures in a folder and all folders below, in no order; what is hidden, and folders behind links, are left out.

    Those of formats that are not read are among them, so that they are missed by whoever counts.

    Raises:
        DataError: a folder cannot be looked into.
    """

    def closed(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be looked into: {(error.strerror or str(error)).lower()}")

    for here, folders, files in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(here, name)
            # a pipe of that name would be waited for
            if not name.startswith(".") and file.suffix.lower() in SUFFIXES | _UNREAD and file.is_file():
                yield file


def image_shape(shape: Sequence[int | None] | None, name: str) -> tuple[int, int, int]:
    """The shape of a model, which has to be that of images.

    Args:
        shape: (C, H, W), or whatever the model has.
        name: of the data set, for the message.

    Raises:
        DataError: it is not (1 or 3, H, W).
    """
    sizes = [] if shape is None else [size for size in shape if size is not None]
    if len(sizes) != 3 or sizes[0] not in (1, 3):
        found = "open" if shape is None else list(shape)
        latents = "; a model of latents takes data={name: latents, path: FOLDER}" if len(sizes) == 3 else ""
        raise DataError(f"{name}: the model's shape must be [1 or 3, height, width], it is {found}{latents}")
    return sizes[0], sizes[1], sizes[2]


def picture(path: str | Path, shape: Sequence[int | None]) -> Tensor:
    """One picture as a model sees it, cut and resized as those of a folder.

    Args:
        path: the file.
        shape: of the model, (1 or 3, H, W).

    Returns:
        (C, H, W) in [-1, 1].

    Raises:
        DataError: the shape is not that of images.
        UnreadableError: the file cannot be read.
    """
    file, size = Path(path).expanduser(), image_shape(shape, "images")
    return as_floats(decoded(file, size, str(file)))


def whole_picture(path: str | Path, channels: int) -> Tensor:
    """One picture at its own size.

    Args:
        path: the file.
        channels: 1 or 3.

    Returns:
        (channels, H, W) in [-1, 1].

    Raises:
        UnreadableError: the file cannot be read.
    """
    file = Path(path).expanduser()
    return picture(file, (channels, *upright_size(file, str(file))))


def as_floats(pixels: Tensor) -> Tensor:
    """Bytes as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def upright_size(source: Source, name: str) -> tuple[int, int]:
    """Height and width of a picture as it is looked at; only its header is read.

    Args:
        source: the picture.
        name: what messages call it.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        with _open(source) as image:
            width, height = image.size
            # asked for its EXIF, a PNG that has none before its pixels is decoded to look for it behind them
            if image.format == "PNG" and "exif" not in image.info:
                return height, width
            exif = image.getexif()
            if image.format == "TIFF":
                # whose size some versions of Pillow have turned by now
                width, height = exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength]
            return (width, height) if exif.get(ExifTags.Base.Orientation) in _LYING else (height, width)
    except Exception as error:  # decoders raise whatever the bytes of a broken file lead them to
        raise _unreadable(name, error) from error


def decoded(source: Source, shape: tuple[int, int, int], name: str) -> Tensor:
    """The largest centred part of a picture that has the proportions of the shape, resized to it.

    The orientation that a camera noted is respected, transparency is laid on white, colours become grey for one
    channel, and of an animation the first frame is taken.

    Args:
        source: the picture.
        shape: (1 or 3, H, W).
        name: what messages call it.

    Returns:
        (C, H, W) bytes.

    Raises:
        UnreadableError: it cannot be read.
    """
    try:
        return _decoded(source, shape)
    except Exception as error:  # decoders raise whatever the bytes of a broken file lead them to
        raise _unreadable(name, error) from error


def _decoded(source: Source, shape: tuple[int, int, int]) -> Tensor:
    channels, height, width = shape
    with _open(source) as opened:
        # a JPEG is decoded at a fraction of its size where that is still twice what is needed
        side = 2 * max(height, width)
        opened.draft(None, (side, side))
        image = _eight_bits(ImageOps.exif_transpose(opened))
        image = _on_white(image) if image.has_transparency_data else image
        # of LAB Pillow makes colours and no greys
        image = image.convert("RGB") if image.mode == "LAB" else image
        image = image.convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def _open(source: Source) -> Image.Image:
    Image.init()
    ending = source.suffix.lower() if isinstance(source, Path) else ""
    if ending in _UNREAD:
        raise ValueError(f"pictures {ending} are not read, save it as .jpg or .png")
    if not _learned_heif() and ending in _FORMATS["HEIF"]:
        raise ValueError(f"pictures {ending} need an extra, pip install 'diffusion-zoo[heif]', or save it as .jpg")
    # named formats only: Pillow would start other programs for some of the rest
    image = Image.open(source, formats=[name for name in _FORMATS if name in Image.OPEN])
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise Image.DecompressionBombError
    return image


@cache
def _learned_heif() -> bool:
    """Teach Pillow the format of phones, where its extra is installed; whether it is."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def _unreadable(name: str, error: Exception) -> UnreadableError:
    if isinstance(error, UnidentifiedImageError):
        return UnreadableError(name, "it is in no known format")
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return UnreadableError(name, "it has too many pixels")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableError(name, error.strerror.lower())
    return UnreadableError(name, str(error))


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow cuts 16-bit greys off at 255 when it converts them; they are scaled here, the transparent one is white."""
    if image.mode == "F":
        raise ValueError("its values are fractions, and nothing says which is white")
    if not image.mode.startswith("I"):
        return image
    greys = np.asarray(image)
    scaled = (greys.clip(0, 65535) / 257).round().astype(np.uint8)
    if "transparency" in image.info:
        scaled[greys == image.info["transparency"]] = 255
    return Image.fromarray(scaled)
