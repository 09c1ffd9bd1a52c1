"""Runs of the code that came with the papers: ermongroup/ddim, luping-liu/PNDM, diff-svc, guided-diffusion, UniPC."""

from __future__ import annotations

from typing import Any

import torch
from golden_cases import Case, Recipe, shares
from torch import Tensor

from zoo.core.bound import Guidance
from zoo.core.grid import GridPoint
from zoo.core.parameterization import Prediction


def _ermongroup(case: Case) -> Recipe:
    args = case.args
    spacing = {"uniform": {"name": "leading", "whole": True}, "quad": {"name": "quadratic"}}[args["skip_type"]]
    walk = {"spacing": spacing, "steps": args["timesteps"]}
    if args["fn"] == "generalized_steps":
        return Recipe({"name": "ddim", "eta": args["eta"]}, walk)
    return Recipe({"name": "ddpm", "variance": "fixed-large"}, walk, guidance=("clip",))


def _luping_liu(case: Case) -> Recipe:
    args = case.args
    samplers = {
        "DDIM": "ddim",
        "F-PNDM": {"name": "pndm", "middle": "whole"},
        "S-PNDM": {"name": "pndm", "variant": "s"},
    }
    spacing = {"name": "leading", "whole": True}
    return Recipe(samplers[args["method"]], {"spacing": spacing, "steps": args["sample_speed"]})


def _diff_svc(case: Case) -> Recipe:
    k_step, interval = len(case.tensors["alphas_cumprod"]), case.args["interval"]
    spacing = {"name": "diff-svc", "k_step": k_step, "interval": interval}
    return Recipe("plms", {"spacing": spacing, "steps": k_step // interval})


def _unipc(case: Case) -> Recipe:
    solver, sample = case.args["solver"], case.args["sample"]
    predict = {"data_prediction": "x0", "noise_prediction": "eps"}[solver["algorithm_type"]]
    times = torch.linspace(1, sample["t_end"], sample["steps"] + 1, dtype=torch.float64).tolist()
    return Recipe(
        {"name": "unipc", "order": sample["order"], "variant": solver["variant"], "predict": predict},
        {"times": times},
        schedule="vp",
    )


def _guided(case: Case) -> Recipe:
    args = case.args
    steps = len(case.tensors["timestep_map"])
    sections = args["respacing"]
    spacing: dict[str, Any] = {"name": "leading"}
    if not sections.startswith("ddim"):
        spacing = {"name": "respaced", "sections": [int(count) for count in sections.split(",")]}
    walk: dict[str, Any] = {"spacing": spacing, "steps": steps}
    kind = args["sampler"].removesuffix("_classifier")
    sampler: dict[str, Any] = {"name": "ddim", "eta": 1.0 if kind == "ddim1" else 0.0}
    if kind == "p":
        sampler = {"name": "ddpm", "variance": args["var"].lower().replace("_", "-")}
    if kind == "reverse":
        walk = {"times": case.tensors["timestep_map"].tolist()}
    learned = args["var"].startswith("LEARNED")
    guidance: tuple[Any, ...] = ("clip",) if args["clip_denoised"] else ()
    if args["classifier"]:
        guidance = (*guidance, Classifier(case, scale=1.5, component=1, fold=kind != "p"))
    return Recipe(
        sampler,
        walk,
        parameterization={"name": "eps", "learned_variance": learned},
        variance={"LEARNED": "log", "LEARNED_RANGE": "range"}.get(args["var"]),
        guidance=guidance,
    )


class Classifier(Guidance):
    """scale grad log p(component | x_t) of the recorded mixture.

    Args:
        case: whose mixture.
        scale: of the gradient.
        component: the class.
        fold: put it into eps, as score-based rules want it; else leave it to ancestral sampling.
    """

    def __init__(self, case: Case, *, scale: float, component: int, fold: bool) -> None:
        self.case, self.scale, self.component, self.fold = case, scale, component, fold

    def __call__(self, denoise: Any, model: Any) -> Any:
        def guide(x_t: Tensor, at: GridPoint, /) -> Prediction:
            raw = denoise(x_t, at)
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                log_share = shares(self.case, x, at.alpha, at.sigma).log()[..., self.component]
                score = self.scale * torch.autograd.grad(log_share.sum(), x)[0]
            if not self.fold:
                return Prediction(lambda: raw.x_0, lambda: raw.eps, raw.var, score)
            eps = raw.eps - at.sigma * score
            return Prediction(lambda: (x_t - at.sigma * eps) / at.alpha, lambda: eps, raw.var)

        return guide


FAMILIES = {
    "ddim_": _ermongroup,
    "pndm_": _luping_liu,
    "diffsvc_plms": _diff_svc,
    "unipc_": _unipc,
    "guided_": _guided,
}
