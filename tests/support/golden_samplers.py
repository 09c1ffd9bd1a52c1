"""Recorded runs of reference samplers, repeated through our public functions alone.

`recipe` finds our settings for a case, which the modules `golden_*` write down family by family; `replay` runs them
and compares every call of the network, every state and the result.
"""

from __future__ import annotations

import importlib.util
from fnmatch import fnmatchcase
from functools import partial

import golden_diffusers
import golden_dpm_solver
import golden_noise_levels
import golden_papers
import torch
from golden_cases import Case, Family, Network, Recipe
from torch import Tensor

import zoo

# Cases that are not repeated, and why.
LEFT_OUT = {
    "diffusers_ddim_linspace": "takes the time before to be t - T // N though the grid is not spaced so",
    "diffusers_pndm_plms_linspace": "takes the time before to be t - T // N though the grid is not spaced so",
    "pndm_*_released": "reads alpha_bar one step late: its table lacks the leading 1; the aligned runs are repeated",
    "pndm_fon_*": "needs a derivative over one training step and breaks on grids without structure",
    "unipc_*_vary_coeff_*": "converges with order 1 whatever order is asked for",
    "zju_ipndm_v_*": "a bracket is misplaced in the weights for uneven steps; they are those of lms at order 2 to 4",
    "azula_*ab_order?": "Adams-Bashforth rules of that library alone; lms, deis and dpm-multistep stand for them",
    "azula_vp_ito": "an Ito form of that library alone; dpmpp-sde stands for it",
    "small_gam*_mu0.5": "an extrapolation of that library alone",
    "small_gam*_mu0.3": "an extrapolation of that library alone",
    "small_gam2_mu0": "an extrapolation of that library alone",
}

FAMILIES: dict[str, Family] = {
    **golden_papers.FAMILIES,
    **golden_diffusers.FAMILIES,
    **golden_noise_levels.FAMILIES,
    **golden_dpm_solver.FAMILIES,
}
if importlib.util.find_spec("golden_stochastic"):
    import golden_stochastic

    FAMILIES |= golden_stochastic.FAMILIES


def family(name: str) -> str | None:
    """The prefix a case belongs to: the longest that fits."""
    fitting = [prefix for prefix in FAMILIES if name.startswith(prefix)]
    return max(fitting, key=len, default=None)


def left_out(name: str) -> bool:
    """Whether a case is one that we do not repeat."""
    return any(fnmatchcase(name, pattern) for pattern in LEFT_OUT)


def recipe(case: Case) -> Recipe:
    """Our settings for a case.

    Raises:
        LookupError: for a case of a family that we do not know.
    """
    prefix = family(case.name)
    if prefix is None:
        raise LookupError(f"no settings of ours are known for {case.name}")
    return FAMILIES[prefix](case)


def replay(case: Case, ours: Recipe) -> None:
    """Run a case and compare every call of the network, every state and the result."""
    tensors = case.tensors
    network = Network(case, ours)
    schedule = ours.schedule or {"name": "table", "alphas_cumprod": tensors["alphas_cumprod"].tolist()}
    model = zoo.Diffusion.wrap(network, schedule=schedule, parameterization=ours.parameterization)
    moments = list(
        zoo.walk(
            model,
            x_T=tensors["x_start"] if ours.start is None else ours.start,
            noise=tensors.get("noise") if ours.noise is None else ours.noise,
            sampler=ours.sampler,
            guidance=ours.guidance,
            **ours.walk,
        )
    )
    nfe = moments[-1].nfe
    if ours.denoise:
        last = moments[-1]
        *_, clean = zoo.walk(model, x_T=last.x_t, sampler="ddim", times=[last.at.t, model.schedule.t_clean])
        moments, nfe = [*moments, clean], nfe + 1

    close = partial(torch.testing.assert_close, rtol=0, atol=ours.tolerance)
    labels = tensors["nfe.t"] if ours.labels is None else ours.labels
    asked = _first_askings(labels, tensors["nfe.x"]) if ours.repeats else list(range(len(labels)))
    assert nfe == len(network.calls) == len(asked)
    for (label, x), index in zip(network.calls, asked, strict=True):
        # labels up to 1000, some found by inverting a schedule
        assert abs(label - float(labels[index])) < 1e-8, f"call {index}: the label"
        close(x, tensors["nfe.x"][index], msg=lambda text, index=index: f"input of call {index}: {text}")
    states = tensors.get("states")
    if states is not None and ours.states and (len(states) + ours.every - 1) // ours.every == len(moments):
        ends = [*range(0, len(states) - 1, ours.every), len(states) - 1]
        for moment, end in zip(moments, ends, strict=True):
            scale = moment.at.alpha if ours.ve else 1.0
            close(moment.x_t, scale * states[end], msg=lambda text, at=moment.index: f"state {at}: {text}")
    close(moments[-1].x_t, (moments[-1].at.alpha if ours.ve else 1.0) * tensors["final"])


def _first_askings(labels: Tensor, inputs: Tensor) -> list[int]:
    """The calls without those that ask again what was asked three calls before or less."""
    kept: list[int] = []
    for index, x in enumerate(inputs):
        near = range(max(0, index - 3), index)
        if not any(labels[earlier] == labels[index] and torch.equal(inputs[earlier], x) for earlier in near):
            kept.append(index)
    return kept
