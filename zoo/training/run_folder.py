"""The folder of a run: the model, its config, the log, the loss curve, sample grids, and the state to go on from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo import checkpoint, images, plots
from zoo import config as configs
from zoo.core.diffusion import Diffusion
from zoo.data.base import Preview
from zoo.files import sync, write_atomically
from zoo.training.claim import Claim
from zoo.training.ema import PowerEMA
from zoo.training.posthoc import drop_snapshots, write_snapshot
from zoo.training.resume import ResumeError, ResumeFolder
from zoo.training.settings import Settings

_FREE = ("data", "training", "sampler", "sampling", "notes", "summary", "paper", "license")
"""What may change while a run is continued: all that does not say what the weights mean."""


def _fixed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What may not, by path. An optimizer holds its settings and a state of each parameter that is trained."""
    training = tree.get("training", {})
    kept = {
        f"training.{key}": training.get(key) for key in ("optimizer", "init", "init_partial", "freeze", "ema_profiles")
    }
    return {**{key: value for key, value in tree.items() if key not in _FREE}, **kept}


class RunFolder:
    """One run on the disk. Every file is written beside and renamed; only the log grows.

    Args:
        path: the folder; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.safetensors"
        self._log, self._config = path / "log.jsonl", path / "config.yaml"
        self._resume = ResumeFolder(path / "resume")
        self._claim = Claim(path)

    def look(self, tree: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """What a run here would go on from; nothing is written.

        Args:
            tree: the resolved config of the run.
            resume: whether a run that is there may be continued.

        Returns:
            The state to go on from, its tensors on the CPU; None for a fresh start.

        Raises:
            ResumeError: the folder holds a run that may not, or cannot, be continued.
        """
        try:
            state = self._resume.read()
        except ResumeError as error:
            average = f"; training.init={self.model} begins with its averaged weights" if self.model.exists() else ""
            raise ResumeError(f"{error}{average}") from None
        if state is None:
            # of a run that came to nothing all may be another next time
            if self.model.exists():
                raise ResumeError(f"{self.model} is there, but nothing to go on from: train into another folder")
            return None
        if self._config.exists():
            self._same_model(tree)
        if not resume:
            raise ResumeError(
                f"{self.path} holds a run at step {state['step']}: continue it, or train into another folder"
            )
        steps = tree.get("training", {}).get("steps", Settings.steps)
        if state["step"] > steps:
            raise ResumeError(
                f"{self.path} is at step {state['step']}, and there is no way back to training.steps={steps}: "
                "say more steps, or train into another folder"
            )
        return state

    def data(self) -> dict[str, Any]:
        """The spec of the data that the run here learned from; empty where there is no run."""
        return configs.resolve(configs.load(self._config)).get("data", {}) if self._config.exists() else {}

    def begin(self, tree: Mapping[str, Any], step: int) -> None:
        """Make the folder ready for a run that `look` allowed.

        Args:
            tree: the resolved config of the run.
            step: that it goes on from, 0 for a fresh start.

        Raises:
            ResumeError: another process is training into it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._claim.take()
        for leftover in self.path.glob(".*.part"):
            leftover.unlink()
        # as of the log: what a killed run had written, and this one will write again
        drop_snapshots(self.path, after=step)
        self._resume.sweep()
        write_atomically(self._config, lambda beside: beside.write_text(configs.dump(dict(tree))))
        self._cut_log(step)

    def claim(self) -> None:
        """Keep other runs out of a folder that is there, before it is looked at.

        Raises:
            ResumeError: another process is training into it.
        """
        if self.path.is_dir():
            self._claim.take()

    def close(self) -> None:
        """Leave the folder to others."""
        self._claim.release()

    def write_state(self, step: int, state: Mapping[str, Any]) -> None:
        """Write what `begin` will return. The log is on the disk before it.

        Args:
            step: updates done.
            state: tensors, numbers and strings in dicts and lists.
        """
        if self._log.exists():
            sync(self._log)
        self._resume.write(step, state)

    def write_model(self, step: int, model: Diffusion) -> None:
        """Write the model file and the curves of the loss, over the steps and over the levels of noise.

        Args:
            step: updates done.
            model: with the averaged weights.
        """
        checkpoint.save(model, self.model, step=step, weights="ema")
        log = self._read_log()
        if log:
            plots.loss_curve(self.path / "loss.png", [line["step"] for line in log], [line["loss"] for line in log])
            self._write_noise_levels([line["loss_at_log_snr"] for line in log if "loss_at_log_snr" in line])

    def write_average(self, step: int, number: int, average: PowerEMA) -> None:
        """Keep a snapshot of the power-function average of that number."""
        write_snapshot(self.path, step, number, average.model, average.sigma_rel)

    def write_samples(self, name: str, drawn: Tensor, columns: int, preview: Preview | None) -> Path:
        """Write samples: a grid of pictures, unless the data knows better; latents in false colours.

        Args:
            name: of the step, and of the weights where there are several.
            drawn: (N, C, H, W), pictures in [-1, 1]; or what the preview asked for.
            columns: images in a row.
            preview: of the data.
        """
        path = self.path / f"samples-{name}.png"
        if preview is not None:
            return preview.write(drawn, path.with_suffix(""))
        shown = drawn if drawn.shape[1] in (1, 3) else images.false_colours(drawn)
        images.save_png(images.grid(shown, columns), path)
        return path

    def log(self, **values: float | Mapping[str, float]) -> None:
        """Add a line to the log."""
        with self._log.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def what_is_safe(self) -> str:
        """A clause about the state that can be gone on from."""
        name = self._resume.latest
        return f"{self._resume.path / name} is intact" if name else "nothing was saved yet"

    def _write_noise_levels(self, lines: Sequence[Mapping[str, float]]) -> None:
        """Draw the loss over ln SNR in the first and in the last third of the run."""
        third = -(-len(lines) // 3)
        series = {}
        for name, part in (("first third", lines[:third]), ("last third", lines[-third:])):
            middles = sorted({int(middle) for line in part for middle in line})
            found = [[line[str(middle)] for line in part if str(middle) in line] for middle in middles]
            series[name] = middles, [sum(losses) / len(losses) for losses in found]
        if lines:
            plots.lines(
                self.path / "loss-by-noise.png",
                series,
                title="loss by level of noise, unweighted",
                x_label="ln SNR: noise at the left, data at the right",
                y_label="loss",
                y_scale="log",
            )

    def _same_model(self, tree: Mapping[str, Any]) -> None:
        before, now = _fixed(configs.resolve(configs.load(self._config))), _fixed(tree)
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if keys:
            raise ResumeError(
                f"{self.path} holds another run: its {', '.join(keys)} in {self._config} are not these; "
                "train into another folder"
            )

    def _cut_log(self, step: int) -> None:
        """Forget the lines after a step, which a killed run had written and this one will write again."""
        kept = [json.dumps(line) + "\n" for line in self._read_log() if line["step"] <= step]
        write_atomically(self._log, lambda beside: beside.write_text("".join(kept)))

    def _read_log(self) -> list[dict[str, Any]]:
        """The lines of the log, without what is none, such as one that a kill cut short."""
        if not self._log.exists():
            return []
        lines = []
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                told = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(told, dict) and {"step", "loss"} <= told.keys():
                lines.append(told)
        return lines
