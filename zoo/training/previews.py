"""Samples on the way: what the model makes of the same noise every time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.data.base import Dataset
from zoo.sampling import sample
from zoo.training.board import Board
from zoo.training.run_folder import RunFolder

_COLUMNS = 8
_CLASS_ROWS = 10


class Previews:
    """Draws and writes samples: what the data previews, or a row a class, or 8 x 8 pictures.

    Args:
        data: of the run.
        folder: of the run.
        board: shows them as well.
        takes_labels: whether the model is told labels.
    """

    def __init__(self, data: Dataset, folder: RunFolder, board: Board | None, *, takes_labels: bool) -> None:
        self._asked = data.preview()
        self._classes = data.classes if takes_labels else None
        self._folder, self._board = folder, board

    def draw(self, model: Diffusion) -> Tensor:
        """Samples of a model, in data space, batch first."""
        if self._asked is not None:
            cond = dict(self._asked.conditions)
            n = len(next(iter(cond.values())))
            if self._classes is None:
                # data knows its classes whether or not the model is told them
                cond.pop("labels", None)
            return sample(model, n, shape=self._asked.shape, **cond)
        if self._classes is None:
            return sample(model, _COLUMNS**2)
        rows = min(self._classes, _CLASS_ROWS)
        return sample(model, rows * _COLUMNS, labels=torch.arange(rows).repeat_interleave(_COLUMNS))

    def write(self, name: str, model: Diffusion) -> Path:
        """Draw samples and write them down.

        Args:
            name: of the step, and of the weights where there are several.
            model: in eval mode.

        Returns:
            The path of the picture.
        """
        path = self._folder.write_samples(name, self.draw(model), _COLUMNS, self._asked)
        if self._board is not None:
            step, _, weights = name.partition("-")
            self._board.picture(f"samples-{weights}" if weights else "samples", int(step), path)
        return path
