from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import pytest

import registry
from registry import Registry


@dataclass(frozen=True)
class DiffNet:
    _: KW_ONLY
    mel_bins: int
    cond_channels: int = 256
    residual_channels: int = 256
    dilations: tuple[int, ...] = (1, 2)
    schedule: Any = None


@dataclass(frozen=True)
class DiT:
    _: KW_ONLY
    depth: int = 12


@dataclass(frozen=True)
class Pndm:
    _: KW_ONLY
    variant: Literal["f", "s"] = "f"


@dataclass(frozen=True)
class Ddim:
    _: KW_ONLY
    eta: float = 0.0


@dataclass(frozen=True)
class Cfg:
    _: KW_ONLY
    scale: float


@dataclass(frozen=True)
class Plain:
    pass


@pytest.fixture
def parts(monkeypatch):
    """A small zoo of its own, so that these tests need no network and no built-in component."""
    contents = {
        "denoisers": {"diffnet": DiffNet, "dit": DiT},
        "samplers": {"pndm": Pndm, "ddim": Ddim},
        "schedules": {"linear": Plain},
        "parameterizations": {"eps": Plain, "v": Plain},
        "scalings": {"identity": Plain},
        "spacings": {"trailing": Plain, "leading": Plain},
        "guidances": {"cfg": Cfg, "rescale": Cfg},
        "objectives": {"uniform": Plain},
        "optimizers": {"adam": Ddim},
        "data": {"digits": Plain},
        "conditioners": {},
    }
    for plural, factories in contents.items():
        kind = Registry(registry.kinds[plural].kind)
        for name, factory in factories.items():
            kind.register(name)(factory)
        monkeypatch.setitem(registry.kinds, plural, kind)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files below a working folder whose `configs/` is the only place that is searched."""
    from zoo.config import find

    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(find, "configs_dir", lambda: tmp_path / "configs")
    monkeypatch.delenv("ZOO_CONFIGS", raising=False)

    def add(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return add
