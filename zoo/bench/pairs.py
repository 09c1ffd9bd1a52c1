"""Pairs: our whole run beside another's, on the same weights from the same noise, in turn in one process."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import factory, sampling
from zoo.bench.suite import Pair
from zoo.bench.textbook import TextbookDiffNet, textbook_ddim
from zoo.bench.timing import wait
from zoo.core.diffusion import Diffusion
from zoo.core.errors import ZooError
from zoo.exporting import export

Run = Callable[[], Tensor]

SPREAD = 0.05
"""Standard deviation of weights that a fresh network has at zero, redrawn: zeros would be neither work nor equality."""


@dataclass(frozen=True)
class PairRow:
    """What one pair took; seconds of a whole run.

    Args:
        pair: its title.
        peer: whom it was run beside.
        nfe: evaluations, the same on both sides.
        batch: samples.
        cpu: (least, median, greatest) processor time of ours.
        peer_cpu: likewise of the peer's.
        wall: (least, median, greatest) of ours by the wall clock.
        peer_wall: likewise of the peer's.
        difference: of the two results, the largest relative to the peer's largest value.
        on_gpu: whether the wall clock is the one to believe.
        reason: why it was not measured, or why it does not count; empty when it does.
    """

    pair: str
    peer: str
    nfe: int | None = None
    batch: int | None = None
    cpu: tuple[float, float, float] | None = None
    peer_cpu: tuple[float, float, float] | None = None
    wall: tuple[float, float, float] | None = None
    peer_wall: tuple[float, float, float] | None = None
    difference: float | None = None
    on_gpu: bool = False
    reason: str = ""

    @classmethod
    def read(cls, **fields: Any) -> PairRow:
        """A row as a card has it, where tuples have become lists."""
        whole: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**whole)

    @property
    def ratio(self) -> float | None:
        """Ours / theirs, of the medians: of processor time, on a GPU of the wall clock."""
        ours, theirs = (self.wall, self.peer_wall) if self.on_gpu else (self.cpu, self.peer_cpu)
        return None if ours is None or theirs is None else ours[1] / theirs[1]


def measured(pair: Pair, *, repeats: int, seed: int, device: torch.device) -> PairRow:
    """Run a pair.

    Args:
        pair: what is compared.
        repeats: runs that count, of each side; one before them does not.
        seed: of weights, start noise and conditions.
        device: of both.

    Raises:
        ZooError: the model cannot be built, or the peer is not installed.
    """
    model = fresh(pair, seed).to(device).eval()
    shape = model.shape if pair.shape is None else tuple(pair.shape)
    if shape is None or None in shape:
        raise ZooError("the shape of a sample is open: give the pair a shape")
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(pair.batch, *(int(side) for side in shape if side), generator=generator).to(device)
    row = PairRow(pair.title, pair.peer, pair.steps, pair.batch, on_gpu=device.type == "cuda")
    with _PEERS[pair.peer](model, pair, x_T, generator) as (ours, theirs):
        a, b = ours(), theirs()
        difference = float((a - b).abs().max() / b.abs().max())
        row = replace(row, difference=difference)
        if not difference <= pair.bar:  # nan is no agreement either
            return replace(row, reason=f"failed: results differ by {difference:.1e}, more than {pair.bar:g}")
        took: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
        for _ in range(repeats):
            for side, run in (("ours", ours), ("theirs", theirs)):
                wait(device)
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                wait(device)
                took[side].append((time.perf_counter() - wall, time.process_time() - cpu))
    if not repeats:
        return row
    return replace(
        row,
        wall=_spread([wall for wall, _ in took["ours"]]),
        cpu=_spread([cpu for _, cpu in took["ours"]]),
        peer_wall=_spread([wall for wall, _ in took["theirs"]]),
        peer_cpu=_spread([cpu for _, cpu in took["theirs"]]),
    )


def fresh(pair: Pair, seed: int) -> Diffusion:
    """The model with the weights of the seed, and numbers in place of those that are all zero when fresh."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model: Diffusion = factory.build(pair.config, **pair.overrides)
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.data.normal_(std=SPREAD)
    return model


def _spread(times: list[float]) -> tuple[float, float, float]:
    return min(times), statistics.median(times), max(times)


@contextlib.contextmanager
def _textbook(model: Diffusion, pair: Pair, x_T: Tensor, generator: torch.Generator) -> Iterator[tuple[Run, Run]]:
    """DiffNet as papers write it, under DDIM."""
    config = model.config["denoiser"]
    if config["name"] != "diffnet" or pair.sampler != "ddim":
        raise ZooError("the textbook has diffnet under ddim alone")
    keys = ("mel_bins", "cond_channels", "residual_channels", "layers", "dilation_cycle")
    net = TextbookDiffNet(*(config[key] for key in keys)).to(x_T.device).eval()
    net.load_state_dict(model.denoiser.state_dict())
    cond = torch.randn(len(x_T), config["cond_channels"], x_T.shape[-1], generator=generator).to(x_T.device)
    grid = sampling.chosen_grid(model, pair.steps, None, None)
    yield (
        lambda: _ours(model, pair, x_T, cond=cond),
        lambda: model.scaling.decode(textbook_ddim(net, x_T, cond, grid)),
    )


@contextlib.contextmanager
def _diffusers(model: Diffusion, pair: Pair, x_T: Tensor, generator: torch.Generator) -> Iterator[tuple[Run, Run]]:
    """The exported folder in diffusers: UNet2DModel under the scheduler of the same name."""
    try:
        library = importlib.import_module("diffusers")
    except ImportError as error:
        raise ZooError(f"diffusers cannot be imported ({error}): pip install 'diffusion-zoo[bench]'") from None
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "model")
        export(model, exported, sampler=pair.sampler, sampling={"steps": pair.steps})
        with contextlib.redirect_stderr(io.StringIO()):
            net = library.UNet2DModel.from_pretrained(exported / "unet").to(x_T.device).eval()
        index = library.DiffusionPipeline.load_config(exported)
        scheduler = getattr(library, index["scheduler"][1]).from_pretrained(exported / "scheduler")
    clipped = {"use_clipped_model_output": True} if pair.sampler == "ddim" else {}

    @torch.no_grad()
    def theirs() -> Tensor:
        scheduler.set_timesteps(pair.steps, device=x_T.device)
        x = x_T * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            out = net(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(out, t, x, **clipped, return_dict=False)[0]
        return model.scaling.decode(x)

    yield lambda: _ours(model, pair, x_T), theirs


def _ours(model: Diffusion, pair: Pair, x_T: Tensor, **cond: Tensor) -> Tensor:
    return sampling.sample(
        model,
        x_T=x_T,
        sampler=pair.sampler,
        steps=pair.steps,
        precision=pair.precision,
        compile=pair.compile,
        batch=len(x_T),
        **cond,  # type: ignore[arg-type]
    )


_PEERS: dict[str, Callable[..., Any]] = {"diffusers": _diffusers, "textbook": _textbook}
