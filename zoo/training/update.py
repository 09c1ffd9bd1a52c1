"""An update of the weights: passes over examples, one step of the optimizer, and the averages moved along."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.core.objective import Objective
from zoo.training import augment
from zoo.training.chance import Chance
from zoo.training.ema import Average
from zoo.training.feed import derived_seed
from zoo.training.noise_levels import ByNoise
from zoo.training.processes import Processes
from zoo.training.settings import Settings


class TrainingError(ZooError):
    """Training that cannot begin, or must not go on."""


class NotFiniteError(TrainingError):
    """A loss or a gradient that is no number."""


@dataclass(frozen=True)
class Updated:
    """What an update came to, in all processes together.

    Attributes:
        loss: mean over the examples, weighted.
        norm: of the gradient, before it was cut.
        learning_rate: of this update.
        by_noise: the losses by the level of noise, as a table of :class:`ByNoise`.
    """

    loss: float
    norm: float
    learning_rate: float
    by_noise: Tensor


class Update:
    """Moves a model on, update by update.

    Args:
        model: in training mode, on the device of the processes.
        averages: of its weights.
        objective: which times are trained, and how much each counts.
        optimizer: of what is trained of the model.
        settings: of the run.
        processes: that share the examples of an update.
        takes_labels: whether the model is told labels.
    """

    def __init__(
        self,
        model: Diffusion,
        averages: Sequence[Average],
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        processes: Processes,
        *,
        takes_labels: bool,
    ) -> None:
        self.model, self.averages = model, averages
        self.objective, self.optimizer = objective, optimizer
        self.settings, self.processes, self.takes_labels = settings, processes, takes_labels
        self._joined: torch.nn.Module = model
        self._alone = processes.count > 1

    def __call__(self, step: int, passes: Sequence[dict[str, Tensor]]) -> Updated:
        """Make the update after so many.

        Args:
            step: updates before.
            passes: a batch each, of this process.

        Raises:
            NotFiniteError: the loss or its gradient; the weights are as they were before.
        """
        settings, processes = self.settings, self.processes
        size = settings.batch_size
        chance = Chance(settings.seed, step, size * processes.count * len(passes))
        if self._alone:
            self._join(step, passes[0], chance)
        total, by_noise = 0.0, ByNoise()
        with self._seeded(step):
            for number, batch in enumerate(passes):
                first = (number * processes.count + processes.index) * size
                # gradients travel once, after the last pass
                last = number == len(passes) - 1
                with nullcontext() if last else processes.apart(self._joined):
                    loss = self.loss(batch, chance, range(first, first + size), by_noise) / len(passes)
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        limit = math.inf if settings.clip_norm is None else settings.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()
        told = processes.mean(torch.cat([torch.tensor([total], dtype=torch.float64), by_noise.table().flatten()]))
        total = told[0].item()
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise NotFiniteError(f"step {step + 1}: the loss is {total:g} and the norm of its gradient {norm:g}")
        rate = settings.learning_rate_at(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        for average in self.averages:
            average.update(self.model, step)
        return Updated(total, norm, rate, told[1:].reshape(-1, 2) * processes.count)

    def loss(self, batch: dict[str, Tensor], chance: Chance, places: range, by_noise: ByNoise) -> Tensor:
        """The mean weighted loss of a batch.

        Args:
            batch: of this process, in data space.
            chance: the draws of the update.
            places: of the examples in the update.
            by_noise: their losses are counted there.
        """
        settings, model, device = self.settings, self.model, self.processes.device
        mine = slice(places.start, places.stop)
        x_0, cond = batch["x_0"], {name: value for name, value in batch.items() if name not in ("x_0", "labels")}
        if settings.augment:
            changes = chance.changes(settings.augment)[mine]
            x_0, cond["augment"] = augment.change(x_0, changes), augment.describe(changes).to(x_0)
        x_0 = model.scaling.encode(x_0.to(device))
        t = chance.times(self.objective, model.schedule)[mine].to(device)
        eps = chance.noise(places, x_0.shape[1:]).to(x_0)
        if self.takes_labels:
            hidden = chance.uniform("labels")[mine] < settings.label_dropout
            cond["labels"] = batch["labels"].masked_fill(hidden, -1)
        if settings.low_res_dropout:
            hidden = chance.uniform("low_res")[mine] < settings.low_res_dropout
            cond["low_res"] = cond["low_res"].masked_fill(hidden[:, None, None, None], 0.0)
        hide = None
        if settings.condition_dropout:
            hide = (chance.uniform("conditions")[mine] < settings.condition_dropout).to(device)
        cond = {name: value.to(device) for name, value in cond.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            # one coin an update, however it is dealt out: the batch of self-conditioning is all of it
            losses = self._joined(x_0, t=t, eps=eps, hide=hide, estimate=chance.coin("estimate"), **cond)
        m = model.schedule(t)
        by_noise.add(m.log_snr, losses.detach())
        weights: Tensor = self.objective.weight(m).to(losses)
        mean: Tensor = (weights * losses).mean()
        return mean

    def _join(self, step: int, batch: dict[str, Tensor], chance: Chance) -> None:
        """Join the model of this process to the others', when a pass has told which parameters take part in one."""
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        with self._seeded(step):
            self.loss(batch, chance, range(self.settings.batch_size), ByNoise()).backward()  # type: ignore[no-untyped-call]
        idle = any(parameter.requires_grad and parameter.grad is None for parameter in self.model.parameters())
        self.model.zero_grad()
        # this pass is no part of the run: statistics of batches are not to count it
        for buffer, before in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        # what a pass leaves out may depend on its examples
        self._joined, self._alone = self.processes.joined(self.model, idle=self.processes.any(idle)), False

    def _seeded(self, step: int) -> AbstractContextManager[None]:
        """Torch's global generators, which dropout draws from: of this step, and of this process."""
        # one process has seeds without a number, whichever way it was started
        mine = (self.processes.index,) if self.processes.index else ()
        return global_seed(derived_seed(self.settings.seed, "dropout", step, *mine), self.processes.device)


@contextmanager
def global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators seeded for a while; afterwards they are where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
