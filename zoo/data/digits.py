"""scikit-learn's 8 x 8 digits: the smallest real set, for tests and first runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from zoo.data.base import DataError, InMemory


def digits(*, shape: Sequence[int | None] | None = None) -> InMemory:
    """1,797 handwritten digits of 8 x 8 pixels and 17 grey levels.

    Args:
        shape: of the model, which must be (1, 8, 8).

    Raises:
        DataError: when it is another, or scikit-learn is not installed.
    """
    # a model of this data must build without scikit-learn, so it is asked for here and not at import
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise DataError("digits: the data comes with scikit-learn: pip install 'diffusion-zoo[digits]'") from None
    if shape is not None and list(shape) != [1, 8, 8]:
        raise DataError(f"digits: the images are [1, 8, 8] and the model's shape is {list(shape)}")
    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32) / 8 - 1)[:, None]
    return InMemory(images, torch.from_numpy(bunch.target), classes=10, title="digits of scikit-learn")
