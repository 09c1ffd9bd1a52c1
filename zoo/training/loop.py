"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from zoo import config as configs
from zoo.core.device import DeviceError
from zoo.training.interrupt import deferred
from zoo.training.processes import join, parted
from zoo.training.progress import Event, Saved, Started, Stepped
from zoo.training.run import Run
from zoo.training.run_folder import RunFolder
from zoo.training.update import TrainingError

Source = str | PathLike[str] | Mapping[str, Any]


def train(
    source: Source,
    *,
    out: str | PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
    device: torch.device | str | None = None,
    resume: bool = True,
    on_event: Callable[[Event], object] | None = None,
) -> Path:
    """Train a model, and leave it in a folder with its config, log, loss curve and samples.

    Args:
        source: the name of a config, the path of a YAML file, or a mapping; it says what `data` and `training` are.
        out: the folder of the run. A run that it holds is continued, exactly as if it had never stopped.
        overrides: merged over the config, ``{"training": {"steps": 2000}}``.
        command_line: ``key.key=value`` arguments over those.
        device: where to train; None takes the GPU when there is one.
        resume: whether a run in ``out`` may be continued.
        on_event: called with everything that :func:`events` yields.

    Returns:
        The path of the model file, which holds the averaged weights.

    Raises:
        ConfigError: with every problem of the config at once.
        DataError: the data cannot be read or does not fit the model.
        ResumeError: ``out`` holds another run, or one that cannot be read.
        TrainingError: the model and the data do not go together, or the loss is not finite.
        LaunchError: this is one of several processes, and they cannot train together.
        KeyboardInterrupt: after Ctrl-C, when the state has been saved.
    """
    for event in events(source, out=out, overrides=overrides, command_line=command_line, device=device, resume=resume):
        if on_event is not None:
            on_event(event)
    return RunFolder(Path(out)).model


def events(
    source: Source,
    *,
    out: str | PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
    device: torch.device | str | None = None,
    resume: bool = True,
) -> Iterator[Event]:
    """The same as :func:`train`, event by event; progress bars and early stops are the caller's business."""
    run = prepared(source, out=out, overrides=overrides, command_line=command_line, device=device)
    with closing(run.folder):
        try:
            run.begin(resume=resume)
            yield Started(
                run.step,
                run.settings.steps,
                run.data.describe(),
                run.parameters,
                run.trained,
                str(run.processes),
                run.left,
                run.remarks,
            )
            yield from _events(run)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise TrainingError(
                f"{error.filename or run.folder.path}: {reason}; {run.folder.what_is_safe()}. "
                "Start again by the same command when that is mended"
            ) from error


def _events(run: Run) -> Iterator[Event]:
    """The steps, of which a signal ends the last in order."""
    # a launch command passes on the Ctrl-C that the terminal has sent to all of them already
    with deferred(echo=5.0 if run.processes.count > 1 else 0.0) as interrupt:
        stopped = False
        try:
            for event in run.events():
                yield event
                # the signal may have come to one process a step earlier than to another
                if isinstance(event, Stepped) and run.processes.any(interrupt.asked):
                    run.save()
                    stopped = True
                    break
        except BaseException as error:
            run.processes.abandon()
            if isinstance(error, RuntimeError) and run.processes.count > 1 and parted(error):
                raise TrainingError(
                    f"another process has ended, and may have said why; {run.folder.what_is_safe()}: start all of "
                    "them again by the same command"
                ) from error
            raise
        if stopped:
            if run.processes.first:
                yield Saved(run.step, run.folder.model)
            raise KeyboardInterrupt


def prepared(
    source: Source,
    *,
    out: str | PathLike[str],
    overrides: Mapping[str, Any] | None,
    command_line: Sequence[str],
    device: torch.device | str | None,
) -> Run:
    """A run that has not begun: nothing is written yet; arguments and errors as :func:`train`."""
    tree = configs.resolve(configs.load(source, overrides=overrides, command_line=command_line))
    if tree.get("data") is None:
        raise TrainingError("the config names no data: add data='{name: images, path: FOLDER}', or another set")
    try:
        processes = join(device)
    except DeviceError as error:
        raise TrainingError(str(error)) from None
    return Run(tree, RunFolder(Path(out)), processes)
