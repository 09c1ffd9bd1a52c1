"""Every registered component, made from the smallest arguments it takes.

The contracts walk the registry through these functions, so that a part is tested by being registered, whoever did it.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

import registry
import zoo
from registry.signature import parameters

Spec = dict[str, Any]

# What a component cannot be built without; everything else has defaults.
REQUIRED: dict[str, dict[str, Spec]] = {
    "schedules": {"table": {"alphas_cumprod": torch.linspace(0.999, 0.01, 50, dtype=torch.float64).tolist()}},
    "scalings": {"min-max": {"low": [-5.0, -2.0], "high": [0.0, 3.0]}},
}

# Settings worth a run of their own beside the defaults; choices among literals are found in the signature.
VARIANTS: dict[str, dict[str, list[Spec]]] = {
    "samplers": {
        "ddim": [{"eta": 1.0}],
        "deis": [{"order": 4}, {"lower_order_final": True}],
        "dpm-adaptive": [{"order": 2}, {"pcoeff": 0.2, "icoeff": 0.7, "dcoeff": 0.1}],
        "dpm-fast": [{"order": 1}, {"order": 2}, {"lower_order_final": False}],
        "dpm-multistep": [{"order": 1}, {"order": 3}, {"lower_order_final": False}],
        "dpm-solver": [{"order": 1}, {"order": 2}],
        "dpm2": [{"ratio": 0.7}, {"s_churn": 5.0}],
        "dpm2-ancestral": [{"eta": 0.0}],
        "dpmpp-2m": [{"eta": 1.0}],
        "dpmpp-2s-ancestral": [{"eta": 0.0}],
        "dpmpp-3m": [{"eta": 1.0}],
        "dpmpp-sde": [{"eta": 0.0}],
        "er-sde": [{"stages": 1}, {"stages": 2}],
        "euler-ancestral": [{"eta": 0.5}],
        "lcm": [{"timestep_scaling": 10.0}],
        "restart": [{"intervals": []}],
        "sa-solver": [{"tau": 0.0}, {"tau": 0.0, "predictor_order": 3, "corrector_order": 4}, {"corrector_order": 0}],
        "tcd": [{"gamma": 0.0}],
        "dpmpp-2s": [{"r": 0.3}],
        "euler": [{"s_churn": 5.0}, {"s_churn": 5.0, "ask_first": True}],
        "flow-rk": [{"alpha": 2 / 3}],
        "heun": [{"alpha": 0.5}, {"s_churn": 5.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003}],
        "ipndm": [{"order": 1}, {"order": 2}, {"order": 3}],
        "lms": [{"order": 1}, {"order": 3}],
        "unipc": [{"order": 1}, {"order": 3}, {"corrector": False}],
    },
    "scalings": {"mean-std": [{"mean": [0.5, 1.0], "std": [2.0, 0.5]}]},
}


def specs(kind: str) -> list[Spec]:
    """Every component of a kind by its defaults, then once for each other choice it offers."""
    found = []
    for name in registry.kinds[kind].names():
        plain = {"name": name, **REQUIRED.get(kind, {}).get(name, {})}
        found.append(plain)
        found += [{**plain, **variant} for variant in _choices(kind, name)]
        found += [{**plain, **variant} for variant in VARIANTS.get(kind, {}).get(name, [])]
    return found


def _choices(kind: str, name: str) -> list[Spec]:
    """The literals and switches of a signature, one at a time.

    A learned variance is another network's business; the recorded runs cover it.
    """
    choices = []
    for parameter in parameters(registry.kinds[kind].get(name)).values():
        values = get_args(parameter.kind) if get_origin(parameter.kind) is Literal else ()
        if parameter.name == "zero_terminal_snr":
            values = (True,)
        choices += [
            {parameter.name: value}
            for value in values
            if value != parameter.default and not str(value).startswith("learned")
        ]
    return choices


def label(spec: Spec) -> str:
    """A short name for a spec, for the names of tests."""
    required = {key for rows in REQUIRED.values() for key in rows.get(spec["name"], {})}
    return "-".join(
        [spec["name"], *(f"{key}={value}" for key, value in spec.items() if key not in {"name", *required})]
    )


def tiny_shape(name: str) -> tuple[int, ...]:
    """The shape of one sample for a denoiser built from its TINY arguments."""
    factory: Any = registry.denoisers.get(name)
    known, tiny = parameters(factory), factory.TINY
    if "mel_bins" in known:
        return (tiny.get("mel_bins", known["mel_bins"].default), 16)
    if "in_channels" in known:
        return (tiny.get("in_channels", known["in_channels"].default), 16, 16)
    return (2,)


def tiny_model(name: str) -> zoo.Diffusion:
    """A denoiser from its TINY arguments as a whole model."""
    factory: Any = registry.denoisers.get(name)
    denoiser = {"name": name, **factory.TINY}
    return drawn(
        {"shape": list(tiny_shape(name)), "denoiser": denoiser, "schedule": "linear", "parameterization": "eps"}
    )


def drawn(source: str | Spec) -> zoo.Diffusion:
    """The model of a config with weights that all matter, the same ones every time.

    Freshly made networks often end in zeros, and zeros hide everything before them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = zoo.build(source)
        with torch.no_grad():
            for weight in model.parameters():
                scale = 0.5 / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1
                weight.add_(scale * torch.randn(weight.shape))
    return model.eval()


def conditions(model: zoo.Diffusion) -> set[str]:
    """The names of the conditions that a model's denoiser takes."""
    known = inspect.signature(model.denoiser.forward).parameters
    return {name for name in known if name not in ("x", "t")}


def start(model: zoo.Diffusion, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A start state of n samples."""
    assert model.shape is not None
    return torch.randn(n, *model.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
