"""The vector of time and class of UNet2D."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.edm import FourierEmbedding
from zoo.layers.embeddings import sinusoidal_embedding

Order = Literal["cos-sin", "sin-cos"]
TimeEmbedding = Literal["positional", "fourier", "learned"]
ClassEmbedding = Literal["table", "timestep", "identity"]


class Embedding(nn.Module):
    """Time label and class -> the vector that every residual block is given, (B, width).

    Args:
        base: width of the embedding of the time; twice that with "fourier".
        width: of the result.
        embedding: of the time: sinusoidal, of its logarithm at random frequencies, or a row of a table.
        order: which half of a sinusoidal embedding comes first.
        shift: of its frequencies, see `sinusoidal_embedding`.
        time_steps: rows of the table of times.
        classes: rows of the table of classes; None without one.
        class_embedding: "table", or what else a label is: a number that is embedded like a time, or the very vector
            that is added; None for a network without labels.
    """

    def __init__(
        self,
        base: int,
        width: int,
        *,
        embedding: TimeEmbedding,
        order: Order,
        shift: float,
        time_steps: int | None,
        classes: int | None,
        class_embedding: ClassEmbedding | None,
    ) -> None:
        super().__init__()
        self.base, self.width, self.order, self.shift = base, width, order, shift
        self.classes, self.class_embedding = classes, class_embedding
        self.waves = FourierEmbedding(2 * base) if embedding == "fourier" else None
        self.table = nn.Embedding(time_steps, base) if time_steps is not None else None
        first = 2 * base if embedding == "fourier" else base
        self.dense = nn.ModuleList([nn.Linear(first, width), nn.Linear(width, width)])
        self.label = nn.Embedding(classes, width) if classes is not None else None
        label_dense = [nn.Linear(first, width), nn.Linear(width, width)] if class_embedding == "timestep" else []
        self.label_dense = nn.ModuleList(label_dense)

    def forward(self, t: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """t: (B,) times, labels: (B,) or (B, width) -> (B, width), through the silu."""
        h: Tensor = self.dense[1](F.silu(self.dense[0](self._times(t, dtype))))
        if labels is None:
            return F.silu(h)
        if self.class_embedding == "identity":
            return F.silu(h + labels.to(dtype))
        if self.label is not None:
            label = self.label(labels.clamp(min=0))
        else:
            # a number that is no class still has to have a logarithm
            number = torch.where(labels < 0, 1, labels)
            label = self.label_dense[1](F.silu(self.label_dense[0](self._times(number, dtype))))
        return F.silu(h + torch.where((labels < 0)[:, None], 0, label))

    def _times(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        exact = torch.promote_types(dtype, torch.float32)
        if self.waves is not None:
            return self.waves(t.to(exact).log(), exact).to(dtype)  # type: ignore[no-any-return]
        if self.table is None:
            return sinusoidal_embedding(t, self.base, shift=self.shift, order=self.order, dtype=exact).to(dtype)
        # between two rows the table is read as a polygon
        place = t.to(exact).clamp(0, self.table.num_embeddings - 1)
        low = place.floor()
        rows = self.table(low.long()), self.table(place.ceil().long())
        return torch.lerp(*rows, (place - low)[:, None].to(dtype))
