"""Normalisations."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu & He 2018) that is defined for every size of map.

    `torch.nn.GroupNorm` refuses a single value per group, but only when the batch holds one sample; so a
    network would work or fail by its batch size. Here such a group normalises to zero in any batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, ...)."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
