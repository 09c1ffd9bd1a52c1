"""Training each model for the same few steps: what it costs, and how far the loss falls."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from registry import data as datasets
from zoo import description, factory
from zoo.bench.suite import Learning, ModelChoice
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.core.objective import uniform_times
from zoo.data.base import Dataset

_POINTS = 20
"""Of a loss curve."""

# The streams of a seed
_ORDER, _STEPS, _HELD_OUT = range(3)


@dataclass(frozen=True)
class LearningRow:
    """What came of training a model. Times are those of one update, forward, backward and optimizer.

    Args:
        model: its title in the suite.
        reason: why it could not be trained; empty when it was.
        parameters: numbers that are trained.
        macs: multiply-adds of one forward on one sample.
        step_wall: seconds of the wall clock, the median.
        step_cpu: seconds of processor time, the median.
        first_loss: on the held-out examples, before the first update.
        loss: on the held-out examples, after the last.
        curve: [step, mean training loss since the point before].
    """

    model: str
    reason: str = ""
    parameters: int | None = None
    macs: int | None = None
    step_wall: float | None = None
    step_cpu: float | None = None
    first_loss: float | None = None
    loss: float | None = None
    curve: list[list[float]] | None = None


class Lesson:
    """The same examples, times, noise and order for every model.

    Args:
        learning: how long, on what.
        seed: of everything random.
        device: where.
    """

    def __init__(self, learning: Learning, seed: int, device: torch.device) -> None:
        self.learning, self.seed, self.device = learning, seed, device

    def train(self, choice: ModelChoice) -> Iterator[LearningRow | int]:
        """Train a model; the number of the step after each, and the row at the end.

        Raises:
            ZooError: it cannot be built, there is no such data, or the loss is not finite.
        """
        learning = self.learning
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            model = factory.build(choice.config, pretrained=choice.pretrained, **choice.overrides)
        data: Dataset = datasets.build(learning.data, path="learning.data", shape=model.shape)
        if len(data) < learning.held_out + learning.batch:
            raise ZooError(f"learning needs {learning.held_out + learning.batch} examples, {data.describe()} has fewer")
        order = torch.randperm(len(data), generator=self._generator(_ORDER)).tolist()
        held_out, rest = order[: learning.held_out], order[learning.held_out :]
        size = description.describe(model).total
        model.to(self.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=learning.learning_rate)
        first = self._held_out_loss(model, data, held_out)

        generator = self._generator(_STEPS)
        walls, cpus, losses = list[float](), list[float](), list[float]()
        curve = list[list[float]]()
        every = max(1, learning.steps // _POINTS)
        model.train()
        for step in range(1, learning.steps + 1):
            chosen = [rest[i] for i in torch.randint(len(rest), (learning.batch,), generator=generator).tolist()]
            batch = self._batch(model, data, chosen, generator)
            for group in optimizer.param_groups:
                group["lr"] = learning.learning_rate * min(1.0, step / max(1, learning.warmup))
            wall, cpu = time.perf_counter(), time.process_time()
            loss = model.loss(**batch).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())  # waits for the device
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            if not math.isfinite(losses[-1]):
                raise ZooError(f"the loss is {losses[-1]} at step {step}")
            if step % every == 0:
                curve.append([step, statistics.fmean(losses[-every:])])
            yield step
        yield LearningRow(
            choice.title,
            parameters=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
            macs=size.macs,
            step_wall=statistics.median(walls),
            step_cpu=statistics.median(cpus),
            first_loss=first,
            loss=self._held_out_loss(model, data, held_out),
            curve=curve,
        )

    @torch.no_grad()
    def _held_out_loss(self, model: Diffusion, data: Dataset, indices: list[int]) -> float:
        """The mean loss in evaluation mode, at times and with noise that are the same for every model."""
        model.eval()
        generator = self._generator(_HELD_OUT)
        total = 0.0
        for start in range(0, len(indices), self.learning.batch):
            chosen = indices[start : start + self.learning.batch]
            total += float(model.loss(**self._batch(model, data, chosen, generator)).sum())
        return total / len(indices)

    def _batch(self, model: Diffusion, data: Dataset, indices: list[int], generator: torch.Generator) -> dict[str, Any]:
        """Examples with a time and noise each; all numbers are drawn on the CPU, the same for every device."""
        examples = [data[index] for index in indices]
        x_0 = model.scaling.encode(torch.stack([one["x_0"] for one in examples]))
        t = uniform_times(len(x_0), model.schedule, generator)
        batch: dict[str, Tensor] = {"x_0": x_0, "t": t, "eps": torch.randn(x_0.shape, generator=generator)}
        if model.config["denoiser"].get("classes"):
            batch["labels"] = torch.tensor([one["labels"] for one in examples])
        return {name: value.to(self.device) for name, value in batch.items()}

    def _generator(self, place: int) -> torch.Generator:
        return torch.Generator().manual_seed(3 * self.seed + place)
