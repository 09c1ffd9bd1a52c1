"""A model zoo for diffusion denoisers: networks, samplers and schedules by name, any combination from YAML.

Nothing heavy is imported before it is used: ``import zoo`` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zoo.checkpoint import save as save
    from zoo.comparison import Comparison as Comparison
    from zoo.comparison import compare as compare
    from zoo.config import ConfigError as ConfigError
    from zoo.core.diffusion import Diffusion as Diffusion
    from zoo.description import describe as describe
    from zoo.editing import inpaint as inpaint
    from zoo.editing import invert as invert
    from zoo.editing import slerp as slerp
    from zoo.exporting import export as export
    from zoo.factory import build as build
    from zoo.listing import names as names
    from zoo.loading import load as load
    from zoo.sampling import sample as sample
    from zoo.sampling import walk as walk

_PUBLIC = {
    "Comparison": "zoo.comparison",
    "ConfigError": "zoo.config",
    "Diffusion": "zoo.core.diffusion",
    "build": "zoo.factory",
    "compare": "zoo.comparison",
    "describe": "zoo.description",
    "export": "zoo.exporting",
    "inpaint": "zoo.editing",
    "invert": "zoo.editing",
    "load": "zoo.loading",
    "names": "zoo.listing",
    "sample": "zoo.sampling",
    "save": "zoo.checkpoint",
    "slerp": "zoo.editing",
    "walk": "zoo.sampling",
}

__all__ = [
    "Comparison",
    "ConfigError",
    "Diffusion",
    "__version__",
    "build",
    "compare",
    "describe",
    "export",
    "inpaint",
    "invert",
    "load",
    "names",
    "sample",
    "save",
    "slerp",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
