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
            return (self.path / "latest").read_text(errors="replace").strip()
        except FileNotFoundError:
            return None

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Keep a state, and drop the older ones. The state of a step that is kept already stays as it is.

        Args:
            step: updates done.
            state: tensors, numbers and strings in dicts and lists.

        Raises:
            OSError: it cannot be written; what was kept before still is.
        """
        name = f"step-{step:06d}"
        if self.latest == name:
            # to put it in its own place would need a moment without any
            return
        self.path.mkdir(parents=True, exist_ok=True)
        folder, beside = self.path / name, self.path / f".{name}.{os.getpid()}.part"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            _fill(beside / _STATE, {"step": step, **state})
            sync(beside / _STATE)
            sync(beside)
            # a state of this name is one that a killed run had no time to announce
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(beside, folder)
            sync(self.path)
            write_atomically(self.path / "latest", lambda path: path.write_text(f"{name}\n"))
        finally:
            self.sweep()

    def sweep(self) -> None:
        """Remove what is not announced: older states, and what killed runs have left of newer ones."""
        latest = self.latest
        for other in self.path.iterdir() if self.path.exists() else ():
            if other.is_dir() and other.name != latest:
                shutil.rmtree(other, ignore_errors=True)

    def read(self) -> dict[str, Any] | None:
        """The state to go on from, its tensors on the CPU; None when there is none.

        Raises:
            ResumeError: it is announced but cannot be read, or is none.
        """
        name = self.latest
        if name is None:
            return None
        file = self.path / name / _STATE
        try:
            # not where the model is: optimizers count steps on the CPU, and a GPU would hold all of it twice
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged archive makes torch and pickle raise
            raise ResumeError(f"{file} cannot be read ({type(error).__name__}); train into another folder") from None
        if not isinstance(state, dict) or not isinstance(state.get("step"), int):
            raise ResumeError(f"{file} is not the state of a run; train into another folder")
        return state


def _fill(path: Path, state: Mapping[str, Any]) -> None:
    try:
        # not by its path: then torch would tell of a full disk in words of its own
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        # why no more could be written is what came before
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None
