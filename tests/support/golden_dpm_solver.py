"""Runs of LuChengTHU/dpm-solver."""

from __future__ import annotations

from typing import Any

import torch
from golden_cases import ADAPTIVE, TOLERANCE, Case, Recipe

import registry
from zoo.core.grid import make_grid


def _dpm_solver(case: Case) -> Recipe:
    solver, sample = case.args["solver"], case.args["sample"]
    options: dict[str, Any] = {"predict": "x0" if solver["algorithm_type"].endswith("++") else "eps"}
    labels = torch.cat([case.tensors["nfe.t"], torch.tensor([sample["t_end"]], dtype=torch.float64)])
    schedule = registry.schedules.build("vp")
    if case.args["schedule"] == "discrete":
        # the i-th entry of the table, counted from 1, lies at i / 1000 of the reference's time
        table = {"name": "table", "alphas_cumprod": case.tensors["alphas_cumprod"].tolist()}
        schedule = registry.schedules.build({**table, "interpolation": "log-alpha"})
        labels = len(case.tensors["alphas_cumprod"]) * labels - 1
    order, method, times = sample["order"], sample["method"], labels.tolist()
    if sample.get("denoise_to_zero"):
        times.pop()
    if method == "adaptive":
        tolerances = {"atol": sample["atol"], "rtol": sample["rtol"]}
        options = {"name": "dpm-adaptive", "order": order, "together": "worst", "control": "paper", **tolerances}
        times = [times[0], times[-1]]
    elif method == "singlestep":
        # order 2 lowers its last step only where the budget is odd
        options |= {"name": "dpm-fast", "order": order, "lower_order_final": order == 3}
    else:
        lowered = sample.get("lower_order_final", True) and sample["steps"] < 10
        options |= {"name": "dpm-multistep", "order": order, "lower_order_final": lowered}
    if method != "adaptive":
        options["solver"] = {"dpmsolver": "midpoint", "taylor": "heun"}[sample.get("solver_type", "dpmsolver")]
    return Recipe(
        options,
        {"times": make_grid(schedule, times)},
        schedule=schedule,
        labels=labels[: len(case.tensors["nfe.t"])],
        repeats=method == "adaptive",
        tolerance=ADAPTIVE if method == "adaptive" else TOLERANCE,
        denoise=sample.get("denoise_to_zero", False),
    )


FAMILIES = {"dpm_": _dpm_solver}
