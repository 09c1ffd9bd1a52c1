"""Fits the steps of a sampler to one model: a ramp for the spacing ``log-snr``, by random search.

    python benchmarks/ramp.py MODEL --cond cond=FILE --shape 16 36 --start 990 --steps 24 --seconds 600

Noise levels between the first and the last time are moved one by one, or some neighbours together, and a move is kept
where the RMS error against a fine solution falls, over a few starts. What is printed goes into a config or a suite,
with the error on other starts. Fitted steps are for one number of steps of one sampler, and for conditions like
those that they saw.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from itertools import pairwise, product
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

import zoo
from zoo.core.diffusion import Diffusion


class Starts:
    """Some start states, and the fine solutions from them.

    Args:
        model: what is sampled.
        given: the arguments.
        seed: of the starts.
        count: how many.
    """

    def __init__(self, model: Diffusion, given: argparse.Namespace, seed: int, count: int) -> None:
        self._model, self._given = model, given
        self._x_T = torch.randn(count, *given.shape, generator=torch.Generator().manual_seed(seed))
        self._cond: dict[str, Any] = {name: _tensor(path, name).expand(count, -1, -1) for name, path in given.cond}
        self._fine = self.end("unipc", evenly(model, given, given.fine))

    def end(self, sampler: Any, times: list[float]) -> Tensor:
        """Where a walk from these starts ends."""
        return zoo.sample(self._model, sampler=sampler, times=times, x_T=self._x_T, **self._cond)

    def error(self, times: list[float]) -> float:
        """Of a walk by the sampler that is fitted: RMS."""
        return float((self.end(self._given.sampler, times) - self._fine).double().square().mean().sqrt())


def evenly(model: Diffusion, given: argparse.Namespace, steps: int) -> list[float]:
    """Equal steps in log(sigma / alpha) from the first time to the last."""
    first, last = levels(model, [given.start, given.end])
    return times(model, given, [first + (last - first) * k / steps for k in range(steps + 1)])


def levels(model: Diffusion, at: list[float]) -> list[float]:
    """log(sigma / alpha) at some times."""
    found: list[float] = model.schedule(torch.tensor(at, dtype=torch.float64)).nsr.log().tolist()
    return found


def times(model: Diffusion, given: argparse.Namespace, at: list[float]) -> list[float]:
    """Of log(sigma / alpha), with the two ends as they were asked for."""
    found = model.schedule.inverse(torch.tensor(at, dtype=torch.float64).exp()).tolist()
    return [given.start, *found[1:-1], given.end]


def fitted(model: Diffusion, given: argparse.Namespace, starts: Starts) -> list[float]:
    """log(sigma / alpha) at every time of the walk, as good as they become in the time that there is."""
    draw, until = random.Random(given.seed), time.monotonic() + given.seconds
    first, last = levels(model, [given.start, given.end])
    begun = []
    for rho, low in product((0.7, 0.8, 0.9, 1.0), (0.02, 0.06, 0.1)):
        # polynomials in the step, whose last evaluation lies a part of the way above the end
        least_noise = last + low * (first - last)
        ramp = [(1 - k / (given.steps - 1)) ** rho for k in range(given.steps)]
        tried = [*(least_noise + u * (first - least_noise) for u in ramp), last]
        begun.append((starts.error(times(model, given, tried)), tried))
    (least, best), size = min(begun), 0.15
    while time.monotonic() < until:
        moved, centre, width = list(best), draw.uniform(best[-1], best[0]), draw.choice([0.0, draw.uniform(0.3, 2)])
        nearest = min(range(1, given.steps), key=lambda k: abs(best[k] - centre))
        by = draw.gauss(0, size)
        for k in range(1, given.steps):
            weight = math.exp(-(((best[k] - centre) / width) ** 2)) if width else float(k == nearest)
            moved[k] += by * weight
        # levels that nearly meet spend an evaluation on no step
        if min(a - b for a, b in pairwise(moved)) < 0.02:
            continue
        error = starts.error(times(model, given, moved))
        if error < least:
            best, least = moved, error
        size = max(0.03, size * 0.9995)
    return best


def _tensor(path: str, name: str) -> Tensor:
    with safe_open(path, "pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def _pair(text: str) -> list[str]:
    name, _, path = text.partition("=")
    return [name, path]


def main() -> int:
    """Fit, and print what goes into a config."""
    parser = argparse.ArgumentParser(description="Fit the steps of a sampler to one model.")
    parser.add_argument("model", help="a file of weights")
    parser.add_argument("--sampler", default="unipc")
    parser.add_argument("--steps", type=int, default=24, help="of the walk that is fitted")
    parser.add_argument("--shape", type=int, nargs="+", required=True, help="of one sample")
    parser.add_argument("--start", type=float, required=True, help="the first time")
    parser.add_argument("--end", type=float, default=0.0, help="the last time")
    parser.add_argument(
        "--cond", type=_pair, action="append", default=[], help="NAME=FILE, a tensor of that name in it"
    )
    parser.add_argument("--starts", type=int, default=6, help="start states that are fitted to")
    parser.add_argument("--fine", type=int, default=1000, help="steps of the fine solution")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=100)
    given = parser.parse_args()
    model = zoo.load(given.model)
    starts = Starts(model, given, given.seed, given.starts)
    best = fitted(model, given, starts)
    # the last step goes to the end, so the last evaluation is one before it
    low, high = best[-2], best[0]
    ramp = [round((level - low) / (high - low), 4) for level in best[:-1]]
    print(f"sigma_max: {math.exp(high):.6g}\nsigma_min: {math.exp(low):.4g}\nramp: {ramp}")
    others = Starts(model, given, given.seed + 1, given.starts)
    walk = times(model, given, best)
    even = evenly(model, given, given.steps)
    print(f"error {starts.error(walk):.4g}, evenly {starts.error(even):.4g}")
    print(f"on other starts {others.error(walk):.4g}, evenly {others.error(even):.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
