"""Denoisers with closed-form answers: the exact posterior of Gaussian data and of a mixture of Gaussians.

They have no weights. For data N(mu, v) and x_t = alpha x_0 + sigma eps, coordinate by coordinate,

    V = alpha^2 v + sigma^2,    d = x_t - alpha mu,
    E[x_0 | x_t] = mu + alpha v d / V,    E[eps | x_t] = sigma d / V,

and a mixture averages these over its components with their posterior probabilities. A sampler run on such a
denoiser has no network error: what remains is the error of the sampler.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from zoo.core.errors import ArgumentValueError, ShapeError

if TYPE_CHECKING:
    from zoo.core.parameterization import Parameterization
    from zoo.core.schedule import Schedule


def posterior(
    x_t: Tensor,
    alpha: Tensor | float,
    sigma: Tensor | float,
    weights: Tensor,
    means: Tensor,
    variances: Tensor,
) -> tuple[Tensor, Tensor]:
    """E[x_0 | x_t] and E[eps | x_t] for data from a mixture of diagonal Gaussians.

    Stable in log space, and exact at both ends: at sigma = 0 it gives x_t / alpha and 0, at alpha = 0 the
    mean of the data and x_t / sigma.

    Args:
        x_t: (B, D) noisy points.
        alpha: scale of the data, (B, 1) or one number; not zero together with sigma.
        sigma: scale of the noise, likewise.
        weights: (K,) positive, of sum 1.
        means: (K, D).
        variances: (K, D) positive.

    Returns:
        x_0 and eps, (B, D) each, with alpha x_0 + sigma eps = x_t.
    """
    alpha, sigma = (
        torch.as_tensor(scale, dtype=x_t.dtype, device=x_t.device).reshape(-1, 1, 1) for scale in (alpha, sigma)
    )
    spread = alpha**2 * variances + sigma**2  # (B, K, D)
    off = x_t[:, None, :] - alpha * means
    log_density = weights.log() - 0.5 * (off**2 / spread + spread.log()).sum(dim=-1)  # (B, K), up to a constant
    share = log_density.softmax(dim=-1)[..., None]
    pull = off / spread
    x_0 = (share * (means + alpha * variances * pull)).sum(dim=1)
    eps = (share * (sigma * pull)).sum(dim=1)
    return x_0, eps


class Analytic(nn.Module, ABC):
    """What the analytic denoisers share: labels to scales, and the posterior to the network's output.

    Their statistics are float64 buffers and stay so: `.half()` or `.to(device, torch.float32)` moves them and
    keeps their numbers. Arithmetic is done in the dtype of x, but never below float32.
    """

    def __init__(self, shape: tuple[int, ...], schedule: Schedule, parameterization: Parameterization) -> None:
        super().__init__()
        if parameterization.learned_variance:
            raise ArgumentValueError("an analytic denoiser learns no variance; set learned_variance: false")
        self.shape = tuple(shape)
        self.schedule, self.parameterization = schedule, parameterization

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The output of a perfect network, as the parameterization reads it.

        Args:
            x: (B, *shape) the network's input, c_in x_t.
            t: (B,) or one for all: the network's label.

        Raises:
            ShapeError: when x has another shape.
        """
        if x.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("B", *self.shape)))
            raise ShapeError(f"{type(self).__name__} expects x of shape ({expected}), got {tuple(x.shape)}")
        time = self.parameterization.time(t, self.schedule).double()
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        m = self.schedule(time).like(exact)
        x_0, eps = self.denoise(exact / self.parameterization.c_in(m), m.alpha, m.sigma)
        return self.parameterization.target(x_0, eps, m).to(x.dtype)

    @abstractmethod
    def denoise(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """E[x_0 | x_t] and E[eps | x_t]; x_t: (B, *shape), scales that broadcast to it."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # the hook behind .to(), .half() and .cuda(): follow the move, refuse the rounding
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in self.named_buffers():
            if buffer.dtype != exact[name].dtype:
                setattr(self, name, exact[name].to(buffer.device))
        return self


class Gaussian(Analytic):
    """The exact denoiser of data N(mean, var), coordinates independent.

    Args:
        shape: of one sample, such as (3, 32, 32); runtime context, as the next two.
        schedule: the noise schedule, ``t -> (alpha, sigma)``.
        parameterization: what the output shall mean.
        mean: mean of the data: one number, or nested lists that broadcast to ``shape``.
        var: variance of the data, likewise; positive.

    Raises:
        ArgumentValueError: when a list does not broadcast to ``shape`` or a variance is not positive.
    """

    TINY: ClassVar[dict[str, Any]] = {"mean": 0.5, "var": 0.25}
    mean: Tensor
    var: Tensor

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        schedule: Schedule,
        parameterization: Parameterization,
        mean: float | list[Any] = 0.0,
        var: float | list[Any] = 1.0,
    ) -> None:
        super().__init__(shape, schedule, parameterization)
        self.register_buffer("mean", _statistic("mean", mean, self.shape))
        self.register_buffer("var", _statistic("var", var, self.shape, positive=True))

    def denoise(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = self.mean.to(x_t), self.var.to(x_t)
        pull = (x_t - alpha * mean) / (alpha**2 * var + sigma**2)
        return mean + alpha * var * pull, sigma * pull

    def ode_solution(self, x: Tensor, alpha_0: float, sigma_0: float, alpha_1: float, sigma_1: float) -> Tensor:
        """Where the probability-flow ODE carries x from scales (alpha_0, sigma_0) to (alpha_1, sigma_1).

        The flow keeps every coordinate's distance from its mean in units of its standard deviation:
        with S_i = sqrt(alpha_i^2 v + sigma_i^2), (x_1 - alpha_1 mu) / S_1 = (x_0 - alpha_0 mu) / S_0.

        Args:
            x: (B, *shape) the state at the first scales.
            alpha_0, sigma_0: where x is.
            alpha_1, sigma_1: where it goes, in either direction, ends included.

        Returns:
            (B, *shape).
        """
        mean, var = self.mean.to(x), self.var.to(x)
        ratio = (alpha_1**2 * var + sigma_1**2) / (alpha_0**2 * var + sigma_0**2)
        return alpha_1 * mean + ratio.sqrt() * (x - alpha_0 * mean)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from the data, (n, *shape), float64, on the generator's device."""
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(n, *self.shape, generator=generator, dtype=torch.float64, device=device)
        return self.mean.to(device) + self.var.to(device).sqrt() * noise


class GaussianMixture(Analytic):
    """The exact denoiser of data from a mixture of diagonal Gaussians over the flattened sample.

    Without ``means`` the mixture is made up: on a ring of radius 1 in the first two coordinates, or, with a
    ``seed``, at random points of a standard normal.

    Args:
        shape: of one sample, D numbers in all; runtime context, as the next two.
        schedule: the noise schedule, ``t -> (alpha, sigma)``.
        parameterization: what the output shall mean.
        components: how many components to make up.
        seed: makes up random means; None for the ring.
        weights: (K,) positive, in any scale; None for equal ones.
        means: (K, D); None to make them up.
        variances: one positive number for all, or (K, D).

    Raises:
        ArgumentValueError: when the lists do not fit each other or ``shape``, or a number is not positive.
    """

    TINY: ClassVar[dict[str, Any]] = {"components": 3, "seed": 0}
    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        schedule: Schedule,
        parameterization: Parameterization,
        components: int = 8,
        seed: int | None = None,
        weights: list[float] | None = None,
        means: list[list[float]] | None = None,
        variances: float | list[list[float]] = 0.01,
    ) -> None:
        super().__init__(shape, schedule, parameterization)
        size = math.prod(self.shape)
        if means is None:
            centers = _random_centers(components, size, seed) if seed is not None else _ring(components, size)
        else:
            centers = _statistic("means", means, (len(means), size))
        count = len(centers)
        shares = _statistic("weights", 1.0 if weights is None else weights, (count,), positive=True)
        self.register_buffer("weights", shares / shares.sum())
        self.register_buffer("means", centers)
        self.register_buffer("variances", _statistic("variances", variances, (count, size), positive=True))

    def denoise(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        weights, means, variances = (buffer.to(x_t) for buffer in (self.weights, self.means, self.variances))
        x_0, eps = posterior(x_t.flatten(1), alpha, sigma, weights, means, variances)
        return x_0.view_as(x_t), eps.view_as(x_t)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from the data, (n, *shape), float64, on the generator's device."""
        device = self.means.device if generator is None else generator.device
        component = torch.multinomial(self.weights.to(device), n, replacement=True, generator=generator)
        means, stds = self.means.to(device)[component], self.variances.to(device).sqrt()[component]
        noise = torch.randn(means.shape, generator=generator, dtype=torch.float64, device=device)
        return (means + stds * noise).reshape(n, *self.shape)


# Statistics are built on the CPU whatever the default device: a network built on the meta device to be filled
# from a file gets its tensors from there, but these come from the arguments.


def _statistic(name: str, given: Any, shape: tuple[int, ...], *, positive: bool = False) -> Tensor:
    """A float64 tensor of this shape from a number or nested lists."""
    try:
        numbers = torch.tensor(given, dtype=torch.float64, device="cpu").expand(shape).clone()
    except (ValueError, TypeError, RuntimeError):
        raise ArgumentValueError(
            f"{name} must be a number or nested lists of numbers that broadcast to {shape}"
        ) from None
    if not numbers.isfinite().all() or (positive and not (numbers > 0).all()):
        raise ArgumentValueError(f"{name} must be finite{' and positive' * positive}, got {given}")
    return numbers


def _ring(components: int, size: int) -> Tensor:
    if size < 2 or components < 1:
        raise ArgumentValueError(
            "a ring needs components >= 1 and samples of at least 2 numbers, got "
            f"components = {components} and samples of {size}; give means, or a seed"
        )
    angles = torch.arange(components, dtype=torch.float64, device="cpu") * (2 * math.pi / components)
    centers = torch.zeros(components, size, dtype=torch.float64, device="cpu")
    centers[:, 0], centers[:, 1] = angles.cos(), angles.sin()
    return centers


def _random_centers(components: int, size: int, seed: int) -> Tensor:
    if components < 1:
        raise ArgumentValueError(f"components must be at least 1, got {components}")
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(components, size, generator=generator, dtype=torch.float64, device="cpu")
