"""Runs of diffusers' schedulers."""

from __future__ import annotations

from typing import Any

import torch
from golden_cases import TOLERANCE, Case, Recipe

import registry
from zoo.core.bound import Guidance
from zoo.core.grid import Grid, GridPoint
from zoo.core.parameterization import Prediction

_PREDICTION = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
_DDPM_VARIANCE = {
    "fixed_small": "fixed-small",
    "fixed_small_log": "fixed-small",
    "fixed_large": "fixed-large",
    "learned": "learned-value",
    "learned_range": "learned-range",
}


def _diffusers_walk(case: Case, end: str) -> dict[str, Any]:
    config = case.args["config"]
    name = config.get("timestep_spacing", "leading")
    spacing = {"name": name, "end": end}
    if offset := config.get("steps_offset"):
        spacing["offset"] = offset
    return {"spacing": spacing, "steps": case.args["steps"]}


def _diffusers_parameterization(case: Case) -> dict[str, Any]:
    return {"name": _PREDICTION[case.args["config"].get("prediction_type", "epsilon")]}


def _diffusers_ddpm(case: Case) -> Recipe:
    config = case.args["config"]
    variance = config.get("variance_type", "fixed_small")
    guidance: tuple[Any, ...] = ()
    if config.get("thresholding"):
        quantile, most = config["dynamic_thresholding_ratio"], config["sample_max_value"]
        guidance = ({"name": "threshold", "quantile": quantile, "max_value": most},)
    elif config.get("clip_sample", True):
        guidance = ("clip",)
    parameterization = _diffusers_parameterization(case)
    if variance.startswith("learned"):
        parameterization["learned_variance"] = True
    # A trailing grid ends above t = 0: there the reference, unlike us, still adds noise of variance 1e-20
    trailing = config.get("timestep_spacing") == "trailing"
    return Recipe(
        {"name": "ddpm", "variance": _DDPM_VARIANCE[variance]},
        _diffusers_walk(case, "clean"),
        parameterization=parameterization,
        variance={"learned": "value", "learned_range": "range"}.get(variance),
        guidance=guidance,
        tolerance=1e-9 if trailing else TOLERANCE,
    )


def _diffusers_ddim(case: Case) -> Recipe:
    config, options = case.args["config"], case.args["step_kwargs"]
    if case.args["cls"] == "DDIMInverseScheduler":
        return Recipe("ddim", {"times": _labelled_late(case)})
    recompute = options.get("use_clipped_model_output", False)
    return Recipe(
        {"name": "ddim", "eta": options.get("eta", 0.0)},
        _diffusers_walk(case, "clean" if config.get("set_alpha_to_one", True) else "first"),
        parameterization=_diffusers_parameterization(case),
        guidance=({"name": "clip", "recompute_eps": recompute},) if config.get("clip_sample", True) else (),
    )


def _labelled_late(case: Case) -> Grid:
    """Rising rows whose network label is the time the step goes to, not the one it comes from."""
    alpha_bar = case.tensors["alphas_cumprod"]
    labels = case.tensors["timesteps"].long()
    now = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[labels]])
    scales = zip(now.sqrt().tolist(), (1 - now).sqrt().tolist(), strict=True)
    times = [*labels.tolist(), len(alpha_bar)]
    return Grid(tuple(GridPoint(float(t), *pair) for t, pair in zip(times, scales, strict=True)))


def _diffusers_pndm(case: Case) -> Recipe:
    config = case.args["config"]
    parameterization = _diffusers_parameterization(case)
    history = "v" if parameterization["name"] == "v" else "eps"
    plms = {"name": "plms", "history": history}
    runge_kutta = {"name": "pndm", "middle": "diffusers", "history": history}
    return Recipe(
        plms if config.get("skip_prk_steps") else runge_kutta,
        _diffusers_walk(case, "clean" if config.get("set_alpha_to_one") else "first"),
        parameterization=parameterization,
    )


def _diffusers_unipc(case: Case) -> Recipe:
    config = case.args["config"]
    sampler = {
        "name": "unipc",
        "order": config.get("solver_order", 2),
        "variant": config.get("solver_type", "bh2"),
        "predict": "x0" if config.get("predict_x0", True) else "eps",
        "corrector": "disable_corrector" not in config,
    }
    if config.get("use_flow_sigmas") or config.get("use_karras_sigmas"):
        walk: dict[str, Any] = {"times": _labelled_by_rounding(case)}
    else:
        end = "first" if config.get("final_sigmas_type") == "sigma_min" else "clean"
        walk = {"spacing": {"name": "linspace", "skip_last": True, "end": end}, "steps": case.args["steps"]}
    return Recipe(sampler, walk, parameterization=_diffusers_parameterization(case))


