"""Sampling: shapes, seeds, devices and starting points around the one loop of the core."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from registry import Registry, guidances, samplers, spacings
from zoo import kernels
from zoo.batches import Walk, one_after_another, together
from zoo.core import mixing
from zoo.core.bound import ConditionError, Guidance, Network
from zoo.core.diffusion import Diffusion, Spacing
from zoo.core.errors import ShapeError
from zoo.core.grid import Grid, GridPoint, make_grid
from zoo.core.noise import NoiseError, PerSample, Recorded
from zoo.core.sampler import Denoise, Moment, Noise, Sampler, visited

Spec = str | Mapping[str, Any]

_SOURCES: Registry[Noise] = Registry("noise")
_SOURCES.lazy("brownian", "zoo.core.brownian:Brownian", summary="The increments of one Brownian path a sample.")
_SOURCES.lazy("independent", "zoo.core.noise:PerSample", summary="Independent draws in the order of the steps.")


@torch.no_grad()
def sample(
    model: Diffusion,
    n: int = 1,
    *,
    shape: Sequence[int] | None = None,
    sampler: Spec | Sampler[Any] | None = None,
    steps: int | None = None,
    spacing: Spec | Spacing | None = None,
    times: Sequence[float] | Grid | None = None,
    seed: int | Sequence[int] = 0,
    guidance: float | Spec | Guidance | Sequence[Spec | Guidance] | None = None,
    x_T: Tensor | None = None,
    start: Tensor | None = None,
    start_t: float | None = None,
    noise: Noise | Tensor | Spec | None = None,
    batch: int | None = None,
    precision: kernels.Precision | None = None,
    compile: kernels.Compile | None = None,
    **cond: Any,
) -> Tensor:
    """Draw samples.

    Args:
        model: what to sample.
        n: how many; taken from x_T or start where one is given.
        shape: of one sample, where the model's config leaves it open.
        sampler: a name, a ``{name: ...}`` mapping or a Sampler; None takes the model's, as below.
        steps: number of steps.
        spacing: which times N steps visit.
        times: explicit times of the schedule, start and end included, or a whole Grid of (t, alpha, sigma) rows,
            instead of steps and spacing. Rising times walk toward noise (inversion).
        seed: one for all samples or one each; a sample does not depend on how many others are drawn with it.
        guidance: a number is the scale of classifier-free guidance; else a spec, a Guidance, or a list of them.
            ``()`` turns the model's own off.
        x_T: (n, ...) the start state as it is, in model space; its dtype is the arithmetic's.
        start: (n, ...) clean data to start from instead of noise, noised to start_t.
        start_t: the schedule time that ``start`` is noised to; None takes the first time of the walk. Times of the
            walk above it are left out.
        noise: "independent" draws in every step, which None means too, or "brownian": the increments of one path a
            sample, the same for few steps and for many. Also a recorded tensor (draws, n, ...), consumed in the order
            of the calls, or a function ``noise(x_t, now, next)``. With ``start``, its first draw is the start's noise.
        batch: at most so many samples are walked together; None takes as many as memory holds by the estimate. Samples
            are the same whatever it is. A noise function of your own is never split.
        precision: of the network: "float32" computes in the type of its weights, without TF32; "bf16" in bfloat16;
            "auto" in whatever is fastest here and stays within 1e-3 of float32, checked during the walk. None takes the
            model's. The walk itself is float32 at least.
        compile: "off"; "step" compiles the network by torch.compile, which takes a while at the start; "graph" replays
            it as one CUDA graph. None takes the model's.
        **cond: conditions by name, one row a sample; a single label serves all.

    Returns:
        (n, ...) in data space, for instance images in [-1, 1].

    Raises:
        ShapeError: when no shape is known, or tensors disagree about it.
        RegistryError: for unknown names and arguments.
    """
    begun = _begun(
        model,
        n,
        shape=shape,
        sampler=sampler,
        steps=steps,
        spacing=spacing,
        times=times,
        seed=seed,
        guidance=guidance,
        x_T=x_T,
        start=start,
        start_t=start_t,
        noise=noise,
        precision=precision,
        compile=compile,
        cond=cond,
    )
    with _evaluating(model):
        ends = one_after_another(begun, batch)
    return model.scaling.decode(ends)


def walk(
    model: Diffusion,
    n: int = 1,
    *,
    shape: Sequence[int] | None = None,
    sampler: Spec | Sampler[Any] | None = None,
    steps: int | None = None,
    spacing: Spec | Spacing | None = None,
    times: Sequence[float] | Grid | None = None,
    seed: int | Sequence[int] = 0,
    guidance: float | Spec | Guidance | Sequence[Spec | Guidance] | None = None,
    x_T: Tensor | None = None,
    start: Tensor | None = None,
    start_t: float | None = None,
    noise: Noise | Tensor | Spec | None = None,
    batch: int | None = None,
    precision: kernels.Precision | None = None,
    compile: kernels.Compile | None = None,
    **cond: Any,
) -> Iterator[Moment]:
    """The same as :func:`sample`, moment by moment: the start, then the state after every step, in model space.

    A batch that is split is walked side by side, so that each moment is of all samples.
    """
    begun = _begun(
        model,
        n,
        shape=shape,
        sampler=sampler,
        steps=steps,
        spacing=spacing,
        times=times,
        seed=seed,
        guidance=guidance,
        x_T=x_T,
        start=start,
        start_t=start_t,
        noise=noise,
        precision=precision,
        compile=compile,
        cond=cond,
    )
    moments = together(begun, batch)
    with _evaluating(model):
        while True:
            # only for as long as a step takes: between two, gradients are the caller's business
            with torch.no_grad():
                moment = next(moments, None)
            if moment is None:
                return
            yield moment


@torch.no_grad()
def _begun(
    model: Diffusion,
    n: int,
    *,
    shape: Sequence[int] | None,
    sampler: Spec | Sampler[Any] | None,
    steps: int | None,
    spacing: Spec | Spacing | None,
    times: Sequence[float] | Grid | None,
    seed: int | Sequence[int],
    guidance: float | Spec | Guidance | Sequence[Spec | Guidance] | None,
    x_T: Tensor | None,
    start: Tensor | None,
    start_t: float | None,
    noise: Noise | Tensor | Spec | None,
    precision: str | None,
    compile: str | None,
    cond: Mapping[str, Any],
) -> Walk:
    """A walk that is ready to go, from checked arguments."""
    given = x_T if x_T is not None else start
    if x_T is not None and start is not None:
        raise ShapeError("give x_T (a state as it is) or start (clean data to be noised), not both")
    if start is None and start_t is not None:
        raise ShapeError("start_t belongs to start: give the clean data to be noised")
    if given is not None:
        if not given.ndim or not given.is_floating_point():
            raise ShapeError(f"the start must be floating point, (n, ...); got {given.dtype} of {tuple(given.shape)}")
        n = given.shape[0]
    if not isinstance(n, int) or n < 0:
        raise ShapeError(f"n: expected a whole number of samples from 0, got {n}")
    full = (n, *_shape(model, shape, given))
    rule = chosen_sampler(model, sampler)
    grid = chosen_grid(model, steps, spacing, times)
    source = _noise(noise, seed, n)
    wrappers = chosen_guidance(model, guidance, bool(cond))
    conditions = _conditions(model, n, cond)
    if start is not None:
        grid, x = _shallow(model, grid, start, start_t, source)
    else:
        x = x_T.to(model.device) if x_T is not None else _prior(model, grid[0], full, source)
    mixing.check(rule, model.parameterization, grid, wrappers)

    points = visited(rule, model.parameterization, grid)
    how = (
        model.sampling.precision if precision is None else precision,
        model.sampling.compile if compile is None else compile,
    )
    asked: list[Network] = []

    def bind(conditions: Mapping[str, Any], *, ahead: bool) -> Denoise:
        # once for all parts of a batch, and not before the model is in evaluation mode
        if not asked:
            asked.append(_network(model, *how))
        return model.bind(guidance=wrappers, network=asked[0], points=points if ahead else (), **conditions)

    return Walk(rule, model, bind, wrappers, how[0], conditions, x, grid, source)


def _network(model: Diffusion, precision: str, compile: str) -> Network:
    """The network in its fast form; one that the zoo did not build is asked as it is, unless something is demanded."""
    if not model.config and (precision, compile) == ("float32", "off"):
        return kernels.as_it_is(model.denoiser, model.dtype, model.device)
    return kernels.ready(model.denoiser, model.dtype, model.device, precision, compile)


@contextmanager
def _evaluating(model: Diffusion) -> Iterator[None]:
    """Evaluation mode; one by one, so that a part that was frozen in it stays so."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _shape(model: Diffusion, shape: Sequence[int] | None, given: Tensor | None) -> tuple[int, ...]:
    """The shape of one sample, from the argument, the given tensor or the model."""
    if given is not None:
        if shape is not None and tuple(shape) != tuple(given.shape[1:]):
            raise ShapeError(f"shape is {tuple(shape)} but the given start has {tuple(given.shape[1:])}")
        return tuple(given.shape[1:])
    wanted = model.shape if shape is None else tuple(shape)
    if wanted is None or any(size is None for size in wanted):
        raise ShapeError(f"the shape of a sample is open ({wanted}): pass shape=..., for instance shape=(3, 32, 32)")
    return tuple(int(size) for size in wanted if size is not None)


