"""PLMS: pseudo linear multistep with a two-evaluation start."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from torch import Tensor

from zoo.core.grid import Step
from zoo.core.sampler import Denoise, Noise, Sampler, adams_bashforth, as_eps, mixable, transfer

History = tuple[Tensor, ...]


@dataclass(frozen=True)
class PLMS(Sampler[History]):
    """Adams-Bashforth weights on eps, carried along by the transfer (Liu et al. 2022, eq. 12).

    First step (latent diffusion, diff-svc): e_2 at the Euler point, e' = (e_1 + e_2) / 2. Then, newest first,

        e' = (3 e - e_1) / 2,  (23 e - 16 e_1 + 5 e_2) / 12,  (55 e - 59 e_1 + 37 e_2 - 9 e_3) / 24.

    The weights belong to equal steps and the transfer holds e' constant, so the order is 2. N steps take
    N + 1 evaluations.

    Args:
        history: what is mixed, eps, or v = alpha eps - sigma x_0, turned into eps at the present x_t (diffusers, for
            networks that predict v).
    """

    _: KW_ONLY
    history: Literal["eps", "v"] = "eps"
    order: ClassVar[int] = 2
    from_pure_noise: ClassVar[bool] = False

    @property
    def convergence(self) -> int:
        """2, but 1 when v is mixed: v turns with x_t, and the mix is read at the x_t before the step."""
        return 2 if self.history == "eps" else 1

    def step(self, denoise: Denoise, x_t: Tensor, step: Step, state: History, noise: Noise) -> tuple[Tensor, History]:
        now, next = step.now, step.next
        e = mixable(denoise(x_t, now), now, self.history)
        mixed = adams_bashforth(e, state)
        # Walking onto clean data there is no noise to ask the network about
        if not state and next.sigma:
            there = transfer(x_t, as_eps(e, x_t, now, self.history), now, next)
            mixed = (e + mixable(denoise(there, next), next, self.history)) / 2
        return transfer(x_t, as_eps(mixed, x_t, now, self.history), now, next), (e, *state[:2])
