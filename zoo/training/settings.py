"""What the `training` section of a config may say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.core.errors import ArgumentValueError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is trained.

    Args:
        steps: updates of the weights.
        batch_size: examples of one forward and backward pass, in each process.
        accumulate: passes whose gradients are averaged for one update.
        learning_rate: at its highest.
        warmup_steps: over which the learning rate rises from 0.
        schedule: what the learning rate does after that: fall along a cosine to 0 at the last step, or stay.
        clip_norm: what the norm of the whole gradient is cut to; None leaves it.
        ema_decay: of the running average of the weights, reached gradually; 0 keeps no memory.
        ema_profiles: widths sigma_rel of power-function averages beside that one, such as [0.05, 0.1]; each is kept as
            a snapshot every ``save_every`` steps, of which ``zoo average`` makes any other width.
        label_dropout: share of the labels that are hidden, so that classifier-free guidance has its "no class".
        condition_dropout: share of the examples whose conditions are hidden, all of them and labels, too: as nulls,
            which is what guidance asks without. Lengths and the small picture of an upsampler stay.
        low_res_dropout: share of the small pictures of an upsampler that are hidden, as grey (0 everywhere), so that
            it also draws without one, and guidance can be by the picture: ``{name: cfg, hides: [low_res]}``.
        augment: probability of each of EDM's changes of a picture: scaled, turned, stretched, moved, upside down; all
            are mirrored half of the time. 0 changes nothing. The network is told, so it must take ``augment``, as
            edm-song with augment_channels=9. Small sets are learned by heart less soon.
        precision: float32, or bf16 in the forward and backward pass (autocast) over float32 weights.
        checkpointing: whether activations inside the network's blocks are made again in the backward pass instead of
            being kept: less memory, about a third more time, the same gradients.
        compile: whether torch.compile makes kernels for the network, which takes a while at the start.
        objective: which times are trained, and how much each counts.
        optimizer: what turns gradients into updates.
        seed: of the weights, of the order of the data and of all noise.
        save_every: steps from one checkpoint to the next.
        sample_every: steps from one grid of samples to the next.
        sample_raw: whether there is a second grid of the weights as they are, beside that of their average.
        log_every: steps from one line of the log to the next.
        tensorboard: whether the log and the samples are also written for TensorBoard, which is an extra.
        num_workers: processes that read the data for each that trains; 0 reads it there.
        init: weights to begin with, a file of ours, one that an importer knows, or the name of a config with shipped
            ones; None begins with random ones. They are copied where names and shapes agree; a run that goes on does
            not read them again.
        init_partial: whether weights that do not fit are left out and listed; otherwise they are an error.
        freeze: patterns of the names of parameters that are not trained, ``denoiser.down.*``; each must match some.

    Raises:
        ArgumentValueError: for a number outside its range.
    """

    steps: int = 100_000
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 2e-4
    warmup_steps: int = 500
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float | None = 1.0
    ema_decay: float = 0.999
    ema_profiles: tuple[float, ...] = ()
    label_dropout: float = 0.1
    condition_dropout: float = 0.0
    low_res_dropout: float = 0.0
    augment: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    checkpointing: bool = False
    compile: bool = False
    objective: str | Mapping[str, Any] = "uniform"
    optimizer: str | Mapping[str, Any] = "adamw"
    seed: int = 0
    save_every: int = 1000
    sample_every: int = 1000
    sample_raw: bool = True
    log_every: int = 10
    tensorboard: bool = False
    num_workers: int = 0
    init: str | None = None
    init_partial: bool = False
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "save_every", "sample_every", "log_every"):
            self._within(name, 1)
        for name in ("warmup_steps", "num_workers", "seed"):
            self._within(name, 0)
        self._within("ema_decay", 0, 1, open_end=True)
        self._within("label_dropout", 0, 1)
        self._within("condition_dropout", 0, 1)
        self._within("low_res_dropout", 0, 1)
        self._within("augment", 0, 1)
        for width in self.ema_profiles:
            # that of equal shares is the widest there is
            if not 0 < width < 12**-0.5:
                raise ArgumentValueError(f"training.ema_profiles must be above 0 and below 0.289, got {width:g}")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ArgumentValueError(f"training.{name} must be above 0 and finite, got {value:g}")

    def _within(self, name: str, low: float, high: float = math.inf, *, open_end: bool = False) -> None:
        value = getattr(self, name)
        if not low <= value <= high or (open_end and value == high):
            limit = f"from {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            below = f", below {high:g}" if open_end else ""
            raise ArgumentValueError(f"training.{name} must be {limit}{below}, got {value:g}")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of the update number ``step``, which counts from 0."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "constant":
            return self.learning_rate * rise
        return self.learning_rate * rise * (1 + math.cos(math.pi * step / self.steps)) / 2