def chosen_sampler(model: Diffusion, sampler: Spec | Sampler[Any] | None) -> Sampler[Any]:
    """The sampler that was asked for, or the model's."""
    if isinstance(sampler, Sampler):
        return sampler
    if sampler is None:
        return model.sampler or samplers.build("ddim")
    built: Sampler[Any] = samplers.build(sampler, path="sampler")
    return built


def chosen_grid(
    model: Diffusion, steps: int | None, spacing: Spec | Spacing | None, times: Sequence[float] | Grid | None
) -> Grid:
    """The walk that was asked for, or the model's."""
    if times is not None:
        if steps is not None or spacing is not None:
            raise ShapeError("give times, or steps and spacing, not both")
        return times if isinstance(times, Grid) else make_grid(model.schedule, times)
    rule: Spacing = model.sampling.spacing or spacings.build("trailing")
    if spacing is not None:
        rule = spacings.build(spacing, path="spacing") if isinstance(spacing, str | Mapping) else spacing
    return make_grid(model.schedule, rule(model.schedule, model.sampling.steps if steps is None else steps))


def _noise(noise: Noise | Tensor | Spec | None, seed: int | Sequence[int], n: int) -> Noise:
    if noise is None:
        return PerSample(seed, n)
    if isinstance(noise, str | Mapping):
        return _SOURCES.build(noise, path="noise", seed=seed, n=n)
    return Recorded(noise) if isinstance(noise, Tensor) else noise


