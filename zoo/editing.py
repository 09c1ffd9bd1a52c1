"""Samples that begin with something: fill in a part, go back to the noise and forth again, pass between two noises.

Image-to-image and shallow starts need no function of their own: ``zoo.sample(model, start=image, start_t=...)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo.core.diffusion import Diffusion
from zoo.core.errors import ShapeError
from zoo.core.grid import Grid, GridPoint, Step
from zoo.core.sampler import Denoise, Moment, Noise, Sampler
from zoo.sampling import chosen_grid, chosen_sampler, walk


@dataclass(frozen=True, eq=False)
class Inpainting(Sampler[Any]):
    """Another rule that knows a part of the answer (Lugmayr et al. 2022, algorithm 1).

    After each step down, the part that is kept is replaced by the known data at that noise level,
    x_s = keep (alpha_s known + sigma_s z) + (1 - keep) x_s. A step up adds the noise between its two levels,
    x_s = a x_t + sqrt(sigma_s^2 - a^2 sigma_t^2) z, a = alpha_s / alpha_t, and the rule forgets what it remembered.

    Args:
        rule: makes the steps down.
        known: (B, ...) in model space.
        keep: broadcasts to known; 1 where it is kept, 0 where it is made up, and anything between.
    """

    rule: Sampler[Any]
    known: Tensor
    keep: Tensor
    stochastic = True
    climbs = True
    # what is remembered about rules that can be hashed would keep the images
    __hash__ = None  # type: ignore[assignment]

    @property
    def order(self) -> int:  # type: ignore[override]  # the rule's
        """That of the rule."""
        return self.rule.order

    @property
    def from_pure_noise(self) -> bool:  # type: ignore[override]
        """Whether the rule can."""
        return self.rule.from_pure_noise

    @property
    def reads_score(self) -> bool:  # type: ignore[override]
        """Whether the rule does."""
        return self.rule.reads_score

    @property
    def joins(self) -> bool:  # type: ignore[override]
        """Whether the rule does."""
        return self.rule.joins

    @property
    def one_by_one(self) -> bool:  # type: ignore[override]
        """Whether the rule goes."""
        return self.rule.one_by_one

    @property
    def all_at_once(self) -> bool:  # type: ignore[override]
        """Whether the rule goes."""
        return self.rule.all_at_once

    def rows(self, start: int, stop: int) -> Inpainting:
        keep = self.keep.expand(self.known.shape)[start:stop]
        return replace(self, rule=self.rule.rows(start, stop), known=self.known[start:stop], keep=keep)

    def init(self) -> Any:
        return self.rule.init()

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: Any, noise: Noise) -> tuple[Tensor, Any]:
        now, next = step.now, step.next
        if next.nsr > now.nsr:
            a = next.alpha / now.alpha
            spread = math.sqrt(max(0.0, next.sigma**2 - (a * now.sigma) ** 2))
            return a * x_t + spread * noise(x_t, now, next), self.rule.init()
        x_s, state = self.rule.step(denoise, x_t, step, state, noise)
        known = next.alpha * self.known
        if next.sigma:
            known = known + next.sigma * noise(x_t, now, next)
        return self.keep * known + (1 - self.keep) * x_s, state


def inpaint(
    model: Diffusion,
    image: Tensor,
    keep: Tensor,
    *,
    n: int | None = None,
    jump: int = 10,
    resample: int = 1,
    sampler: Any = None,
    steps: int | None = None,
    spacing: Any = None,
    times: Sequence[float] | Grid | None = None,
    **settings: Any,
) -> Tensor:
    """Make up the part of an image that is not kept.

    Args:
        model: what to sample.
        image: (n, ...) in data space; its values outside the kept part do not matter.
        keep: broadcasts to image, such as (1, 1, H, W): 1 or true where the image is kept.
        n: how many fillings of a single image; None for one of each image.
        jump: how many steps RePaint goes back up at a time.
        resample: how often each stretch of ``jump`` steps is walked; 1 never goes back, 10 is RePaint's, at about ten
            times the cost, and fits the filling better to what is kept.
        sampler, steps, spacing, times: as in ``zoo.sample``.
        **settings: others of ``zoo.sample``: seed, guidance, conditions.

    Returns:
        (n, ...) in data space; where keep is 1, the image itself.

    Raises:
        ShapeError: when the shapes do not fit, or jump or resample is below 1.
    """
    for moment in inpaint_walk(
        model,
        image,
        keep,
        n=n,
        jump=jump,
        resample=resample,
        sampler=sampler,
        steps=steps,
        spacing=spacing,
        times=times,
        **settings,
    ):
        last = moment
    return model.scaling.decode(last.x_t)


def inpaint_walk(
    model: Diffusion,
    image: Tensor,
    keep: Tensor,
    *,
    n: int | None = None,
    jump: int = 10,
    resample: int = 1,
    sampler: Any = None,
    steps: int | None = None,
    spacing: Any = None,
    times: Sequence[float] | Grid | None = None,
    **settings: Any,
) -> Iterator[Moment]:
    """The same as :func:`inpaint`, moment by moment, in model space."""
    if jump < 1 or resample < 1:
        raise ShapeError(f"jump and resample must be at least 1, got {jump} and {resample}")
    if n is not None and len(image) not in (1, n):
        raise ShapeError(f"n is {n} but there are {len(image)} images; give n for a single image")
    image = image.to(model.device).expand(len(image) if n is None else n, *image.shape[1:])
    known = model.scaling.encode(image if image.dtype == torch.float64 else image.float())
    mask = keep.to(known.device, known.dtype)
    try:
        mask = mask.expand(known.shape)
    except RuntimeError:
        shapes = f"{tuple(keep.shape)} does not broadcast to the images' {tuple(known.shape)}"
        raise ShapeError(f"keep of shape {shapes}") from None
    if mask.numel() and (mask.min() < 0 or mask.max() > 1):
        raise ShapeError(f"keep must lie in 0..1, got {float(mask.min()):g}..{float(mask.max()):g}")
    rule = Inpainting(chosen_sampler(model, sampler), known, mask)
    grid = chosen_grid(model, steps, spacing, times)
    path = Grid(tuple(_jumping(grid.points, jump, resample)), grid.schedule)
    return walk(model, len(known), shape=tuple(known.shape[1:]), sampler=rule, times=path, **settings)


def _jumping(points: Sequence[GridPoint], jump: int, resample: int) -> Iterator[GridPoint]:
    """RePaint's way down: every ``jump`` steps, counted from the last, back up and down again."""
    last = len(points) - 1
    left = {last - 1 - k: resample - 1 for k in range(0, last - jump, jump)} if resample > 1 else {}
    index = 0
    while True:
        yield points[index]
        if index == last:
            return
        if left.get(index, 0):
            left[index] -= 1
            index -= jump
        else:
            index += 1


