"""Installing distributions into folders and environments of their own, with the dependencies of this one."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def isolation() -> list[str]:
    """How pip builds here: with this environment's setuptools when it is new enough, else it fetches one."""
    try:
        new_enough = int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        new_enough = False
    return ["--no-build-isolation"] if new_enough else []


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints; a failure shows everything it said."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    settings = {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(folder: Path) -> Path:
    """A fresh virtual environment that sees the packages of this one behind its own; its interpreter."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    theirs = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "dependencies.pth").write_text("\n".join(sorted(theirs)) + "\n")
    return Path(sysconfig.get_path("scripts", "venv", vars=paths)) / Path(sys.executable).name
