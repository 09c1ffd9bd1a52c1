"""A run: the model, its data and what is averaged, moved on step by step and kept in a folder.

Everything random in a step is drawn from generators that are seeded by the run's seed and the number of the step. So a
run that goes on after a stop needs no state of any generator, and makes the same steps as one that never stopped; and
so it does with another number of processes, where nothing but an example's place in the update counts.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from registry import data as datasets
from registry import objectives, optimizers
from zoo.core.diffusion import Diffusion
from zoo.core.objective import Objective
from zoo.data.base import Dataset
from zoo.factory import assemble
from zoo.training import matching
from zoo.training.board import Board
from zoo.training.ema import EMA, PowerEMA
from zoo.training.feed import Order, batches, derived_seed
from zoo.training.noise_levels import ByNoise
from zoo.training.peaks import peak_bytes
from zoo.training.previews import Previews
from zoo.training.processes import Processes
from zoo.training.progress import Event, Finished, Sampled, Saved, Stepped
from zoo.training.recompute import recompute
from zoo.training.resume import ResumeError
from zoo.training.run_folder import RunFolder
from zoo.training.settings import Settings
from zoo.training.start import copy_weights, freeze
from zoo.training.update import NotFiniteError, TrainingError, Update, Updated, global_seed


class Run:
    """Everything that is there while a model is trained.

    Args:
        tree: the resolved config; its data is not null.
        folder: where the run is kept.
        processes: that train it together; each of them has a run of its own, and the first one writes.

    Raises:
        DataError: the data cannot be read or does not fit the model.
        TrainingError: the network, the data and the settings do not go together.
        StartError: what is to be frozen is not there, or there are no blocks to recompute.
    """

    def __init__(self, tree: Mapping[str, Any], folder: RunFolder, processes: Processes) -> None:
        self.tree, self.folder, self.processes = tree, folder, processes
        self.device = device = processes.device
        self.settings = settings = Settings(**tree.get("training", {}))
        self.data: Dataset = datasets.build(tree["data"], path="data", shape=tree.get("shape"), voice=tree.get("voice"))
        matching.check(tree, settings)
        matching.check_data(settings, self.data)
        self.takes_labels = matching.takes_labels(tree, self.data)
        self.remarks = matching.remarks(tree, self.data)
        with global_seed(derived_seed(settings.seed, "weights"), device):
            model = assemble(tree).to(device)
        # convolutions are a sixth faster with the channels last; tensors of other ranks are left as they are
        self.model: Diffusion = model.to(memory_format=torch.channels_last).train()
        freeze(self.model, settings.freeze)
        self.ema = EMA(self.model, settings.ema_decay)
        self.profiles = [PowerEMA(self.model, width) for width in settings.ema_profiles]
        if settings.checkpointing:
            # after the averages were copied, which are never asked for gradients
            recompute(self.model.denoiser)
        if settings.compile:
            # the averages are drawn from as they are
            self.model.denoiser.compile()
        objective: Objective = objectives.build(
            settings.objective, path="training.objective", parameterization=model.parameterization
        )
        self.optimizer: torch.optim.Optimizer = optimizers.build(
            settings.optimizer,
            path="training.optimizer",
            parameters=[parameter for parameter in self.model.parameters() if parameter.requires_grad],
            learning_rate=settings.learning_rate,
        )
        self.update = Update(
            self.model,
            (self.ema, *self.profiles),
            objective,
            self.optimizer,
            settings,
            processes,
            takes_labels=self.takes_labels,
        )
        self.board = Board(folder.path) if settings.tensorboard and processes.first else None
        self.previews = Previews(self.data, folder, self.board, takes_labels=self.takes_labels)
        self.step = 0
        self.taken = [0] * len(self.data.groups() or (self.data,))
        self.recent: list[float] = []
        self.by_noise = ByNoise()
        self.left: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of values in all weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def trained(self) -> int:
        """Number of those that are not frozen."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    @property
    def per_step(self) -> int:
        """Examples of one update."""
        return self.settings.batch_size * self.settings.accumulate * self.processes.count

    def order(self) -> Order:
        """The order of the data from here on, for this process."""
        settings, processes = self.settings, self.processes
        return Order.of(
            self.data,
            settings.batch_size,
            settings.seed,
            taken=self.taken,
            process=processes.index,
            processes=processes.count,
        )

    def begin(self, *, resume: bool) -> None:
        """Take up the run that the folder holds, or start one there.

        Raises:
            ResumeError: the folder holds a run that may not, or cannot, be continued; or not all processes see it.
            CheckpointError: the weights to begin with cannot be read.
            StartError: they do not fit.
        """
        if self.processes.first:
            self.folder.claim()
        state = self.look(resume=resume)
        if state is None:
            self.initialize()
        if not self.processes.agree(-1 if state is None else state["step"]):
            raise ResumeError(
                f"{self.folder.path} is not the same for all processes: they need a folder that all share"
            )
        if state is not None:
            self._take_up(state)
        self.processes.wait()
        if self.processes.first:
            self.folder.begin(self.tree, self.step)
        if self.board is not None:
            self.board.begin(self.step)
        if self.processes.first and state is not None:
            # a kill may have come between the state and these
            self.folder.write_model(self.step, self.ema.model)

    def _take_up(self, state: Mapping[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
            self.ema.model.load_state_dict(state["ema"])
            for average, held in zip(self.profiles, state.get("profiles", ()), strict=True):
                average.model.load_state_dict(held)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.recent = state["step"], state["recent"]
            # runs that began before levels of noise were told apart have none
            self.by_noise = ByNoise(state.get("by_noise"))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ResumeError(
                f"{self.folder.path} holds the state of another model, or a part of one "
                f"({type(error).__name__}: {shorten(str(error), 160)}); train into another folder"
            ) from None
        # runs that began before positions were kept had one process and one group
        taken = state.get("taken", [self.step * self.settings.batch_size * self.settings.accumulate])
        if len(taken) == len(self.taken):
            self.taken = taken

    def look(self, *, resume: bool) -> dict[str, Any] | None:
        """What the folder holds to go on from, as `RunFolder.look`; that the data is other than before is remarked.

        Raises:
            ResumeError: as there; or the run is at its end, and would be said to have learned from other data; or its
                classes are others.
        """
        state = self.folder.look(self.tree, resume=resume)
        if state is None:
            return None
        changed = matching.data_has_changed(state.get("data", {}), self.data, takes_labels=self.takes_labels)
        other = matching.other_data(self.folder.data(), self.tree["data"])
        if not other:
            self.remarks += changed
            return state
        learned = f"{self.folder.path} holds a run with {other}, at step {state['step']}"
        if state["step"] >= self.settings.steps:
            raise ResumeError(
                f"{learned}, its last: train into another folder, or let it go on with this data by more training.steps"
            )
        self.remarks += (f"{learned}, which goes on with other data",)
        return state

    def initialize(self) -> None:
        """Take the weights that the settings name, if they name any, for the model and its average."""
        if self.settings.init is not None:
            self.left = copy_weights(self.model, self.settings.init, partial=self.settings.init_partial)
            for average in (self.ema, *self.profiles):
                average.model.load_state_dict(self.model.state_dict())

    def save(self, *, snapshots: bool = False) -> None:
        """Write the state to go on from, then the model and the loss curve; the other processes wait.

        Args:
            snapshots: whether to keep one of each power-function average, too, for which regular steps are best.
        """
        if self.processes.first:
            for number, average in enumerate(self.profiles if snapshots else ()):
                self.folder.write_average(self.step, number, average)
            self._write()
        self.processes.wait()

    def _write(self) -> None:
        state = {
            "taken": self.taken,
            "data": matching.identity(self.data),
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "profiles": [average.model.state_dict() for average in self.profiles],
            "optimizer": self.optimizer.state_dict(),
            "recent": self.recent,
            "by_noise": self.by_noise.state(),
        }
        self.folder.write_state(self.step, state)
        self.folder.write_model(self.step, self.ema.model)

    def events(self) -> Iterator[Event]:
        """Train to the end, from wherever the run is. Files are the first process's, and so are the events of them."""
        settings = self.settings
        order = self.order()
        feed = batches(self.data, order, settings.num_workers)
        started, first = time.perf_counter(), self.step
        while self.step < settings.steps:
            began = time.perf_counter()
            told = self._updated([next(feed) for _ in range(settings.accumulate)])
            speed = self.per_step / (time.perf_counter() - began)
            for _ in range(settings.accumulate):
                order.move(self.taken)
            self.step += 1
            self.recent.append(told.loss)
            self.by_noise.merge(told.by_noise)
            if self._due(settings.log_every):
                self._log(told, speed)
            if self._due(settings.sample_every):
                if self.processes.first:
                    yield Sampled(self.step, self._drawn())
                self.processes.wait()
            if self._due(settings.save_every):
                self.save(snapshots=True)
                if self.processes.first:
                    yield Saved(self.step, self.folder.model, told.loss)
            left = (time.perf_counter() - started) / (self.step - first) * (settings.steps - self.step)
            yield Stepped(
                self.step,
                settings.steps,
                told.loss,
                told.learning_rate,
                told.norm,
                speed,
                peak_bytes(self.device),
                left,
            )
        yield Finished(self.step, self.folder.model)

    def _updated(self, passes: list[dict[str, Tensor]]) -> Updated:
        try:
            return self.update(self.step, passes)
        except NotFiniteError as error:
            raise TrainingError(
                f"{error}; {self.folder.what_is_safe()}. "
                "Try a lower training.learning_rate, a longer training.warmup_steps or training.precision=float32"
            ) from None

    def _log(self, told: Updated, speed: float) -> None:
        """Add a line on the steps since the last one."""
        line: dict[str, Any] = {
            "step": self.step,
            "loss": sum(self.recent) / len(self.recent),
            "learning_rate": told.learning_rate,
            "grad_norm": told.norm,
            "examples_per_second": round(speed, 1),
            "peak_bytes": peak_bytes(self.device),
            "loss_at_log_snr": self.by_noise.means(),
        }
        self.recent, self.by_noise = [], ByNoise()
        if self.processes.first:
            self.folder.log(**line)
        if self.board is not None:
            self.board.write(line)

    def _drawn(self) -> Path:
        """The path of samples of the averaged weights; those of the weights as they are lie beside it."""
        path = self.previews.write(f"{self.step:06d}", self.ema.model)
        if self.settings.sample_raw:
            # a copy: the one in training may be compiled, joined to others, or counting statistics of batches
            raw = copy.deepcopy(self.ema.model)
            raw.load_state_dict(self.model.state_dict())
            self.previews.write(f"{self.step:06d}-raw", raw)
        return path

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps
