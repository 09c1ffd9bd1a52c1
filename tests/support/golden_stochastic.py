"""The recorded runs of stochastic samplers, and the settings of ours that repeat them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from golden_cases import Case, Family, Recipe, draws_where

import registry
from zoo.core.grid import Grid, GridPoint


def _ve(case: Case) -> dict[str, Any]:
    return {"times": _on_edm(case.tensors["sigmas"].tolist())}


def _on_edm(levels: list[float]) -> Grid:
    return Grid(tuple(GridPoint(level, 1.0, level) for level in levels), registry.schedules.build("edm"))


def _vp(case: Case) -> dict[str, Any]:
    """Rows at the reference's own noise levels, the network told its own times."""
    alpha = (1 + case.tensors["sigmas"] ** 2) ** -0.5
    times = [*case.tensors["timesteps"].tolist(), -1.0]
    rows = zip(times, alpha.tolist(), (alpha * case.tensors["sigmas"]).tolist(), strict=True)
    return {"times": Grid(tuple(GridPoint(*row) for row in rows))}


def _k_diffusion(sampler: dict[str, Any], *options: str) -> Callable[[Case], Recipe]:
    def translate(case: Case) -> Recipe:
        given = {name: case.args["kwargs"][name] for name in options if name in case.args["kwargs"]}
        return Recipe({**sampler, **given}, _ve(case), schedule="edm", parameterization={"name": "x0"})

    return translate


def _diffusers_ancestral(case: Case) -> Recipe:
    times = case.tensors["timesteps"].tolist()
    start = case.tensors["x_start"] / (1 + case.tensors["sigmas"][0] ** 2).sqrt()
    if case.args["cls"] == "EulerAncestralDiscreteScheduler":
        return Recipe("euler-ancestral", {"times": [*times, -1.0]}, start=start, ve=True)
    # every second row is a middle
    return Recipe("dpm2-ancestral", {"times": [times[0], *times[1::2], -1.0]}, start=start, ve=True, every=2)


def _diffusers_dpmpp(case: Case) -> Recipe:
    config = case.args["config"]
    order, steps = config.get("solver_order", 2), case.args["steps"]
    lower = config.get("lower_order_final", True)
    stochastic = config.get("algorithm_type", "dpmsolver++").startswith("sde")
    sampler: dict[str, Any] = {"name": "dpmpp-2m", "lower_order_final": lower}
    if order == 3:
        # the reference's third-order weights have a slip, with noise alone
        weights = "diffusers" if stochastic else "published"
        sampler = {"name": "dpmpp-3m", "lower_order_final": lower and steps < 15, "weights": weights}
    if order == 1:
        sampler = {"name": "ddim"}
    if config.get("algorithm_type") == "sde-dpmsolver":
        sampler = {"name": "dpm-2m-sde"}
    elif stochastic:
        sampler["eta"] = 1.0
    return Recipe(sampler, _vp(case), schedule="linear")


def _sa_solver(case: Case) -> Recipe:
    config = case.args["config"]
    sigmas = (1 / case.tensors["alphas_cumprod"] - 1).sqrt()
    times = case.tensors["timesteps"].tolist()
    noise = draws_where(case, [*times, -1.0], lambda t: 200 <= t <= 800)
    sampler = {
        "name": "sa-solver",
        "predictor_order": config.get("predictor_order", 2),
        "corrector_order": config.get("corrector_order", 2),
        "leading": True,
        # steps begin at just these times, and processors round a noise level otherwise
        "interval": [float(sigmas[200]) * (1 - 1e-9), float(sigmas[800]) * (1 + 1e-9)],
    }
    return Recipe(sampler, _vp(case), schedule="linear", noise=noise)


def _lcm(case: Case) -> Recipe:
    times = [*case.tensors["timesteps"].tolist(), -1.0]
    return Recipe({"name": "lcm", "timestep_scaling": 10.0}, {"times": times})


def _tcd(case: Case) -> Recipe:
    times = [*case.tensors["timesteps"].tolist(), 0.0]
    return Recipe(
        {"name": "tcd", "gamma": case.args["step_kwargs"].get("eta", 0.3), "lower": "whole"}, {"times": times}
    )


def _flow_stochastic(case: Case) -> Recipe:
    sigmas, times = case.tensors["sigmas"].tolist(), [*case.tensors["timesteps"].tolist(), 0.0]
    rows = [GridPoint(t, 1 - sigma, sigma) for t, sigma in zip(times, sigmas, strict=True)]
    return Recipe("lcm", {"times": Grid(tuple(rows))}, schedule="flow", parameterization={"name": "flow"})


def _restart(case: Case) -> Recipe:
    """The levels within an interval are float32 in the reference, which is what the tolerance makes room for."""
    levels = _karras(0.002, 80.0, case.args["num_steps"])
    intervals, used, drawn, inner = [], [], 0, []
    for points, repeats, low, high in json.loads(case.args["restart_info"]).values():
        nearest = min(range(len(levels)), key=lambda index, low=low: abs(levels[index] - low))
        intervals.append([levels[nearest], high, repeats, points - 1])
        inner += _karras(levels[nearest], high, points)
        # every step draws for a churn of zero, of the walk down to here and of the steps within
        drawn += nearest
        for _ in range(repeats):
            used.append(drawn)
            drawn += points
    exact = torch.tensor([*levels, *inner], dtype=torch.float64)
    return Recipe(
        {"name": "restart", "intervals": intervals, "s_noise": case.args["S_noise"]},
        {"times": _on_edm([*levels, 0.0])},
        schedule="edm",
        parameterization={"name": "x0"},
        start=case.tensors["x_start"] * levels[0],
        noise=case.tensors["noise"][used],
        labels=exact[(exact - case.tensors["nfe.t"][:, None]).abs().argmin(1)],
        tolerance=1e-6,
    )


def _karras(low: float, high: float, points: int) -> list[float]:
    top, end = high ** (1 / 7), low ** (1 / 7)
    return [(top + index / (points - 1) * (end - top)) ** 7 for index in range(points)]


def _azula(case: Case) -> Recipe:
    """On azula's path alpha_t = a^(t^2), sigma_t^2 = 1 - alpha_t^2 + 1e-6; its eta is a share of the variance."""
    alpha, sigma, t = (case.tensors[f"nfe.{name}"].tolist() for name in ("alpha", "sigma", "t"))
    rows = [GridPoint(*row) for row in zip(t, alpha, sigma, strict=True)]
    walk = {"times": Grid((*rows, GridPoint(0.0, 1.0, 1e-3)))}
    eta = case.args.get("eta", 1.0) ** 0.5
    return Recipe({"name": "euler-ancestral", "eta": eta}, walk, schedule="vp")


FAMILIES: dict[str, Family] = {
    "azula_vp_dd": _azula,
    "diffusers_dpmpp_3m": _diffusers_dpmpp,
    "diffusers_euler_a": _diffusers_ancestral,
    "diffusers_flow_euler_stoch": _flow_stochastic,
    "diffusers_kdpm2_a": _diffusers_ancestral,
    "diffusers_lcm": _lcm,
    "diffusers_sa_solver": _sa_solver,
    "diffusers_sde_": _diffusers_dpmpp,
    "diffusers_tcd": _tcd,
    "kd_dpm_2_ancestral_": _k_diffusion({"name": "dpm2-ancestral"}, "eta", "s_noise"),
    "kd_dpmpp_2s_ancestral_": _k_diffusion({"name": "dpmpp-2s-ancestral"}, "eta", "s_noise"),
    "kd_dpmpp_3m_sde_": _k_diffusion(
        {"name": "dpmpp-3m", "eta": 1.0, "solver": "heun", "lower_order_final": False}, "eta"
    ),
    "kd_dpmpp_sde_": _k_diffusion({"name": "dpmpp-sde"}, "eta", "s_noise", "r"),
    "kd_euler_ancestral_": _k_diffusion({"name": "euler-ancestral"}, "eta", "s_noise"),
    "restart_": _restart,
}
