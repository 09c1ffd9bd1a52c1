"""Where configs lie: those of the zoo, then the folders in `ZOO_CONFIGS`, then those of plug-ins."""

from __future__ import annotations

import importlib.util
import os
from fnmatch import fnmatchcase
from pathlib import Path

from registry import Broken, Problem, plugins
from registry.errors import near_or_known
from registry.names import natural
from zoo.config.marks import ConfigError

SUFFIXES = (".yaml", ".yml", ".json")
_GROUP = "zoo.configs"


def configs_dir() -> Path:
    """The folder of the zoo's own configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def roots() -> list[Path]:
    """Every folder that is searched, first match first."""
    listed = [Path(part) for part in os.environ.get("ZOO_CONFIGS", "").split(os.pathsep) if part]
    return [configs_dir(), *listed, *_plugin_folders()[0]]


def broken() -> list[Broken]:
    """The plug-ins whose configs cannot be found."""
    return _plugin_folders()[1]


def names(pattern: str = "*") -> list[str]:
    """The public configs that fit a wildcard pattern, in natural order; `_x` is only there to inherit."""
    return _names("", pattern)


def path_of(name: str) -> Path:
    """The file of a config.

    Args:
        name: its stem, or for a part to inherit, its folder and stem such as `_base/ddpm-1000`.

    Raises:
        ConfigError: there is none of that name.
    """
    if found := search(name):
        return found
    raise ConfigError([unknown(name)])


def search(name: str) -> Path | None:
    """Like `path_of`, but None when there is none."""
    files = (root / f"{name}{suffix}" for root in roots() for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def unknown(name: str, where: str = "", path: str = "") -> Problem:
    """The problem of a config that is not there, with the likely spelling."""
    folder, slash, _ = name.rpartition("/")
    known = [f"{folder}{slash}{stem}" for stem in _names(folder)]
    return Problem(where, path, f"unknown config {name!r}", near_or_known(name, known))


def _names(folder: str, pattern: str = "*") -> list[str]:
    files = (file for root in roots() if (root / folder).is_dir() for file in (root / folder).iterdir())
    stems = {file.stem for file in files if file.suffix in SUFFIXES and not file.name.startswith("_")}
    return sorted((stem for stem in stems if fnmatchcase(stem, pattern)), key=natural)


def _plugin_folders() -> tuple[list[Path], list[Broken]]:
    folders = []
    offers, failures = plugins.offers("config", _GROUP)
    for offer in offers:
        try:
            folders.append(_folder(offer.path))
        except Exception as error:  # finding a nested package may run its parents
            reason = f"{offer.path}: {type(error).__name__}: {error}"
            failures.append(Broken("config", offer.name, offer.owner, reason))
    return folders, failures


def _folder(module: str) -> Path:
    """The folder of a module or package, found without running it or, where its parents lie plainly, them."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    folders = [Path(place) for place in (spec.submodule_search_locations if spec else None) or ()]
    for part in rest:
        # looked up as plain folders: one without __init__.py could only be asked after running its parents
        inner = [folder / part for folder in folders if (folder / part).is_dir()]
        folders = inner or [folder for folder in folders if (folder / f"{part}.py").is_file()]
    if folders:
        return folders[0]
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {module!r}")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or "").parent
