"""How much memory a device still has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

_FALLBACK = 2 * 2**30
"""Where the system does not say: what a machine that runs torch has to spare."""


def available(device: torch.device) -> int:
    """Bytes that can still be taken there: of a GPU what is free, on the CPU what neither system nor container limits.

    What torch has set aside on a GPU and does not use counts as free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min([*_of_system(), *_of_cgroups()], default=_FALLBACK)


def _of_system() -> Iterator[int]:
    """Linux tells what can be had without swapping; others tell how much there is, and half of it is taken as free."""
    told = _lines(Path("/proc/meminfo"))
    for line in told:
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            yield int(amount.split()[0]) * 1024
    if not told and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= getattr(os, "sysconf_names", {}).keys():
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _of_cgroups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the limits of the process's groups leave, their parents' included: version 2, and version 1.

    Args:
        root: where the groups are mounted; a container sees its own there.
        own: tells the group of the process, a line for each hierarchy: ``number:controllers:path``.
    """
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, limit, usage, idle = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            idle = "total_inactive_file"
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            most, used = _number(folder / limit), _number(folder / usage)
            if most is not None and used is not None:
                # cached files count as used, and go when memory is wanted
                cached = dict(line.split() for line in _lines(folder / "memory.stat")).get(idle, 0)
                yield max(0, most - used + int(cached))
            if folder == mount:
                break


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """The number in a file; None without one, and for "max"."""
    (text, *_) = _lines(path) or [""]
    return int(text) if text.isdigit() else None
