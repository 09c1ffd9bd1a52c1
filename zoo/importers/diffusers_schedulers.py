"""A scheduler of diffusers, which is schedule, spacing, sampler and parameterization in one, taken apart.

Every class has a function here that says what it stands for. Fields that a config leaves out have the values that the
class gives them. Where a class does something that its papers do not, we do what the papers say, and a remark tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from operator import mul
from typing import Any

from zoo.header import CheckpointError
from zoo.importers.fields import Fields

Tree = dict[str, Any]

_FAMILIES = {"linear": "linear", "scaled_linear": "scaled-linear", "sigmoid": "sigmoid"}
_BY_ALPHA_BAR = {"squaredcos_cap_v2": "cosine", "laplace": "laplace", "exp": "exponential"}
_PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
_VARIANCES = {
    "fixed_small": "fixed-small",
    "fixed_small_log": "fixed-small",
    "fixed_large": "fixed-large",
    "fixed_large_log": "fixed-large",
    "learned": "learned-value",
    "learned_range": "learned-range",
}
_STEPS = 50
_SHORT = 15  # walks of fewer steps lower their order toward the end


def parts(fields: Fields) -> Tree:
    """Schedule, parameterization, sampler, sampling and scaling of a model, from a scheduler_config.json.

    Raises:
        CheckpointError: a class or a setting that has no counterpart.
    """
    name = fields.assume("_class_name", str, "DDPMScheduler", "there is no scheduler_config.json")
    if name not in _SCHEDULERS:
        raise CheckpointError(
            f"the scheduler {name!r} has no counterpart here; to load the network with another one, pass "
            'config={..., "scheduler": {"_class_name": "DDIMScheduler"}}; known: ' + ", ".join(_SCHEDULERS)
        )
    return {"scaling": {"name": "identity"}, **_SCHEDULERS[name](fields)}


def _ddpm(fields: Fields) -> Tree:
    kind = fields.get("variance_type", str, "fixed_small")
    sampler = {"name": "ddpm", "variance": _word(_VARIANCES, "variance_type", kind)}
    tree = _discrete(fields, sampler, _spacing(fields, "leading"), _clip(fields, default=True))
    tree["parameterization"]["learned_variance"] = kind.startswith("learned")
    # all trained steps are taken unless somebody says otherwise
    tree["sampling"]["steps"] = fields.get("num_train_timesteps", int, 1000)
    return tree


def _ddim(fields: Fields) -> Tree:
    spacing = _spacing(fields, "leading", end="clean" if fields.get("set_alpha_to_one", bool, True) else "first")
    # eps stays the network's own beside a clipped x_0
    clip = _clip(fields, default=True, recompute_eps=False)
    _warn_of_strides(fields, spacing)
    return _discrete(fields, {"name": "ddim", "eta": 0.0}, spacing, clip)


def _pndm(fields: Fields) -> Tree:
    spacing = _spacing(fields, "leading", end="clean" if fields.get("set_alpha_to_one", bool, False) else "first")
    _warn_of_strides(fields, spacing)
    history = "v" if _prediction(fields) == "v" else "eps"
    if fields.get("skip_prk_steps", bool, False):
        return _discrete(fields, {"name": "plms", "history": history}, spacing)
    return _discrete(fields, {"name": "pndm", "middle": "diffusers", "history": history}, spacing)


def _dpm_multistep(fields: Fields) -> Tree:
    order = fields.get("solver_order", int, 2)
    algorithm = fields.get("algorithm_type", str, "dpmsolver++")
    solver = fields.get("solver_type", str, "midpoint")
    lower = fields.get("euler_at_final", bool, False) or _lowered(fields)
    sampler: Tree = {"name": "dpm-multistep", "order": order, "solver": solver, "lower_order_final": lower}
    if algorithm in ("dpmsolver", "dpmsolver++"):
        sampler["predict"] = "eps" if algorithm == "dpmsolver" else "x0"
        if algorithm == "dpmsolver++" and order == 2:
            sampler = {"name": "dpmpp-2m", "solver": solver, "lower_order_final": lower}
    elif algorithm == "sde-dpmsolver++" and order in (1, 2, 3):
        sampler = {
            1: {"name": "ddim", "eta": 1.0},
            2: {"name": "dpmpp-2m", "solver": solver, "eta": 1.0, "lower_order_final": lower},
            # the reference's third-order weights have a slip, with noise alone
            3: {"name": "dpmpp-3m", "eta": 1.0, "weights": "diffusers", "lower_order_final": lower},
        }[order]
    elif algorithm == "sde-dpmsolver" and order == 2:
        sampler = {"name": "dpm-2m-sde", "solver": solver, "lower_order_final": lower}
    else:
        raise CheckpointError(f"algorithm_type {algorithm!r} of solver_order {order} has no counterpart here")
    return _solver(fields, sampler)


def _dpm_singlestep(fields: Fields) -> Tree:
    solver = fields.get("solver_type", str, "midpoint")
    algorithm = fields.get("algorithm_type", str, "dpmsolver++")
    if algorithm not in ("dpmsolver", "dpmsolver++"):
        raise CheckpointError(f"algorithm_type {algorithm!r} of single steps has no counterpart here")
    sampler = {
        "name": "dpm-fast",
        "order": fields.get("solver_order", int, 2),
        "predict": "eps" if algorithm == "dpmsolver" else "x0",
        "solver": solver,
        "inner": solver,
        "lower_order_final": fields.get("lower_order_final", bool, False),
    }
    return _solver(fields, sampler)


def _unipc(fields: Fields) -> Tree:
    sampler = {
        "name": "unipc",
        "order": fields.get("solver_order", int, 2),
        "variant": fields.get("solver_type", str, "bh2"),
        "predict": "x0" if fields.get("predict_x0", bool, True) else "eps",
        "corrector": not fields.get("disable_corrector", list, []),
        "lower_order_final": fields.get("lower_order_final", bool, True),
    }
    return _solver(fields, sampler)


def _deis(fields: Fields) -> Tree:
    sampler = {
        "name": "deis",
        "order": fields.get("solver_order", int, 2),
        "variable": "log-rho",
        "lower_order_final": _lowered(fields),
    }
    return _solver(fields, sampler, end="first")


def _by_noise(sampler: str, beta_start: float = 1e-4, beta_end: float = 0.02) -> Callable[[Fields], Tree]:
    """The classes that come from k-diffusion: fractional times between the trained ones."""

    def read(fields: Fields) -> Tree:
        if fields.get("timestep_type", str, "discrete") != "discrete":
            raise CheckpointError("timestep_type 'continuous': a network that is told log sigma / 4 cannot be sampled")
        if fields.get("interpolation_type", str, "linear") != "linear":
            fields.remarks.append("interpolation_type log_linear is read as linear")
        end = "first" if fields.get("final_sigmas_type", str, "zero") == "sigma_min" else "clean"
        spacing = _levels(fields, end) or _spacing(fields, "linspace", end=end, rounded=False)
        return _discrete(fields, {"name": sampler}, spacing, _clip(fields), beta_start=beta_start, beta_end=beta_end)

    return read


def _lcm(fields: Fields) -> Tree:
    spacing = {"name": "lcm", "trained": fields.get("original_inference_steps", int, 50)}
    if not fields.get("set_alpha_to_one", bool, True):
        spacing["end"] = "first"
    sampler = {"name": "lcm", "timestep_scaling": fields.get("timestep_scaling", float, 10.0)}
    tree = _discrete(
        fields, sampler, spacing, _clip(fields), family="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    tree["sampling"]["steps"] = 4
    return tree


def _flow_match(sampler: Tree) -> Callable[[Fields], Tree]:
    """Straight paths, whose labels are the times in thousandths."""

    def read(fields: Fields) -> Tree:
        for name in ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
            if fields.get(name, bool, False):
                raise CheckpointError(f"{name} has no counterpart on a straight path")
        shift, total = fields.get("shift", float, 1.0), fields.get("num_train_timesteps", int, 1000)
        if fields.get("use_dynamic_shifting", bool, False):
            fields.remarks.append(f"use_dynamic_shifting is the pipelines' business: shift {shift:g} is taken")
        rule: Tree = {"name": "lcm"} if fields.get("stochastic_sampling", bool, False) else sampler
        # the least time goes through the shift twice, as there
        last = _shifted(1 / total, shift)
        return {
            "schedule": {"name": "flow", "shift": shift},
            "parameterization": {"name": "flow", "time_scale": float(total)},
            "sampler": rule,
            "sampling": {"steps": _STEPS, "spacing": {"name": "linspace", "last": last}},
        }

    return read


def _edm(sampler: Tree) -> Callable[[Fields], Tree]:
    def read(fields: Fields) -> Tree:
        kind = fields.get("prediction_type", str, "epsilon")
        if kind != "epsilon":
            raise CheckpointError(f"prediction_type {kind!r} of EDM's schedulers has no counterpart here")
        if fields.get("sigma_schedule", str, "karras") == "karras":
            spacing: Tree = {"name": "karras", "rho": fields.get("rho", float, 7.0)}
        else:
            spacing = {"name": "log-snr"}
        if fields.get("final_sigmas_type", str, "zero") == "sigma_min":
            spacing["end"] = "first"
        rule = dict(sampler)
        if "order" in rule:
            rule |= {"order": fields.get("solver_order", int, 2), "lower_order_final": _lowered(fields)}
        return {
            "schedule": {"name": "edm", **_sigmas(fields, 0.002, 80.0)},
            "parameterization": {"name": "edm", "sigma_data": fields.get("sigma_data", float, 0.5)},
            "sampler": rule,
            "sampling": {"steps": _STEPS, "spacing": spacing},
        }

    return read


def _sde_ve(fields: Fields) -> Tree:
    if fields.get("correct_steps", int, 1):
        fields.remarks.append(
            "the corrector of ScoreSdeVeScheduler has no counterpart: its ancestral steps alone are taken"
        )
    return {
        "schedule": {"name": "edm", **_sigmas(fields, 0.01, 1348.0)},
        "parameterization": {"name": "score"},
        # [-1, 1] to the [0, 1] of these networks
        "scaling": {"name": "mean-std", "mean": -1.0, "std": 2.0},
        "sampler": {"name": "euler-ancestral"},
        "sampling": {"steps": fields.get("num_train_timesteps", int, 2000), "spacing": {"name": "log-snr"}},
    }


_SCHEDULERS: dict[str, Callable[[Fields], Tree]] = {
    "DDIMScheduler": _ddim,
    "DDPMScheduler": _ddpm,
    "DEISMultistepScheduler": _deis,
    "DPMSolverMultistepScheduler": _dpm_multistep,
    "DPMSolverSinglestepScheduler": _dpm_singlestep,
    "EDMDPMSolverMultistepScheduler": _edm({"name": "dpm-multistep", "predict": "x0", "order": 2}),
    "EDMEulerScheduler": _edm({"name": "euler"}),
    "EulerAncestralDiscreteScheduler": _by_noise("euler-ancestral"),
    "EulerDiscreteScheduler": _by_noise("euler"),
    "FlowMatchEulerDiscreteScheduler": _flow_match({"name": "flow-rk", "method": "euler"}),
    "FlowMatchHeunDiscreteScheduler": _flow_match({"name": "flow-rk", "method": "heun", "last": "euler"}),
    "HeunDiscreteScheduler": _by_noise("heun", beta_start=0.00085, beta_end=0.012),
    "KDPM2AncestralDiscreteScheduler": _by_noise("dpm2-ancestral", beta_start=0.00085, beta_end=0.012),
    "KDPM2DiscreteScheduler": _by_noise("dpm2", beta_start=0.00085, beta_end=0.012),
    "LCMScheduler": _lcm,
    "LMSDiscreteScheduler": _by_noise("lms"),
    "PNDMScheduler": _pndm,
    "ScoreSdeVeScheduler": _sde_ve,
    "UniPCMultistepScheduler": _unipc,
}


def _discrete(
    fields: Fields,
    sampler: Tree,
    spacing: Tree | None = None,
    clip: Any = None,
    *,
    family: str = "linear",
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
) -> Tree:
    """A model with a table of betas."""
    return {
        "schedule": _schedule(fields, family, beta_start, beta_end),
        "parameterization": {"name": _prediction(fields)},
        "sampler": sampler,
        "sampling": {"steps": _STEPS, "spacing": spacing, "clip": clip},
    }


def _solver(fields: Fields, sampler: Tree, end: str = "clean") -> Tree:
    """The multistep solvers: one point more, without the last; also on straight paths."""
    if fields.get("final_sigmas_type", str, "zero") == "sigma_min":
        end = "first"
    if fields.get("use_flow_sigmas", bool, False):
        total = fields.get("num_train_timesteps", int, 1000)
        fields.remarks.append(f"use_flow_sigmas: walks start at pure noise, a time 1/{total} above where they do there")
        return {
            "schedule": {"name": "flow", "shift": fields.get("flow_shift", float, 1.0)},
            "parameterization": {"name": _prediction(fields), "time_scale": float(total)},
            "sampler": sampler,
            "sampling": {"steps": _STEPS, "spacing": {"name": "trailing", "end": end}, "clip": _clip(fields)},
        }
    if math.isfinite(fields.get("lambda_min_clipped", float, -math.inf)):
        fields.remarks.append("lambda_min_clipped is not taken over: walks start at the last trained step")
    spacing = _levels(fields, end)
    if spacing is not None:
        fields.remarks.append(f"{spacing['name']}: the network is told the exact time of each level, not a rounded one")
    else:
        spacing = _spacing(fields, "linspace", end=end, skip_last=True)
    return _discrete(fields, sampler, spacing, _clip(fields))


def _schedule(fields: Fields, family: str, beta_start: float, beta_end: float) -> Tree:
    zero: Tree = {"zero_terminal_snr": True} if fields.get("rescale_betas_zero_snr", bool, False) else {}
    if betas := fields.get("trained_betas", tuple[float, ...], ()):
        if zero:
            raise CheckpointError("rescale_betas_zero_snr on trained_betas has no counterpart here")
        return {"name": "table", "alphas_cumprod": list(accumulate((1 - beta for beta in betas), mul))}
    family = fields.get("beta_schedule", str, family)
    steps = fields.get("num_train_timesteps", int, 1000)
    if family in _BY_ALPHA_BAR:
        return {"name": _BY_ALPHA_BAR[family], "steps": steps, **zero}
    return {
        "name": _word(_FAMILIES, "beta_schedule", family),
        "steps": steps,
        "beta_start": fields.get("beta_start", float, beta_start),
        "beta_end": fields.get("beta_end", float, beta_end),
        **zero,
    }


def _spacing(fields: Fields, usual: str, *, end: str = "clean", skip_last: bool = False, rounded: bool = True) -> Tree:
    name = fields.get("timestep_spacing", str, usual)
    if name not in ("leading", "linspace", "trailing"):
        raise CheckpointError(f"timestep_spacing {name!r}: leading, linspace and trailing are known")
    spacing: Tree = {"name": name, "end": end}
    if name == "leading":
        spacing["offset"] = fields.get("steps_offset", int, 0)
    if name == "linspace" and not rounded:
        spacing["rounded"] = False
    if skip_last and name != "trailing":
        spacing["skip_last"] = True
    return spacing


def _levels(fields: Fields, end: str) -> Tree | None:
    """A spacing in noise instead of time, where one is switched on."""
    names = {
        "use_karras_sigmas": "karras",
        "use_exponential_sigmas": "log-snr",
        "use_lu_lambdas": "log-snr",
        "use_beta_sigmas": "beta",
    }
    for field, name in names.items():
        if fields.get(field, bool, False):
            return {"name": name, "end": end}
    return None


def _clip(fields: Fields, *, default: bool = False, recompute_eps: bool = True) -> Any:
    if fields.get("thresholding", bool, False):
        return {
            "name": "threshold",
            "quantile": fields.get("dynamic_thresholding_ratio", float, 0.995),
            "max_value": fields.get("sample_max_value", float, 1.0),
            "recompute_eps": recompute_eps,
        }
    if not fields.get("clip_sample", bool, default):
        return None
    bound = fields.get("clip_sample_range", float, 1.0)
    return {"name": "clip", "low": -bound, "high": bound, "recompute_eps": recompute_eps}


def _prediction(fields: Fields) -> str:
    return _word(_PREDICTIONS, "prediction_type", fields.get("prediction_type", str, "epsilon"))


def _lowered(fields: Fields) -> bool:
    return fields.get("lower_order_final", bool, True) and _STEPS < _SHORT


def _sigmas(fields: Fields, low: float, high: float) -> Tree:
    return {"sigma_min": fields.get("sigma_min", float, low), "sigma_max": fields.get("sigma_max", float, high)}


def _shifted(t: float, shift: float) -> float:
    return shift * t / (1 + (shift - 1) * t)


def _word(words: dict[str, str], field: str, value: str) -> str:
    """Our word for theirs."""
    if value not in words:
        raise CheckpointError(f"{field} {value!r} has no counterpart here; known: {', '.join(words)}")
    return words[value]


def _warn_of_strides(fields: Fields, spacing: Tree) -> None:
    if spacing["name"] == "linspace":
        fields.remarks.append(
            "timestep_spacing linspace: diffusers takes the next time to be T // N below, here it is the next one"
        )
