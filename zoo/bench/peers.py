"""The loops of other libraries, around a function that returns its input: what a step costs there.

None of them is needed; a suite's peers that are not installed are told so in their rows.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError

Loop = Callable[[Tensor], object]
"""A whole walk from x: (B, ...) to its end."""

LIBRARIES = {"azula": "azula", "diffusers": "diffusers", "k-diffusion": "k_diffusion"}
"""What a peer's name begins with, and the package that is imported."""


def _diffusers(name: str, steps: int) -> Loop:
    schedulers = importlib.import_module("diffusers")
    classes: Mapping[str, tuple[str, dict[str, Any]]] = {
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "dpmpp-2m": ("DPMSolverMultistepScheduler", {}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
        "heun": ("HeunDiscreteScheduler", {}),
        "lms": ("LMSDiscreteScheduler", {}),
        "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
        "unipc": ("UniPCMultistepScheduler", {"solver_order": 2}),
    }
    kind, settings = classes[name]
    scheduler = getattr(schedulers, kind)(**settings)

    def loop(x: Tensor) -> object:
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            seen = scheduler.scale_model_input(x, t)
            x = scheduler.step(seen, t, x, return_dict=False)[0]
        return x

    return loop


def _k_diffusion(name: str, steps: int) -> Loop:
    sampling = importlib.import_module("k_diffusion.sampling")
    functions = {
        "dpmpp-2m": "sample_dpmpp_2m",
        "euler": "sample_euler",
        "euler-ancestral": "sample_euler_ancestral",
        "heun": "sample_heun",
        "lms": "sample_lms",
    }
    rule = getattr(sampling, functions[name])
    sigmas = sampling.get_sigmas_karras(steps, 0.03, 14.6)

    def same(x: Tensor, sigma: Tensor, **_: object) -> Tensor:
        return x

    return lambda x: rule(same, x, sigmas, disable=True)


def _azula(name: str, steps: int) -> Loop:
    sampling, denoise, noise = (importlib.import_module(f"azula.{one}") for one in ("sample", "denoise", "noise"))
    classes = {"ddim": "DDIMSampler", "ddpm": "DDPMSampler", "euler": "EulerSampler", "heun": "HeunSampler"}
    schedule = noise.VPSchedule()

    class Same(denoise.Denoiser):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: object) -> Any:
            return denoise.DiracPosterior(mean=x_t)

    sampler: Loop = getattr(sampling, classes[name])(Same(), steps=steps, silent=True)
    return sampler


_MAKERS: Mapping[str, Callable[[str, int], Loop]] = {
    "azula": _azula,
    "diffusers": _diffusers,
    "k-diffusion": _k_diffusion,
}


def peer(title: str, steps: int) -> Loop:
    """The loop of another library.

    Args:
        title: the library and our name for the sampler: "diffusers ddim".
        steps: of the walk.

    Raises:
        ZooError: it is not known, or not installed.
    """
    library, _, name = title.partition(" ")
    if library not in _MAKERS:
        raise ZooError(f"peers: {title!r} is none; write the library, {', '.join(_MAKERS)}, and a sampler of ours")
    try:
        loop = _MAKERS[library](name, steps)
    except ImportError as error:
        raise ZooError(f"{library} cannot be imported ({error}): pip install {library}") from None
    except KeyError:
        raise ZooError(f"peers: {library} is not compared in {name!r}") from None
    return torch.no_grad()(loop)


def versions(titles: tuple[str, ...]) -> dict[str, str]:
    """The versions of the libraries that are named and installed."""
    named = sorted({title.partition(" ")[0] for title in titles} & set(LIBRARIES))
    return {name: version(name) for name in named if importlib.util.find_spec(LIBRARIES[name]) is not None}
