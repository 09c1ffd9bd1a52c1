"""What turns images into features, in which samples and data are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor


class Features(ABC):
    """Images to features.

    A factory in the registry of features may ask for ``images``: (N, C, H, W) real examples in data space, and
    ``labels``: (N,) their classes, -1 for none.

    Attributes:
        dimensions: D, the number of features of an image.
    """

    dimensions: int

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """The features (N, D) of images: (N, C, H, W) in data space."""

    @abstractmethod
    def facts(self) -> Mapping[str, float | int]:
        """What a reader must know to judge distances in these features, such as the accuracy of a classifier."""

    def origin(self) -> Mapping[str, str]:
        """What else must be the same for the features to be: the version of a package, the hash of a file."""
        return {}
