"""Schedule, spacing, sampler and parameterization put together as a scheduler of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from registry import schedules
from registry.signature import parameters
from zoo.core.schedule import Schedule, TableSchedule
from zoo.exporters.errors import ExportError

Tree = dict[str, Any]

# those that every scheduler knows; others are written number by number
_BETAS = {"linear": "linear", "scaled-linear": "scaled_linear"}
_COSINE = "squaredcos_cap_v2"
_FROM_PURE_NOISE = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
_PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
_VARIANCES = {
    "fixed-small": "fixed_small",
    "fixed-large": "fixed_large",
    "learned-value": "learned",
    "learned-range": "learned_range",
}
_LEVELS = {"karras": "use_karras_sigmas", "log-snr": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
_LEVEL_DEFAULTS: dict[str, Tree] = {
    "karras": {"rho": 7.0},
    "log-snr": {"rho": 1.0},
    "beta": {"alpha": 0.6, "beta": 0.6},
}


def scheduler(schedule: Schedule, tree: Mapping[str, Any], remarks: list[str]) -> Tree:
    """The scheduler_config.json of a model.

    Args:
        schedule: of the model.
        tree: its config.
        remarks: gets what the file cannot say.

    Raises:
        ExportError: no scheduler of diffusers does the same.
    """
    sampler = dict(tree["sampler"])
    name = sampler.pop("name")
    if tree["sampling"]["guidance"]:
        remarks.append("guidance is the business of whoever samples there")
    if tree["schedule"]["name"] == "flow":
        return _flow(tree, name, sampler)
    if not isinstance(schedule, TableSchedule):
        raise ExportError(
            f"schedule {tree['schedule']['name']!r}: a scheduler of diffusers needs a table of trained times, or 'flow'"
        )
    if name not in _SAMPLERS:
        raise ExportError(f"sampler {name!r}: diffusers has no scheduler for it; exportable are {', '.join(_SAMPLERS)}")
    parameterization = tree["parameterization"]
    if parameterization["name"] not in _PREDICTIONS:
        raise ExportError(
            f"parameterization {parameterization['name']!r} on a table of trained times: diffusers reads "
            f"{', '.join(_PREDICTIONS)}"
        )
    if parameterization["learned_variance"] and not (name == "ddpm" and sampler["variance"].startswith("learned")):
        raise ExportError(
            "parameterization.learned_variance: of diffusers' schedulers DDPMScheduler alone takes such a network: "
            "export with the sampler ddpm and its variance 'learned-range'"
        )
    config = _SAMPLERS[name](sampler, tree["sampling"], remarks)
    if tree["schedule"].get("zero_terminal_snr") and config["_class_name"] not in _FROM_PURE_NOISE:
        raise ExportError(f"schedule.zero_terminal_snr: {config['_class_name']} cannot start from pure noise")
    if name in ("plms", "pndm") and (sampler["history"] == "v") != (parameterization["name"] == "v"):
        raise ExportError("sampler.history: PNDMScheduler mixes v where the network predicts v, else eps")
    return config | {
        **_betas(schedule, tree["schedule"]),
        "prediction_type": _PREDICTIONS[parameterization["name"]],
        "num_train_timesteps": schedule.steps,
    }


def _betas(schedule: TableSchedule, spec: Tree) -> Tree:
    """A schedule by its name, or its betas one by one."""
    zero = {"rescale_betas_zero_snr": True} if spec.get("zero_terminal_snr") else {}
    if spec["name"] in _BETAS:
        ends = {"beta_start": spec["beta_start"], "beta_end": spec["beta_end"]}
        return {"beta_schedule": _BETAS[spec["name"]], **ends, **zero}
    own = {"name", "steps", "interpolation", "zero_terminal_snr"}
    usual = {name: one.default for name, one in parameters(schedules.get(spec["name"])).items()}
    if spec["name"] == "cosine" and all(spec[name] == usual[name] for name in set(usual) - own):
        return {"beta_schedule": _COSINE, **zero}
    if zero:
        raise ExportError(
            f"schedule.zero_terminal_snr: of {spec['name']!r} diffusers has no table that ends in pure noise"
        )
    kept = schedule.alpha_bar[1:] / schedule.alpha_bar[:-1]
    return {"trained_betas": [1 - float(schedule.alpha_bar[0]), *(1 - kept).tolist()]}


def _ddpm(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    if sampler["variance"] not in _VARIANCES:
        raise ExportError(f"sampler.variance {sampler['variance']!r}: diffusers knows {', '.join(_VARIANCES)}")
    return {
        "_class_name": "DDPMScheduler",
        "variance_type": _VARIANCES[sampler["variance"]],
        **_walk(sampling, "DDPMScheduler", ends=("clean",)),
        **_bounds(sampling["clip"]),
    }


def _ddim(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    if sampler["eta"]:
        remarks.append(f"pass eta={sampler['eta']:g} to the pipeline: its scheduler does not hold it")
    bounds = _bounds(sampling["clip"])
    if sampling["clip"] and _recomputed(sampling["clip"]):
        remarks.append("pass use_clipped_model_output=True to the pipeline: x_0 is clipped and eps follows it here")
    return {
        "_class_name": "DDIMScheduler",
        "set_alpha_to_one": sampling["spacing"].get("end") != "first",
        **_walk(sampling, "DDIMScheduler", known=("leading", "trailing")),
        **bounds,
    }


def _pndm(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    if sampler.get("variant", "f") != "f" or sampler.get("middle", "diffusers") != "diffusers":
        raise ExportError("sampler 'pndm': PNDMScheduler is variant 'f' with middle 'diffusers'")
    _unbounded(sampling, "PNDMScheduler")
    return {
        "_class_name": "PNDMScheduler",
        "skip_prk_steps": "middle" not in sampler,
        "set_alpha_to_one": sampling["spacing"].get("end") != "first",
        **_walk(sampling, "PNDMScheduler", known=("leading", "trailing")),
    }


def _dpmpp_2m(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    if sampler["eta"] not in (0, 1):
        raise ExportError(f"sampler.eta {sampler['eta']:g}: diffusers has 0 and 1")
    return {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "sde-dpmsolver++" if sampler["eta"] else "dpmsolver++",
        "solver_order": 2,
        "solver_type": sampler["solver"],
        "lower_order_final": False,
        "euler_at_final": sampler["lower_order_final"],
        **_solver_walk(sampling, "DPMSolverMultistepScheduler"),
    }


def _dpm_multistep(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    if sampler["lower_order_final"] and sampling["steps"] >= 15:
        remarks.append("DPMSolverMultistepScheduler lowers its order toward the end in walks below 15 steps alone")
    return {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "dpmsolver++" if sampler["predict"] == "x0" else "dpmsolver",
        "solver_order": sampler["order"],
        "solver_type": sampler["solver"],
        "lower_order_final": sampler["lower_order_final"],
        **_solver_walk(sampling, "DPMSolverMultistepScheduler"),
    }


def _unipc(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
    return {
        "_class_name": "UniPCMultistepScheduler",
        "solver_order": sampler["order"],
        "solver_type": sampler["variant"],
        "predict_x0": sampler["predict"] == "x0",
        "lower_order_final": sampler["lower_order_final"],
        "disable_corrector": [] if sampler["corrector"] else list(range(1000)),
        **_solver_walk(sampling, "UniPCMultistepScheduler"),
    }


def _by_noise(kind: str, **only: Any) -> Callable[[Tree, Tree, list[str]], Tree]:
    """The classes that come from k-diffusion, for one setting of our samplers."""

    def write(sampler: Tree, sampling: Tree, remarks: list[str]) -> Tree:
        for key, value in only.items():
            if sampler[key] != value:
                raise ExportError(f"sampler.{key}: {kind} is {key} = {value:g}, got {sampler[key]:g}")
        if sampler.get("s_churn"):
            remarks.append(f"pass s_churn={sampler['s_churn']:g} to the steps: {kind} does not hold it")
        _unbounded(sampling, kind)
        walk = _walk(sampling, kind, ends=("clean",), levels=not kind.endswith("AncestralDiscreteScheduler"))
        return {"_class_name": kind, **walk}

    return write


_SAMPLERS: dict[str, Callable[[Tree, Tree, list[str]], Tree]] = {
    "ddim": _ddim,
    "ddpm": _ddpm,
    "dpm-multistep": _dpm_multistep,
    "dpm2": _by_noise("KDPM2DiscreteScheduler", ratio=0.5),
    "dpmpp-2m": _dpmpp_2m,
    "euler": _by_noise("EulerDiscreteScheduler"),
    "euler-ancestral": _by_noise("EulerAncestralDiscreteScheduler", eta=1.0, s_noise=1.0),
    "heun": _by_noise("HeunDiscreteScheduler", alpha=1.0, s_churn=0.0),
    "lms": _by_noise("LMSDiscreteScheduler", order=4),
    "plms": _pndm,
    "pndm": _pndm,
    "unipc": _unipc,
}


def _flow(tree: Mapping[str, Any], name: str, sampler: Tree) -> Tree:
    """A straight path walked by Euler's rule."""
    parameterization = tree["parameterization"]
    if parameterization["name"] != "flow" or parameterization["toward"] != "noise":
        raise ExportError("parameterization: on a straight path diffusers reads 'flow' toward 'noise' alone")
    total = parameterization["time_scale"]
    if total != int(total) or total < 2:
        raise ExportError(f"parameterization.time_scale {total:g}: diffusers counts whole trained times, such as 1000")
    if name != "ddim" and not (name == "flow-rk" and sampler["method"] == "euler"):
        raise ExportError(
            f"sampler {name!r}: on a straight path FlowMatchEulerDiscreteScheduler is flow-rk with 'euler'"
        )
    shift = tree["schedule"]["shift"]
    if tree["schedule"].get("tokens") is not None:
        raise ExportError(
            "schedule.tokens: diffusers computes such a shift in its pipelines, and has none for this network"
        )
    last = shift / total / (1 + (shift - 1) / total)
    spacing = tree["sampling"]["spacing"]
    if spacing["name"] != "linspace" or abs((spacing["last"] or 0) - last) > 1e-9:
        raise ExportError(f"sampling.spacing: diffusers walks {{name: linspace, last: {last:g}}}: take that")
    _unbounded(tree["sampling"], "FlowMatchEulerDiscreteScheduler")
    return {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": shift, "num_train_timesteps": int(total)}


def _walk(
    sampling: Tree,
    kind: str,
    *,
    known: tuple[str, ...] = ("leading", "linspace", "trailing"),
    ends: tuple[str, ...] = ("clean", "first"),
    levels: bool = False,
) -> Tree:
    """The times of a walk."""
    spacing = dict(sampling["spacing"])
    name = spacing.pop("name")
    end = spacing.pop("end", "clean")
    if end not in ends:
        raise ExportError(f"sampling.spacing.end {end!r}: {kind} ends at {' or '.join(ends)}")
    if levels and name in _LEVELS:
        usual = _LEVEL_DEFAULTS[name]
        if {key: value for key, value in spacing.items() if value is not None} != usual:
            raise ExportError(f"sampling.spacing: {kind} has {name!r} with {usual} alone")
        return {_LEVELS[name]: True}
    if name not in known:
        raise ExportError(f"sampling.spacing {name!r}: {kind} does the same for {', '.join(known)}")
    fractional = kind.endswith("DiscreteScheduler")
    allowed: dict[str, Tree] = {
        "leading": {"whole": False, "skip_last": False},
        "linspace": {"rounded": not fractional, "skip_last": False, "last": None},
        "trailing": {"last": None},
    }
    offset = spacing.pop("offset", 0)
    for key, value in allowed[name].items():
        if spacing.get(key, value) != value:
            raise ExportError(f"sampling.spacing.{key}: {kind} has {value} there, got {spacing[key]}")
    return {"timestep_spacing": name, "steps_offset": offset} if name == "leading" else {"timestep_spacing": name}


def _solver_walk(sampling: Tree, kind: str) -> Tree:
    """The times of the multistep solvers, which leave out the last of N + 1."""
    spacing = dict(sampling["spacing"])
    if spacing["name"] in ("leading", "linspace"):
        if not spacing["skip_last"]:
            raise ExportError(f"sampling.spacing.skip_last: {kind} has true there; or take the spacing 'trailing'")
        spacing["skip_last"] = False
    final = "sigma_min" if spacing.get("end") == "first" else "zero"
    clip = sampling["clip"]
    if clip and not (isinstance(clip, dict) and clip["name"] == "threshold"):
        raise ExportError(f"sampling.clip: {kind} clips nothing; set it to false")
    return {**_walk({**sampling, "spacing": spacing}, kind, levels=True), "final_sigmas_type": final, **_bounds(clip)}


def _bounds(clip: Any) -> Tree:
    """clip_sample, or thresholding."""
    if not clip:
        return {"clip_sample": False}
    if isinstance(clip, dict) and clip["name"] == "threshold":
        return {
            "thresholding": True,
            "dynamic_thresholding_ratio": clip["quantile"],
            "sample_max_value": clip["max_value"],
        }
    low, high = (clip["low"], clip["high"]) if isinstance(clip, dict) else (-1.0, 1.0)
    if not isinstance(clip, bool | dict):
        low, high = (-clip, clip) if isinstance(clip, int | float) else clip
    if low != -high:
        raise ExportError(f"sampling.clip: diffusers clips to [-c, c] alone, not to [{low:g}, {high:g}]")
    return {"clip_sample": True, "clip_sample_range": high}


def _recomputed(clip: Any) -> bool:
    """Whether eps follows the bounded x_0, as it does unless a clip says otherwise."""
    return not isinstance(clip, dict) or bool(clip["recompute_eps"])


def _unbounded(sampling: Tree, kind: str) -> None:
    if sampling["clip"]:
        raise ExportError(f"sampling.clip: {kind} clips nothing; set it to false")
