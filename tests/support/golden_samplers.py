"""Recorded runs of reference samplers, and the settings of ours that repeat them.

A case is one safetensors file: the exact posterior of a Gaussian mixture as the network, every call of it, every state,
and in the header what the reference was told. `recipe` translates those settings; `replay` runs ours through the public
functions alone and compares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

import zoo
from zoo.core.bound import Guidance
from zoo.core.grid import Grid, GridPoint
from zoo.core.parameterization import Prediction

# Everything is float64 on both sides; what differs is the order of sums: 1e-12 is reached nearly everywhere.
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Case:
    """One recorded run."""

    name: str
    tensors: dict[str, Tensor]
    args: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Case:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return cls(path.stem, tensors, json.loads(file.metadata()["args"]))


@dataclass(frozen=True)
class Recipe:
    """Our settings for a case.

    Args:
        sampler: as in a config.
        walk: spacing and steps, or times.
        schedule: None for the table in the file.
        parameterization: as in a config.
        variance: what the second half of the channels says, if there is one.
        guidance: applied in order.
        tolerance: of the states.
    """

    sampler: Any
    walk: dict[str, Any]
    schedule: Any = None
    parameterization: dict[str, Any] = field(default_factory=lambda: {"name": "eps"})
    variance: str | None = None
    guidance: tuple[Any, ...] = ()
    tolerance: float = TOLERANCE


def recipe(case: Case) -> Recipe | None:
    """Our settings for a case; None for another family, or for a slip that we do not repeat."""
    if case.name in SLIPS:
        return None
    for prefix, translate in FAMILIES.items():
        if case.name.startswith(prefix):
            return translate(case)
    return None


SLIPS = {
    # the previous time is taken to be t - T // N though the grid is not spaced so
    "diffusers_ddim_linspace",
    "diffusers_pndm_plms_linspace",
}

_PREDICTION = {"epsilon": "eps", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}
_DDPM_VARIANCE = {
    "fixed_small": "fixed-small",
    "fixed_small_log": "fixed-small",
    "fixed_large": "fixed-large",
    "learned": "learned-value",
    "learned_range": "learned-range",
}


def _ermongroup(case: Case) -> Recipe:
    args = case.args
    spacing = {"uniform": {"name": "leading", "whole": True}, "quad": {"name": "quadratic"}}[args["skip_type"]]
    walk = {"spacing": spacing, "steps": args["timesteps"]}
    if args["fn"] == "generalized_steps":
        return Recipe({"name": "ddim", "eta": args["eta"]}, walk)
    return Recipe({"name": "ddpm", "variance": "fixed-large"}, walk, guidance=("clip",))


def _luping_liu(case: Case) -> Recipe | None:
    args = case.args
    samplers = {
        "DDIM": "ddim",
        "F-PNDM": {"name": "pndm", "middle": "whole"},
        "S-PNDM": {"name": "pndm", "variant": "s"},
    }
    # "released" reads alpha_bar one step late; FON is another method
    if args["table"] != "aligned" or args["method"] not in samplers:
        return None
    spacing = {"name": "leading", "whole": True}
    return Recipe(samplers[args["method"]], {"spacing": spacing, "steps": args["sample_speed"]})


def _diff_svc(case: Case) -> Recipe:
    k_step, interval = len(case.tensors["alphas_cumprod"]), case.args["interval"]
    spacing = {"name": "diff-svc", "k_step": k_step, "interval": interval}
    return Recipe("plms", {"spacing": spacing, "steps": k_step // interval})


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


def _diffusers_dpmpp(case: Case) -> Recipe:
    config = case.args["config"]
    sampler = {
        "name": "dpmpp-2m",
        "solver": config.get("solver_type", "midpoint"),
        "eta": 1.0 if config.get("algorithm_type", "").startswith("sde") else 0.0,
        "lower_order_final": config.get("lower_order_final", True),
    }
    # the grid is given row by row; under zero terminal SNR the reference's own table does not even fall to its end
    walk = {"times": _labelled_by_rounding(case)}
    return Recipe(sampler, walk, schedule="linear", parameterization=_diffusers_parameterization(case))


def _k_diffusion(case: Case) -> Recipe:
    options = case.args["kwargs"]
    stochastic = case.args["fn"].endswith("_sde")
    sampler = {
        "name": "dpmpp-2m",
        "solver": options.get("solver_type", "midpoint"),
        "eta": options.get("eta", 1.0) if stochastic else 0.0,
        "lower_order_final": False,
    }
    rows = [GridPoint(sigma, 1.0, sigma) for sigma in case.tensors["sigmas"].tolist()]
    return Recipe(sampler, {"times": Grid(tuple(rows))}, schedule="edm", parameterization={"name": "x0"})


def _unipc(case: Case) -> Recipe | None:
    solver, sample = case.args["solver"], case.args["sample"]
    if solver["variant"] == "vary_coeff":  # converges with order 1 only; not one of ours
        return None
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


FAMILIES = {
    "ddim_": _ermongroup,
    "pndm_": _luping_liu,
    "diffsvc_plms": _diff_svc,
    "diffusers_ddpm_": _diffusers_ddpm,
    "diffusers_ddim_": _diffusers_ddim,
    "diffusers_pndm_": _diffusers_pndm,
    "diffusers_dpmpp_2m_": _diffusers_dpmpp,
    "diffusers_sde_dpmpp_2m": _diffusers_dpmpp,
    "diffusers_unipc_": _diffusers_unipc,
    "kd_dpmpp_2m_": _k_diffusion,
    "unipc_": _unipc,
    "guided_": _guided,
}


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
                log_share = _shares(self.case, x, at.alpha, at.sigma).log()[..., self.component]
                score = self.scale * torch.autograd.grad(log_share.sum(), x)[0]
            if not self.fold:
                return Prediction(lambda: raw.x_0, lambda: raw.eps, raw.var, score)
            eps = raw.eps - at.sigma * score
            return Prediction(lambda: (x_t - at.sigma * eps) / at.alpha, lambda: eps, raw.var)

        return guide


def _parts(case: Case, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
    """V_k and d_k of x: (B, ...) -> (B, K, D)."""
    spread = alpha**2 * case.tensors["gm.var"] + sigma**2
    return spread, x.reshape(len(x), 1, -1) - alpha * case.tensors["gm.mu"]


def _shares(case: Case, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """The posterior probability of each component: (B, K)."""
    spread, off = _parts(case, x, alpha, sigma)
    return torch.softmax(case.tensors["gm.w"].log() - 0.5 * (off**2 / spread + spread.log()).sum(-1), -1)


def _posterior(case: Case, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
    """x_0 and eps of the recorded network."""
    spread, off = _parts(case, x, alpha, sigma)
    share = _shares(case, x, alpha, sigma)[..., None]
    x_0 = (share * (case.tensors["gm.mu"] + alpha * case.tensors["gm.var"] * off / spread)).sum(1)
    return x_0.reshape(x.shape), (share * (sigma * off / spread)).sum(1).reshape(x.shape)


class Network:
    """The recorded network. It knows the scales of the times the reference asked about, and no other time."""

    def __init__(self, case: Case, predicts: str, variance: str | None) -> None:
        self.case, self.predicts, self.variance = case, predicts, variance
        self.calls: list[tuple[float, Tensor]] = []
        self.labels = case.tensors["nfe.t"]

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        label = float(t[0])
        self.calls.append((label, x.clone()))
        near = int((self.labels - label).abs().argmin())
        assert abs(float(self.labels[near]) - label) < 1e-9, f"the reference never asked the network about t = {label}"
        alpha, sigma = (float(self.case.tensors[f"nfe.{scale}"][near]) for scale in ("alpha", "sigma"))
        x_0, eps = _posterior(self.case, x, alpha, sigma)
        out = {"eps": eps, "x0": x_0, "v": alpha * eps - sigma * x_0, "flow": eps - x_0}[self.predicts]
        second = {"range": torch.tanh, "log": _log_variance, "value": lambda x: _log_variance(x).exp()}
        return out if self.variance is None else torch.cat([out, second[self.variance](x)], 1)


def _log_variance(x: Tensor) -> Tensor:
    return torch.tanh(x) - 3


def replay(case: Case, ours: Recipe) -> None:
    """Run a case and compare every call of the network, every state and the result."""
    tensors = case.tensors
    network = Network(case, ours.parameterization["name"], ours.variance)
    schedule = ours.schedule or {"name": "table", "alphas_cumprod": tensors["alphas_cumprod"].tolist()}
    model = zoo.Diffusion.wrap(network, schedule=schedule, parameterization=ours.parameterization)
    moments = list(
        zoo.walk(
            model,
            x_T=tensors["x_start"],
            noise=tensors.get("noise"),
            sampler=ours.sampler,
            guidance=ours.guidance,
            **ours.walk,
        )
    )

    close = partial(torch.testing.assert_close, rtol=0, atol=ours.tolerance)
    assert moments[-1].nfe == len(network.calls) == len(tensors["nfe.t"])
    for index, (label, x) in enumerate(network.calls):
        close(label, float(tensors["nfe.t"][index]), msg=f"call {index}: the label")
        close(x, tensors["nfe.x"][index], msg=lambda text, index=index: f"input of call {index}: {text}")
    states = tensors.get("states")
    if states is not None and len(states) == len(moments):  # some references keep one state a call
        for moment in moments:
            close(moment.x_t, states[moment.index], msg=lambda text, at=moment.index: f"state {at}: {text}")
    close(moments[-1].x_t, tensors["final"])