def chosen_guidance(
    model: Diffusion, guidance: float | Spec | Guidance | Sequence[Spec | Guidance] | None, conditional: bool
) -> list[Guidance]:
    """The wrappers of a walk, in the order in which they are applied.

    Args:
        model: has its own.
        guidance: as in :func:`sample`.
        conditional: whether there are conditions to be guided by.

    Raises:
        RegistryError: for unknown names and arguments.
    """
    wrappers: list[Guidance]
    if guidance is None:
        # A model's own guidance needs something to be guided by; without it the model is sampled plain
        wrappers = list(model.sampling.guidance) if conditional else []
    elif isinstance(guidance, int | float):
        wrappers = [guidances.build({"name": "cfg", "scale": float(guidance)})]
    else:
        several = [guidance] if isinstance(guidance, str | Mapping | Guidance) else list(guidance)
        wrappers = [one if isinstance(one, Guidance) else guidances.build(one, path="guidance") for one in several]
    if model.sampling.clip is not None:
        wrappers.append(model.sampling.clip)
    return wrappers


def _conditions(model: Diffusion, n: int, cond: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions as tensors on the model's device, one row a sample."""
    ready: dict[str, Any] = {}
    for name, value in cond.items():
        if value is None:
            continue
        # __array__: numpy's arrays and numbers
        if isinstance(value, int | float | list | tuple | range) or hasattr(value, "__array__"):
            value = torch.as_tensor(value)
        if isinstance(value, Tensor):
            value = value.expand(n) if value.ndim == 0 else value
            if value.shape[0] != n:
                raise ConditionError(f"{name}: {value.shape[0]} rows for {n} samples; give one row a sample")
            value = value.to(model.device)
        ready[name] = value
    return ready


def _prior(model: Diffusion, first: GridPoint, full: tuple[int, ...], noise: Noise) -> Tensor:
    """The start of a walk from noise: N(0, I) on variance-preserving paths, N(0, sigma^2 I) on others."""
    empty = torch.empty(full, device=model.device, dtype=_arithmetic(model))
    eps = noise(empty, first, first)
    return eps if abs(math.hypot(first.alpha, first.sigma) - 1) < 1e-6 else first.sigma * eps


def _arithmetic(model: Diffusion) -> torch.dtype:
    """float32, or float64 for a float64 network; half-precision networks are sampled in float32."""
    return torch.float64 if model.dtype == torch.float64 else torch.float32


def _shallow(model: Diffusion, grid: Grid, start: Tensor, start_t: float | None, noise: Noise) -> tuple[Grid, Tensor]:
    """Clean data noised to start_t, and the part of the walk that lies below."""
    at = grid[0] if start_t is None else make_grid(model.schedule, [start_t])[0]
    below = tuple(point for point in grid.points if point.t < at.t)
    if len(below) < len(grid):
        # A walk that would start above start_t is cut and starts there; one that lies below as a whole, as the
        # old voice code's does, is walked as it is
        grid = Grid((at, *below), grid.schedule)
    if len(grid) < 2:
        raise NoiseError(
            f"start_t: no time of the walk lies below {at.t:g}; take more steps or a larger start_t "
            "(to walk up from clean data, an inversion, pass it as x_T)"
        )
    dtype = torch.float64 if start.dtype == torch.float64 else _arithmetic(model)
    x_0 = model.scaling.encode(start.to(model.device, dtype))
    return grid, at.alpha * x_0 + at.sigma * noise(x_0, at, at)


__all__ = ["sample", "walk"]
