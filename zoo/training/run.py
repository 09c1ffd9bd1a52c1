"""A run: the model, its data and its optimizer, moved on step by step.

Everything random in a step is drawn from generators that are seeded by the run's seed and the number of the step. So a
run that goes on after a stop needs no state of any generator, and makes the same steps as one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from registry import data as datasets
from registry import objectives, optimizers
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.core.objective import Objective
from zoo.data.base import Dataset
from zoo.factory import assemble
from zoo.sampling import sample
from zoo.training.ema import EMA, PowerEMA
from zoo.training.feed import Order, batches, derived_seed
from zoo.training.noise_levels import ByNoise
from zoo.training.peaks import peak_bytes
from zoo.training.progress import Event, Finished, Sampled, Saved, Stepped
from zoo.training.recompute import recompute
from zoo.training.run_folder import RunFolder
from zoo.training.settings import Settings
from zoo.training.start import copy_weights, freeze

_COLUMNS = 8
_CLASS_ROWS = 10


class TrainingError(ZooError):
    """Training that cannot begin, or must not go on."""


class Run:
    """Everything that is there while a model is trained.

    Args:
        tree: the resolved config; its data is not null.
        folder: where the run is kept.
        device: where the tensors are.

    Raises:
        DataError: the data cannot be read or does not fit the model.
        TrainingError: the network needs classes that the data does not have.
        StartError: what is to be frozen is not there, or there are no blocks to recompute.
    """

    def __init__(self, tree: Mapping[str, Any], folder: RunFolder, device: torch.device) -> None:
        self.tree, self.folder, self.device = tree, folder, device
        self.settings = settings = Settings(**tree.get("training", {}))
        self.data: Dataset = datasets.build(tree["data"], path="data", shape=tree.get("shape"), voice=tree.get("voice"))
        self.preview = self.data.preview()
        self.takes_labels = _takes_labels(tree, self.data)
        with self._seeded("weights"):
            model = assemble(tree).to(device)
        # convolutions are a sixth faster with the channels last; tensors of other ranks are left as they are
        self.model: Diffusion = model.to(memory_format=torch.channels_last).train()
        freeze(self.model, settings.freeze)
        self.ema = EMA(self.model, settings.ema_decay)
        self.profiles = [PowerEMA(self.model, width) for width in settings.ema_profiles]
        if settings.checkpointing:
            # after the averages were copied, which are never asked for gradients
            recompute(self.model.denoiser)
        self.objective: Objective = objectives.build(
            settings.objective, path="training.objective", parameterization=model.parameterization
        )
        self.optimizer: torch.optim.Optimizer = optimizers.build(
            settings.optimizer,
            path="training.optimizer",
            parameters=[parameter for parameter in self.model.parameters() if parameter.requires_grad],
            learning_rate=settings.learning_rate,
        )
        self.step = 0
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

    def begin(self, *, resume: bool) -> None:
        """Take up the run that the folder holds, or start one there.

        Raises:
            ResumeError: the folder holds a run that may not, or cannot, be continued.
            CheckpointError: the weights to begin with cannot be read.
            StartError: they do not fit.
        """
        state = self.folder.look(self.tree, self.device, resume=resume)
        if state is None:
            self.initialize()
            self.folder.begin(self.tree, 0)
            return
        self.folder.begin(self.tree, state["step"])
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        for average, held in zip(self.profiles, state.get("profiles", ()), strict=True):
            average.model.load_state_dict(held)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.recent = state["step"], state["recent"]
        # runs that began before levels of noise were told apart have none
        self.by_noise = ByNoise(state.get("by_noise"))
        # a kill may have come between the state and these
        self.folder.write_model(self.step, self.ema.model)

    def initialize(self) -> None:
        """Take the weights that the settings name, if they name any, for the model and its average."""
        if self.settings.init is not None:
            self.left = copy_weights(self.model, self.settings.init, partial=self.settings.init_partial)
            for average in (self.ema, *self.profiles):
                average.model.load_state_dict(self.model.state_dict())

    def save(self) -> None:
        """Write the state to go on from, then the model and the loss curve."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "profiles": [average.model.state_dict() for average in self.profiles],
            "optimizer": self.optimizer.state_dict(),
            "recent": self.recent,
            "by_noise": self.by_noise.state(),
        }
        self.folder.write_state(self.step, state)
        self.folder.write_model(self.step, self.ema.model)

    def draw(self) -> Tensor:
        """Samples of the averaged model from the same noise every time.

        They are what the data previews, or a row a class, or 8 x 8 pictures.
        """
        if self.preview is not None:
            n = len(next(iter(self.preview.conditions.values())))
            return sample(self.ema.model, n, shape=self.preview.shape, **self.preview.conditions)
        if not self.takes_labels or self.data.classes is None:
            return sample(self.ema.model, _COLUMNS**2)
        rows = min(self.data.classes, _CLASS_ROWS)
        return sample(self.ema.model, rows * _COLUMNS, labels=torch.arange(rows).repeat_interleave(_COLUMNS))

    def events(self) -> Iterator[Event]:
        """Train to the end, from wherever the run is."""
        settings = self.settings
        done = self.step * settings.accumulate
        order = Order(len(self.data), settings.batch_size, settings.seed, start=done)
        feed = batches(self.data, order, settings.num_workers)
        started, first = time.perf_counter(), self.step
        while self.step < settings.steps:
            began = time.perf_counter()
            loss, norm, rate = self.update([next(feed) for _ in range(settings.accumulate)])
            speed = settings.batch_size * settings.accumulate / (time.perf_counter() - began)
            self.recent.append(loss)
            if self._due(settings.log_every):
                mean = sum(self.recent) / len(self.recent)
                self.folder.log(
                    step=self.step,
                    loss=mean,
                    learning_rate=rate,
                    grad_norm=norm,
                    examples_per_second=round(speed, 1),
                    peak_bytes=peak_bytes(self.device),
                    loss_at_log_snr=self.by_noise.means(),
                )
                self.recent, self.by_noise = [], ByNoise()
            if self._due(settings.sample_every):
                yield Sampled(self.step, self.folder.write_samples(self.step, self.draw(), _COLUMNS, self.preview))
            if self._due(settings.save_every):
                for number, average in enumerate(self.profiles):
                    self.folder.write_average(self.step, number, average)
                self.save()
                yield Saved(self.step, self.folder.model)
            left = (time.perf_counter() - started) / (self.step - first) * (settings.steps - self.step)
            yield Stepped(self.step, settings.steps, loss, rate, norm, speed, peak_bytes(self.device), left)
        yield Finished(self.step, self.folder.model)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def update(self, passes: list[dict[str, Tensor]]) -> tuple[float, float, float]:
        """One update of the weights: the loss, the norm of the gradient before clipping, the learning rate."""
        settings = self.settings
        rate = settings.learning_rate_at(self.step)
        generator = torch.Generator().manual_seed(derived_seed(settings.seed, "step", self.step))
        total = 0.0
        with self._seeded("dropout", self.step):
            for batch in passes:
                loss = self._loss(batch, generator) / len(passes)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        limit = math.inf if settings.clip_norm is None else settings.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self.step + 1}: the loss is {total:g} and the norm of its gradient {norm:g}; "
                f"{self.folder.what_is_safe()}. "
                "Try a lower training.learning_rate, a longer training.warmup_steps or training.precision=float32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        for average in (self.ema, *self.profiles):
            average.update(self.model, self.step)
        self.step += 1
        return total, norm, rate

    def _loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """The mean weighted loss of a batch. Noise is drawn on the CPU: the same on every device."""
        settings, model = self.settings, self.model
        x_0 = model.scaling.encode(batch["x_0"].to(self.device))
        t = self.objective.times(len(x_0), model.schedule, generator).to(self.device)
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        cond = {name: value for name, value in batch.items() if name not in ("x_0", "labels")}
        if self.takes_labels:
            hidden = torch.rand(len(x_0), generator=generator) < settings.label_dropout
            cond["labels"] = batch["labels"].masked_fill(hidden, -1)
        cond = {name: value.to(self.device) for name, value in cond.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            losses = model.loss(x_0, t=t, eps=eps, **cond)
        m = model.schedule(t)
        self.by_noise.add(m.log_snr, losses.detach())
        weights: Tensor = self.objective.weight(m).to(losses)
        return (weights * losses).mean()

    def _seeded(self, *what: int | str) -> AbstractContextManager[None]:
        """Torch's global generators, which initialisation and dropout draw from, seeded for a while."""
        return _global_seed(derived_seed(self.settings.seed, *what), self.device)


@contextmanager
def _global_seed(seed: int, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _takes_labels(tree: Mapping[str, Any], data: Dataset) -> bool:
    """Whether the network is told the classes of the data; there must be some, and not too many."""
    classes = tree["denoiser"].get("classes")
    if classes is None:
        return False
    if data.classes is None:
        raise TrainingError(
            f"the network has {classes} classes and the data has no labels: set denoiser.classes=null, "
            "or data.class_folders=true where folders are classes"
        )
    if data.classes > classes:
        raise TrainingError(
            f"the data has {data.classes} classes and the network {classes}: set denoiser.classes={data.classes}"
        )
    return True