def invert(
    model: Diffusion,
    image: Tensor,
    *,
    sampler: Any = "ddim",
    steps: int | None = None,
    spacing: Any = None,
    times: Sequence[float] | Grid | None = None,
    **settings: Any,
) -> Tensor:
    """The noise that a deterministic walk would have made this image from: the same walk, upward.

    ``zoo.sample(model, x_T=invert(model, image, steps=50), steps=50)`` gives the image again, up to the error of the
    steps; with other conditions, or a guidance, it gives an edit of it (Song et al. 2021, section 4.3).

    Args:
        model: whose walk.
        image: (n, ...) in data space.
        sampler, steps, spacing, times: of the walk down, as in ``zoo.sample``; the sampler must not draw noise.
        **settings: others of ``zoo.sample``: conditions, and a guidance, () for none.

    Returns:
        (n, ...) in model space, for x_T.
    """
    points = chosen_grid(model, steps, spacing, times)
    clean, *rest = reversed(points.points)
    if not clean.sigma and rest:
        # networks were not trained to be asked about clean data: they are told the lowest time of the walk
        clean = clean._replace(t=rest[0].t)
    upward = Grid((clean, *rest), points.schedule)
    image = image.to(model.device)
    x_0 = model.scaling.encode(image if image.dtype == torch.float64 else image.float())
    start = clean.alpha * x_0
    for moment in walk(model, x_T=start, sampler=sampler, times=upward, **settings):
        last = moment
    return last.x_t


def slerp(a: Tensor, b: Tensor, weight: float | Tensor) -> Tensor:
    """Between two noises along the great circle, which keeps them as long as noise is (Shoemake 1985).

        sin((1 - w) theta) / sin(theta) a + sin(w theta) / sin(theta) b,   cos(theta) = <a, b> / |a| |b|

    Args:
        a: (B, ...) at weight 0.
        b: (B, ...) at weight 1.
        weight: one number, or (B,).

    Returns:
        (B, ...). Noises that point the same way are mixed on the straight line.

    Raises:
        ShapeError: when the shapes do not fit.
    """
    if a.shape != b.shape or not a.ndim:
        raise ShapeError(f"slerp needs two tensors of one shape (B, ...), got {tuple(a.shape)} and {tuple(b.shape)}")
    w = torch.as_tensor(weight, dtype=torch.float64, device=a.device)
    if w.ndim and w.shape != a.shape[:1]:
        raise ShapeError(f"weight: expected one number, or one for each of {len(a)} rows, got shape {tuple(w.shape)}")
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    cos = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1)).clamp(min=1e-300)
    theta = cos.clamp(-1, 1).acos()
    sin = theta.sin()
    straight = sin < 1e-6
    safe = sin.where(~straight, 1.0)
    of_a = (((1 - w) * theta).sin() / safe).where(~straight, 1 - w)
    of_b = ((w * theta).sin() / safe).where(~straight, w)
    rows = (-1, *[1] * (a.ndim - 1))
    mixed: Tensor = of_a.reshape(rows).to(a) * a + of_b.reshape(rows).to(a) * b
    return mixed