def _labelled_by_rounding(case: Case) -> Grid:
    """Rows at the reference's own noise levels, which the network is told only to the next whole time."""
    sigmas = case.tensors["sigmas"]
    if case.args["config"].get("use_flow_sigmas"):
        alpha, sigma = 1 - sigmas, sigmas
    else:
        alpha = (1 + sigmas**2) ** -0.5
        sigma = alpha * sigmas
    times = [*case.tensors["timesteps"].tolist(), -1.0]
    rows = zip(times, alpha.tolist(), sigma.tolist(), strict=True)
    return Grid(tuple(GridPoint(*row) for row in rows))


def _lowered(case: Case) -> bool:
    """Whether the orders fall toward the end: only in short walks."""
    return case.args["config"].get("lower_order_final", True) and case.args["steps"] < 15


def _diffusers_dpmpp_2m(case: Case) -> Recipe:
    config = case.args["config"]
    sampler = {
        "name": "dpmpp-2m",
        "solver": config.get("solver_type", "midpoint"),
        "eta": 1.0 if config.get("algorithm_type", "").startswith("sde") else 0.0,
        "lower_order_final": _lowered(case) or config.get("euler_at_final", False),
    }
    # the grid is given row by row; under zero terminal SNR the reference's own table does not even fall to its end
    walk = {"times": _labelled_by_rounding(case)}
    return Recipe(sampler, walk, schedule="linear", parameterization=_diffusers_parameterization(case))


def _diffusers_multistep(case: Case) -> Recipe:
    config = case.args["config"]
    sampler = {
        "name": "dpm-multistep",
        "order": config.get("solver_order", 2),
        "predict": "eps" if config.get("algorithm_type") == "dpmsolver" else "x0",
        "solver": config.get("solver_type", "midpoint"),
        "lower_order_final": _lowered(case),
    }
    walk = {"times": _labelled_by_rounding(case)}
    return Recipe(sampler, walk, parameterization=_diffusers_parameterization(case))


def _diffusers_singlestep(case: Case) -> Recipe:
    config = case.args["config"]
    solver = config.get("solver_type", "midpoint")
    sampler = {
        "name": "dpm-fast",
        "order": config.get("solver_order", 2),
        "predict": "eps" if config.get("algorithm_type") == "dpmsolver" else "x0",
        "solver": solver,
        "inner": solver,
        "lower_order_final": config.get("lower_order_final", True),
    }
    walk = {"times": _labelled_by_rounding(case)}
    return Recipe(sampler, walk, parameterization=_diffusers_parameterization(case))


def _diffusers_deis(case: Case) -> Recipe:
    order = case.args["config"].get("solver_order", 2)
    sampler = {"name": "deis", "order": order, "variable": "log-rho", "lower_order_final": _lowered(case)}
    walk = {"times": _labelled_by_rounding(case)}
    return Recipe(sampler, walk, parameterization=_diffusers_parameterization(case))


def _diffusers_sigmas(case: Case) -> Recipe:
    """Euler, Heun, DPM2 and LMS: the state is x / alpha, the rows are noise levels."""
    name, config = case.args["cls"], case.args["config"]
    levels, labels = case.tensors["sigmas"], case.tensors["timesteps"]
    if len(levels) == len(labels) + 2:  # log-linear interpolation stops at the last level but one
        levels = levels[:-1]
    every = 2 if name in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler") else 1
    steps = case.args["steps"]
    if every == 2:  # every inner row is listed twice
        levels = levels[[0, *range(1, 2 * steps, 2)]]
        starts = [0, *range(1, 2 * steps - 1, 2)] if name.startswith("Heun") else range(0, 2 * steps - 1, 2)
        labels = labels[list(starts)]
    alpha = (1 + levels**2) ** -0.5
    rows = zip([*labels.tolist(), -1.0], alpha.tolist(), (alpha * levels).tolist(), strict=True)
    table = registry.schedules.build({"name": "table", "alphas_cumprod": case.tensors["alphas_cumprod"].tolist()})
    sampler = {
        "EulerDiscreteScheduler": _diffusers_euler(case),
        "HeunDiscreteScheduler": {"name": "heun"},
        "KDPM2DiscreteScheduler": {"name": "dpm2"},
        "LMSDiscreteScheduler": {"name": "lms"},
    }[name]
    return Recipe(
        sampler,
        {"times": Grid(tuple(GridPoint(*row) for row in rows), table)},
        parameterization={"name": _PREDICTION[config.get("prediction_type", "epsilon")]},
        start=case.tensors["x_start"] * alpha[0],
        ve=True,
        every=every,
    )


