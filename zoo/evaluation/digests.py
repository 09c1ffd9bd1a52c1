"""What tells two models, or two sets of pictures, apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors, their names, types and shapes, in the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def of_pictures(images: Tensor, labels: Tensor) -> str:
    """The SHA-256 of a set of pictures with their classes, in whatever order they are.

    Args:
        images: (N, C, H, W).
        labels: (N,).
    """
    each = sorted(
        hashlib.sha256(f"{label} ".encode() + _bytes(image)).digest()
        for image, label in zip(images, labels.tolist(), strict=True)
    )
    return hashlib.sha256(f"{tuple(images.shape)} {images.dtype}\n".encode() + b"".join(each)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
