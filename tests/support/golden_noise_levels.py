"""Runs of codes that walk noise levels with alpha = 1: k-diffusion, EDM, zju-pi/diff-sampler, azula, smalldiffusion."""

from __future__ import annotations

import math
from typing import Any

import torch
from golden_cases import ADAPTIVE, Case, Path1, Recipe, Scaled, draws_where, ve_rows

from zoo.core.grid import Grid, GridPoint, make_grid
from zoo.core.schedule import Schedule
from zoo.schedules.continuous import EDM, VP

_X0 = {"name": "x0"}


def _churned(case: Case, levels: list[float], options: dict[str, Any]) -> Any:
    """The draws of the steps that churn; None where there is no noise."""
    if not options.get("s_churn"):
        return None
    low, high = options.get("s_tmin", 0.0), options.get("s_tmax", math.inf)
    return draws_where(case, levels, lambda level: low <= level <= high)


def _k_diffusion(case: Case) -> Recipe:
    name = case.args["fn"].removeprefix("sample_").replace("_", "-")
    options = dict(case.args["kwargs"])
    if name == "dpm-adaptive":
        return _k_diffusion_adaptive(case, options)
    if name == "dpm-fast":
        levels = [*case.tensors["nfe.sigma"].tolist(), case.args["sigma_min"]]
        return Recipe(name, {"times": ve_rows(levels)}, schedule="edm", parameterization=_X0)
    levels = case.noise_levels
    noise = _churned(case, levels, options)
    sampler: dict[str, Any] = {"name": {"dpm-2": "dpm2"}.get(name, name), **options}
    if name == "dpmpp-2m-sde":
        solver, eta = options.get("solver_type", "midpoint"), options.get("eta", 1.0)
        sampler = {"name": "dpmpp-2m", "solver": solver, "eta": eta, "lower_order_final": False}
    elif name == "dpmpp-2m":
        sampler["lower_order_final"] = False
    grid = Grid(ve_rows(levels).points, EDM())
    # with churn the reference reports the state after the noise
    return Recipe(sampler, {"times": grid}, schedule="edm", parameterization=_X0, noise=noise, states=noise is None)


def _k_diffusion_adaptive(case: Case, options: dict[str, Any]) -> Recipe:
    sampler = {"name": "dpm-adaptive", "together": "mean", **options}
    ends = [case.args["sigma_max"], case.args["sigma_min"]]
    return Recipe(
        sampler,
        {"times": make_grid(EDM(), ends)},
        schedule="edm",
        parameterization=_X0,
        repeats=True,
        tolerance=ADAPTIVE,
    )


def _edm(case: Case) -> Recipe:
    args = case.args
    low, high, rho = args.get("sigma_min", 0.002), args.get("sigma_max", 80.0), args.get("rho", 7)
    u = torch.linspace(0, 1, args["num_steps"], dtype=torch.float64)
    levels = [*((high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))) ** rho).tolist(), 0.0]
    names = {"S_churn": "s_churn", "S_min": "s_tmin", "S_max": "s_tmax", "S_noise": "s_noise"}
    options = {ours: float(args[theirs]) for theirs, ours in names.items() if theirs in args}
    return Recipe(
        {"name": "heun", **options},
        {"times": Grid(ve_rows(levels).points, EDM())},
        schedule="edm",
        parameterization=_X0,
        start=case.tensors["x_start"] * levels[0],
        noise=_churned(case, levels, options),
    )


def _edm_ablation(case: Case) -> Recipe:
    """Heun's family in the time of the reference's schedule, which is the noise level itself for "linear"."""
    args = case.args
    heun = args["solver"] == "heun"
    levels = [*case.tensors["nfe.sigma"][:: 2 if heun else 1].tolist(), 0.0]
    start = case.tensors["x_start"] * levels[0]
    family = {"alpha": float(args["alpha"])} if heun else {}
    if args["schedule"] == "linear":
        sampler = {"name": args["solver"], **family}
        times = Grid(ve_rows(levels).points, EDM())
        return Recipe(sampler, {"times": times}, schedule="edm", parameterization=_X0, start=start)
    vp = VP()
    schedule: Schedule = Path1(torch.sqrt, torch.square)
    if args["schedule"] == "vp":
        schedule = vp if args["scaling"] == "vp" else Path1(lambda t: vp(t).nsr, vp.inverse)
    grid = make_grid(schedule, schedule.inverse(torch.tensor(levels, dtype=torch.float64)).tolist())
    return Recipe(
        {"name": "flow-rk", "method": args["solver"], "time": "own", **family},
        {"times": grid},
        schedule=schedule,
        # the network is shown x / alpha
        parameterization=Scaled(),
        start=start * grid[0].alpha,
        labels=schedule.inverse(case.tensors["nfe.sigma"]),
    )


