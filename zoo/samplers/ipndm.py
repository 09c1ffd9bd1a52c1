"""iPNDM: Adams-Bashforth weights of an even grid on any grid."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler, adams_bashforth, straight, transfer

History = tuple[Tensor, ...]


@dataclass(frozen=True)
class IPNDM(Sampler[History]):
    """PNDM's multistep part alone, begun with the lower orders (Zhang & Chen 2023, appendix; Liu et al. 2022, eq. 12).

    e' = e;  (3 e - e_1) / 2;  (23 e - 16 e_1 + 5 e_2) / 12;  (55 e - 59 e_1 + 37 e_2 - 9 e_3) / 24, newest first;
    x_s / alpha_s = x_t / alpha_t + (s_next - s) e', s = sigma / alpha. The weights belong to even steps, so on an
    uneven grid the order is 2, whatever is asked for.

    Args:
        order: how many outputs are mixed, the present one included.
    """

    _: KW_ONLY
    order: int = 4  # type: ignore[misc]  # a setting decides

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 4:
            raise ValueError(f"order must be 1 to 4, got {self.order}")

    @property
    def convergence(self) -> int:
        """2 at most: the weights know nothing of the grid."""
        return min(self.order, 2)

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: History, noise: Noise) -> tuple[Tensor, History]:
        now, next = step.now, step.next
        if now[1:] == next[1:]:  # a grid may stand still: there is nothing to integrate
            return x_t, state
        prediction = denoise(x_t, now)
        past = (prediction.eps, *state)[: self.order]
        if not now.alpha:
            return straight(prediction, next), past
        return transfer(x_t, adams_bashforth(past[0], past[1:]), now, next), past
