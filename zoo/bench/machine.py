"""Where and with what a benchmark ran."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import zoo


def hardware(device: torch.device) -> dict[str, Any]:
    """Processor, memory, threads and, if one is used, the GPU."""
    return {
        "device": str(device),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": platform.platform(),
    }


def versions() -> dict[str, str | None]:
    """Of Python, torch and the zoo, with the commit of a checkout."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "zoo": zoo.__version__,
        "commit": _commit(),
    }


def command() -> str:
    """How this process was started, to be typed again."""
    script = Path(sys.argv[0])
    started = ["python", "-m", script.parent.name] if script.name == "__main__.py" else [script.name]
    return shlex.join([*started, *sys.argv[1:]])


def _cpu() -> str:
    """The processor's model, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None  # Windows has no such names


def _commit() -> str | None:
    """The commit of the checkout that this code lies in, marked when files differ from it."""
    root = Path(zoo.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
