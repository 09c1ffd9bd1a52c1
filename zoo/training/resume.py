"""Where a run can go on: the complete state of every so many steps, on the disk.

``resume/step-000500/state.pt`` holds the raw weights, their average, the optimizer and the step. Noise and the order of
the data are functions of the seed and the step, so nothing else is needed. A state is written beside and renamed;
the file ``resume/latest`` names the one to go on from and is switched last. What a killed run leaves half-written has
no name that anyone reads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.core.errors import ZooError
from zoo.files import sync, write_atomically

_STATE = "state.pt"


class ResumeError(ZooError):
    """A run that cannot go on."""


class ResumeFolder:
    """The states of one run.

    Args:
        path: the folder ``resume`` of the run; made when the first state is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def latest(self) -> str | None:
        """The name of the state to go on from; None when there is none."""
        try:
            return (self.path / "latest").read_text().strip()
        except FileNotFoundError:
            return None

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Keep a state, and drop the older ones.

        Args:
            step: updates done.
            state: tensors, numbers and strings in dicts and lists.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        name = f"step-{step:06d}"
        folder, beside = self.path / name, self.path / f".{name}.{os.getpid()}.part"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        torch.save({"step": step, **state}, beside / _STATE)
        sync(beside / _STATE)
        sync(beside)
        # a state of this name is one that a killed run had no time to announce
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(beside, folder)
        sync(self.path)
        write_atomically(self.path / "latest", lambda path: path.write_text(f"{name}\n"))
        for other in self.path.iterdir():
            if other.is_dir() and other != folder:
                shutil.rmtree(other, ignore_errors=True)

    def read(self) -> dict[str, Any] | None:
        """The state to go on from, its tensors on the CPU; None when there is none.

        Raises:
            ResumeError: it is announced but cannot be read.
        """
        name = self.latest
        if name is None:
            return None
        file = self.path / name / _STATE
        try:
            # not where the model is: optimizers count steps on the CPU, and a GPU would hold all of it twice
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged archive makes torch and pickle raise
            raise ResumeError(
                f"{file} cannot be read ({type(error).__name__}); "
                f"remove {self.path} to begin again, or train into another folder"
            ) from None
        return state
