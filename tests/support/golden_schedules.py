"""Recorded schedules and time grids of reference implementations, and the names they have here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import registry

_SD = {"beta_start": 0.00085, "beta_end": 0.012}
_DIFFUSERS = {
    "laplace": {"name": "laplace"},
    "linear": {"name": "linear"},
    "scaled_linear": {"name": "scaled-linear", **_SD},
    "sigmoid": {"name": "sigmoid"},
    "squaredcos_cap_v2": {"name": "cosine"},
}

SCHEDULES: dict[str, dict[str, Any]] = {
    "ddim.const.T1000.betas": {"name": "linear", "beta_start": 0.02, "beta_end": 0.02},
    "ddim.jsd.T1000.betas": {"name": "jsd"},
    "ddim.linear.T1000.betas": {"name": "linear"},
    "ddim.quad.T1000.betas": {"name": "scaled-linear", "beta_start": 1e-4, "beta_end": 0.02},
    "ddim.sigmoid.T1000.betas": {"name": "sigmoid"},
    "diffsinger.cosine.T50.betas": {"name": "cosine", "steps": 50},
    "diffsinger.cosine.T1000.betas": {"name": "cosine"},
    "diffsinger.linear.T100.max0.06.betas": {"name": "diffsinger", "steps": 100, "max_beta": 0.06},
    "diffsinger.linear.T1000.max0.02.betas": {"name": "diffsinger"},
    "lucidrains.linear.T1000.betas": {"name": "linear"},
    "lucidrains.cosine.T1000.betas": {"name": "cosine"},
    "lucidrains.sigmoid.T1000.betas": {"name": "jabri-sigmoid"},
    # guided-diffusion scales both ends of its line by 1000 / T
    **{
        f"guided.linear.T{steps}.betas": {
            "name": "linear",
            "steps": steps,
            "beta_start": 0.1 / steps,
            "beta_end": 20 / steps,
        }
        for steps in (50, 1000, 4000)
    },
    **{f"guided.cosine.T{steps}.betas": {"name": "cosine", "steps": steps} for steps in (50, 1000, 4000)},
    **{
        f"diffusers.{theirs}.T{steps}{'.zsnr' * zero}.alphas_cumprod": {
            **ours,
            "steps": steps,
            **({"zero_terminal_snr": True} if zero else {}),
        }
        for theirs, ours in _DIFFUSERS.items()
        for steps, zero in ((50, False), (1000, False), (1000, True))
    },
}
"""Our schedule for each recorded table."""


def check_schedule(key: str, tables: Mapping[str, Tensor]) -> None:
    """Compare alpha_bar at every trained time."""
    spec = SCHEDULES[key]
    schedule = registry.schedules.build(spec)
    table = tables[key].double()
    alpha_bar = torch.cumprod(1 - table, 0) if key.endswith(".betas") else table
    ours = schedule(torch.arange(len(table), dtype=torch.float64)).alpha_bar
    torch.testing.assert_close(ours, alpha_bar, rtol=0, atol=1e-12)


def _line(name: str, **options: Any) -> dict[str, Any]:
    return {"spacing": {"name": name, **options}, "schedule": "linear"}


SPACINGS: dict[str, dict[str, Any]] = {
    **{f"ddim.seq.uniform.n{n}": _line("leading", whole=True) for n in (10, 20, 50, 100)},
    **{f"ddim.seq.quad.n{n}": _line("quadratic") for n in (10, 20, 50, 100)},
    **{f"guided.respace.{n}": _line("respaced") for n in (10, 50, 100, 250)},
    "guided.respace.10-15-20": _line("respaced", sections=[10, 15, 20]),
    **{f"guided.respace.ddim{n}": _line("leading") for n in (10, 25)},
    **{
        f"spacing.{cls}.{name}.n{n}.timesteps": _line(name)
        for cls in ("DDIM", "DDPM")
        for name in ("leading", "linspace", "trailing")
        for n in (6, 10, 30, 50)
    },
    **{
        f"spacing.{cls}.{name}.n{n}.timesteps": _line(name, **({} if name == "trailing" else {"skip_last": True}))
        for cls in ("DPMSolverMultistep", "UniPCMultistep")
        for name in ("leading", "linspace", "trailing")
        for n in (6, 10, 30, 50)
    },
    # Euler's grid is not rounded
    **{
        f"spacing.EulerDiscrete.{name}.n{n}.timesteps": _line(
            name, **({"rounded": False} if name == "linspace" else {})
        )
        for name in ("leading", "linspace", "trailing")
        for n in (6, 10, 30, 50)
    },
    **{f"spacing.LCM.leading.n{n}.timesteps": _line("lcm") for n in (6, 10)},
    "flow.dynamic_mu1.15.n10.sigmas": {"spacing": "trailing", "schedule": {"name": "flow", "tokens": 4096}},
    "flow.shift1.n10.custom_sigmas": {"spacing": "trailing", "schedule": "flow"},
    "flow.shift3.n10.custom_sigmas": {"spacing": "trailing", "schedule": {"name": "flow", "shift": 3.0}},
    "flow.shift_terminal0.02.n10.sigmas": {"spacing": {"name": "trailing", "last": 0.02}, "schedule": "flow"},
    "edm.n18.sigmas": {"spacing": "karras", "schedule": "edm"},
    **{
        f"kd.karras.n{n}.{low}-{high}.rho{rho}": {
            "spacing": {"name": "karras", "rho": float(rho), "sigma_min": low, "sigma_max": high},
            "schedule": {"name": "edm", "sigma_min": low, "sigma_max": high},
        }
        for n in (10, 25)
        for low, high, rho in ((0.002, 80.0, 3), (0.02, 80.0, 7), (0.0292, 14.6146, 7))
    },
    **{
        f"kd.exponential.n{n}": {
            "spacing": "log-snr",
            "schedule": {"name": "edm", "sigma_min": 0.02, "sigma_max": 80.0},
        }
        for n in (10, 25)
    },
}
"""Our spacing and schedule for each recorded grid of times."""

RATIOS: dict[str, dict[str, Any]] = {
    "dpmsolver.use_beta_sigmas.n10.sigmas": {"spacing": "beta", "schedule": "linear"},
    "dpmsolver.use_exponential_sigmas.n10.sigmas": {"spacing": "log-snr", "schedule": "linear"},
    "dpmsolver.use_karras_sigmas.n10.sigmas": {"spacing": "karras", "schedule": "linear"},
    "dpmsolver.use_lu_lambdas.n10.sigmas": {"spacing": "log-snr", "schedule": "linear"},
    **{
        f"kd.discrete.sd.n{n}": {
            "spacing": {"name": "linspace", "rounded": False},
            "schedule": {"name": "scaled-linear", **_SD},
        }
        for n in (10, 25)
    },
    **{f"kd.vp.n{n}": {"spacing": {"name": "linspace", "last": 1e-3}, "schedule": "vp"} for n in (10, 25)},
    **{
        f"kd.polyexponential.n{n}.rho1.5": {
            "spacing": {"name": "log-snr", "rho": 1.5},
            "schedule": {"name": "edm", "sigma_min": 0.02, "sigma_max": 80.0},
        }
        for n in (10, 25)
    },
}
"""Our spacing and schedule for each recorded grid of sigma / alpha."""

LEFT_OUT = {
    r"flow\.shift[13]\.n10\.sigmas": "diffusers' default grid moves the least sigma twice",
    r"dpmsolver\..*\.timesteps": "sigma rounded to the next whole time; the sigma themselves are compared",
    r"spacing\.(Heun|PNDM).*": "the same times, listed once for each call of the network",
    r"spacing\..*\.sigmas": "the table at the times, which are compared",
    r"diffusers\..*\.betas": "their cumulative product is compared",
}
"""The other records, and why they are not repeated."""


def check_spacing(key: str, tables: Mapping[str, Tensor]) -> None:
    """Compare the times of every evaluation; the end of the walk is not in all of the records."""
    spec, theirs = SPACINGS[key], tables[key].double()
    schedule = registry.schedules.build(spec["schedule"])
    sigmas = schedule.steps is None
    steps = len(theirs) - 1 if sigmas else len(theirs)
    times = registry.spacings.build(spec["spacing"])(schedule, steps)
    ours = torch.tensor(times[:steps], dtype=torch.float64)
    # Recorded in descending order of noise except where the reference lists them ascending
    theirs = theirs[:steps] if sigmas else theirs.sort(descending=True).values
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def check_ratios(key: str, tables: Mapping[str, Tensor]) -> None:
    """Compare sigma / alpha at every evaluation."""
    spec, theirs = RATIOS[key], tables[key].double()[:-1]
    schedule = registry.schedules.build(spec["schedule"])
    times = registry.spacings.build(spec["spacing"])(schedule, len(theirs))
    ours = schedule(torch.tensor(times[:-1], dtype=torch.float64)).nsr
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
