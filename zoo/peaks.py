"""The memory of a network and of a rule at their peaks, counted without numbers.

Networks run on the meta device, where tensors have shapes but no numbers, so that nothing is computed and no memory
is taken, whatever the batch. What libraries take for themselves, such as scratch space of convolutions, is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from registry import guidances
from zoo.core.bound import Bound, guided
from zoo.core.grid import Grid
from zoo.core.noise import PerSample
from zoo.core.parameterization import Parameterization
from zoo.core.prepared import Prepared, offers
from zoo.core.sampler import Sampler, walk
from zoo.kernels.twin import rebuilt, shallow, twin
from zoo.tracing import Alive

_STEPS = 8
"""Of the walk that a rule's memory is counted on: more than the longest history."""

_NUMBERS = 4096
"""Of its sample: so many that single numbers do not count."""

_UNKNOWN_RULE = 8.0
"""States of a rule that cannot be walked with a network that says nothing."""


class Counts(NamedTuple):
    """Bytes of a network in a walk, beside its weights.

    Attributes:
        kernels: forms of the weights that the walk's kernels take.
        prepared: what is worked out once of conditions and times.
        activations: at the peak.
    """

    kernels: int
    prepared: int
    activations: int


def count(
    denoiser: nn.Module,
    x: Tensor,
    cond: Mapping[str, Tensor],
    rows: int,
    *,
    labels: Sequence[float],
    dtype: torch.dtype,
    kernels: str | None,
) -> Counts:
    """Count a network as a walk asks it; one without weights is run for real, as nothing of it is large.

    Args:
        denoiser: the network; its weights are neither read nor changed.
        x: (1, ...) of the state's dtype.
        cond: its conditions, one row.
        rows: how many it is asked about at once.
        labels: the times that it will be told, in order.
        dtype: that it computes in.
        kernels: of which kind of device; None for the network's own.
    """
    weighty = next(denoiser.parameters(), None) is not None
    device = torch.device("meta" if weighty else "cpu")
    shell = _shell(denoiser, device)
    like = torch.zeros(rows, *x.shape[1:], dtype=x.dtype, device=device)
    t = torch.zeros(rows, dtype=x.dtype, device=device)
    given = {name: torch.zeros(rows, *one.shape[1:], dtype=one.dtype, device=device) for name, one in cond.items()}
    own = [*shell.parameters(), *shell.buffers()]
    network, extra = shell, 0
    with torch.no_grad():
        if weighty and kernels is not None and dtype != torch.float64:
            with Alive(own) as forms:
                fast = twin(shell, dtype, on_cpu=kernels == "cpu")
            extra = forms.now
            # the CPU's kernels go through a batch in many small passes, which take long to count and little memory
            network = twin(shell, dtype, on_cpu=False)
            del fast
        with Alive([like, t, *given.values(), *own, *network.parameters(), *network.buffers()]) as living:
            ahead: dict[str, Any] = {}
            if offers(denoiser) and labels:
                prepared = Prepared(shell, given, labels, like, dtype)
                ahead = {"prepared": prepared.at(labels[0])}
            before = living.now
            network(like.to(dtype) if weighty else like, t, **given, **ahead)
    return Counts(extra, before, living.most - before)


def _shell(network: nn.Module, device: torch.device) -> nn.Module:
    """The network in evaluation mode with weights that are nothing but shapes, unless it is to be run for real."""

    def empty(tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or device.type != "meta" else torch.empty_like(tensor, device=device)

    def swap(module: nn.Module) -> nn.Module:
        new = shallow(module)
        new._parameters = {
            name: None if one is None else nn.Parameter(torch.empty_like(one, device=device), requires_grad=False)
            for name, one in module._parameters.items()
        }
        new._buffers = {name: empty(one) for name, one in module._buffers.items()}
        new.training = False
        return new

    return rebuilt(network, swap)


def states_of(rule: Sampler[Any], parameterization: Parameterization, grid: Grid, copies: int) -> float:
    """What a walk holds beside what is the network's, in sizes of x_t: state, history, noise, sums, guidance.

    Args:
        rule: makes the steps.
        parameterization: of the network.
        grid: of the walk, of which the last steps are taken.
        copies: 2 under classifier-free guidance, else 1.
    """
    end = Grid(grid.points[-_STEPS - 1 :], grid.schedule)
    try:
        hash((rule, parameterization, end))
    except TypeError:
        return _walked(rule, parameterization, end, copies)
    return _kept(rule, parameterization, end, copies)


def _walked(rule: Sampler[Any], parameterization: Parameterization, grid: Grid, copies: int) -> float:
    """The same, from a short walk of one sample with a network that holds nothing."""

    def silent(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        return x.new_zeros(len(x), 2 * _NUMBERS) if parameterization.learned_variance else torch.zeros_like(x)

    x, labels = torch.zeros(1, _NUMBERS), torch.zeros(1, dtype=torch.int64)
    model = Bound(silent, parameterization, {"labels": labels})
    denoise = guided(model, guidances.build("cfg") if copies > 1 else None)
    try:
        with torch.no_grad(), Alive() as living:
            for _ in walk(rule.rows(0, 1), denoise, x, grid, PerSample(0, 1)):
                pass
    except Exception:  # a rule that looks at its samples may fail in any way on zeros
        return _UNKNOWN_RULE
    # and the start, which whoever walks still holds
    return float(1 + round(living.most / x.nbytes))


_kept = lru_cache(maxsize=64)(_walked)