def _zju(case: Case) -> Recipe:
    args = case.args
    name, levels = args["fn"].removesuffix("_sampler"), case.noise_levels
    start = case.tensors["x_start"] * levels[0]
    if name == "deis":
        return _zju_deis(case, levels)
    order = args.get("max_order")
    samplers: dict[str, Any] = {
        "ipndm": {"name": "ipndm", "order": order},
        "dpm_2": {"name": "dpm2"},
        "dpm_pp": {"name": "dpm-multistep", "order": order, "predict": "x0"},
        "unipc": {"name": "unipc", "order": order},
    }
    return Recipe(
        samplers[name],
        {"times": Grid(ve_rows(levels).points, EDM())},
        schedule="edm",
        parameterization=_X0,
        # the last two threshold every prediction of the data
        guidance=({"name": "threshold"},) if name in ("dpm_pp", "unipc") else (),
        start=start,
    )


def _zju_deis(case: Case, levels: list[float]) -> Recipe:
    """Polynomials in the time of the variance-preserving path whose noise at 1e-3 and 1 is 0.002 and 80."""
    variable = {"tab": "t", "rhoab": "rho"}[case.args.get("deis_mode", "tab")]
    low, high = (math.log(1 + level**2) for level in (0.002, 80.0))
    growth = 2 * (low / 1e-3 - high) / (1e-3 - 1)
    start = high - growth / 2
    schedule = Path1(
        lambda t: torch.expm1(growth * t**2 / 2 + start * t).sqrt(),
        lambda nsr: ((start**2 + 2 * growth * torch.log1p(nsr**2)).sqrt() - start) / growth,
    )
    times = schedule.inverse(torch.tensor(levels, dtype=torch.float64))
    return Recipe(
        {"name": "deis", "order": case.args["max_order"], "variable": variable},
        {"times": make_grid(schedule, times.tolist())},
        schedule=schedule,
        parameterization=_X0,
        start=case.tensors["x_start"] * levels[0],
        labels=times[:-1],
        # the reference integrates with a sum of 10000 rectangles
        tolerance=1e-3,
    )


def _azula(case: Case) -> Recipe:
    name = {"EulerSampler": "euler", "HeunSampler": "heun"}[case.args["cls"]]
    t = torch.linspace(1, 0, case.args["steps"] + 1, dtype=torch.float64)
    alpha, sigma = {
        "VPSchedule": lambda: (1e-3 ** (t**2), None),
        "CosineSchedule": lambda: (torch.cos(t * math.acos(1e-3)), None),
        "RectifiedSchedule": lambda: (1 - t * (1 - 1e-3), t + (1 - t) * 1e-3),
    }[case.args["schedule"]]()
    if sigma is None:
        sigma = (1 - alpha**2 + 1e-3**2).sqrt()
    rows = zip(t.tolist(), alpha.tolist(), sigma.tolist(), strict=True)
    return Recipe(name, {"times": Grid(tuple(GridPoint(*row) for row in rows))}, schedule="vp", parameterization=_X0)


def _smalldiffusion(case: Case) -> Recipe:
    return Recipe("euler", {"times": ve_rows(case.noise_levels)}, schedule="edm", parameterization=_X0)


FAMILIES = {
    "kd_": _k_diffusion,
    "edm_heun": _edm,
    "edm_ablation": _edm_ablation,
    "zju_": _zju,
    "azula_": _azula,
    "small_": _smalldiffusion,
}