def _diffusers_edm(case: Case) -> Recipe:
    sampler: dict[str, Any] = _diffusers_euler(case)
    if case.args["cls"] == "EDMDPMSolverMultistepScheduler":
        order = case.args["config"].get("solver_order", 2)
        sampler = {"name": "dpm-multistep", "order": order, "predict": "x0", "lower_order_final": _lowered(case)}
    rows = [GridPoint(level, 1.0, level) for level in case.noise_levels]
    return Recipe(sampler, {"times": Grid(tuple(rows))}, schedule="edm", parameterization={"name": "edm"})


def _diffusers_euler(case: Case) -> dict[str, Any]:
    """With churn, which these classes add after they asked the network."""
    options = {key: value for key, value in case.args["step_kwargs"].items() if key.startswith("s_")}
    return {"name": "euler", **options, "ask_first": bool(options)}


def _diffusers_flow(case: Case) -> Recipe:
    """The grid is taken as it was recorded, with whatever shift it carries."""
    heun = case.args["cls"] == "FlowMatchHeunDiscreteScheduler"
    levels, labels = case.tensors["sigmas"], case.tensors["timesteps"]
    if heun:  # every inner row is listed twice
        steps = case.args["steps"]
        levels, labels = levels[[0, *range(1, 2 * steps, 2)]], labels[[0, *range(1, 2 * steps - 1, 2)]]
    rows = zip([*labels.tolist(), 0.0], (1 - levels).tolist(), levels.tolist(), strict=True)
    sampler = {"name": "flow-rk", "method": "heun" if heun else "euler", "last": "euler"}
    return Recipe(
        sampler,
        {"times": Grid(tuple(GridPoint(*row) for row in rows))},
        schedule="flow",
        parameterization={"name": "flow"},
        every=2 if heun else 1,
    )


def _diffusers_ipndm(case: Case) -> Recipe:
    """Its own path: sigma = sin^2(pi u / 2), alpha^2 = 1 - sigma^2, u from 1 down to 0.

    The class takes the output for v; the recorded network gives eps all the same.
    """
    u = torch.linspace(1, 0, case.args["steps"] + 1, dtype=torch.float64)
    sigma = torch.sin(u * torch.pi / 2) ** 2
    alpha = (1 - sigma**2).sqrt()
    labels = [*case.tensors["timesteps"].tolist(), 0.0]
    rows = zip(labels, alpha.tolist(), sigma.tolist(), strict=True)
    return Recipe(
        "ipndm",
        {"times": Grid(tuple(GridPoint(*row) for row in rows))},
        schedule="linear",
        parameterization={"name": "v"},
        predicts="eps",
        guidance=(NoDataYet(),),
    )


class NoDataYet(Guidance):
    """x_0 = 0 at pure noise: the reference divides x - eps, which is 0 there, by alpha raised to 1e-8."""

    def __call__(self, denoise: Any, model: Any) -> Any:
        def guide(x_t: torch.Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            if at.alpha:
                return raw
            return Prediction(lambda: torch.zeros_like(x_t), lambda: raw.eps)

        return guide


FAMILIES = {
    "diffusers_ddpm_": _diffusers_ddpm,
    "diffusers_ddim_": _diffusers_ddim,
    "diffusers_pndm_": _diffusers_pndm,
    "diffusers_dpmpp_1m": _diffusers_multistep,
    "diffusers_dpmpp_2m_": _diffusers_dpmpp_2m,
    "diffusers_dpmpp_3m": _diffusers_multistep,
    "diffusers_dpmpp_2s": _diffusers_singlestep,
    "diffusers_dpmpp_3s": _diffusers_singlestep,
    "diffusers_dpm_": _diffusers_multistep,
    "diffusers_sde_dpmpp_2m": _diffusers_dpmpp_2m,
    "diffusers_unipc_": _diffusers_unipc,
    "diffusers_deis_": _diffusers_deis,
    "diffusers_euler_": _diffusers_sigmas,
    "diffusers_heun_": _diffusers_sigmas,
    "diffusers_kdpm2_": _diffusers_sigmas,
    "diffusers_lms_": _diffusers_sigmas,
    "diffusers_edm_": _diffusers_edm,
    "diffusers_flow_": _diffusers_flow,
    "diffusers_ipndm": _diffusers_ipndm,
}
