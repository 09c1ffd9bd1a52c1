"""The log and the samples for TensorBoard."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.training.update import TrainingError


class Board:
    """Writes what TensorBoard shows, in a folder of the run. Nothing is written before there is something to show.

    Args:
        path: folder of the run.

    Raises:
        TrainingError: the extra is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path / "tensorboard"
        self._writer: Any = None
        self._begun = 0
        try:
            self._writers = importlib.import_module("torch.utils.tensorboard")
        except ImportError:
            raise TrainingError(
                "training.tensorboard needs its extra: pip install 'diffusion-zoo[tensorboard]'"
            ) from None

    def begin(self, step: int) -> None:
        """Go on after a step: what a killed run showed of later ones is cut off when there is something to show."""
        self._begun = step

    def write(self, line: Mapping[str, Any]) -> None:
        """Show a line of the log, each number as a curve and a mapping as a group of them.

        Args:
            line: numbers, or mappings of numbers, by name; ``step`` says where.
        """
        step = line["step"]
        for name, value in line.items():
            if isinstance(value, Mapping):
                for key, one in value.items():
                    self._open().add_scalar(f"{name}/{key}", one, step)
            elif name != "step":
                self._open().add_scalar(name, value, step)
        self._open().flush()

    def picture(self, name: str, step: int, path: Path) -> None:
        """Show a picture that is on the disk."""
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        self._open().add_image(name, pixels, step, dataformats="HWC")
        self._open().flush()

    def _open(self) -> Any:
        if self._writer is None:
            self._writer = self._writers.SummaryWriter(str(self._folder), purge_step=self._begun + 1)
        return self._writer
