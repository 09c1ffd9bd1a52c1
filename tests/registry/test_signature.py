from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest

from registry import RegistryError
from registry.signature import check, parameters

if TYPE_CHECKING:
    from nowhere_at_all import Thing


@dataclass(frozen=True)
class Settings:
    _: KW_ONLY
    steps: int
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    tags: list[str] = field(default_factory=list)


class Net:
    def __init__(self, *, width: int, mode: Literal["a", "b"] = "a", shape: tuple[int, ...] = ()) -> None: ...


class Loose:
    def __init__(self, *, thing: Thing | None = None, size: int = 1, bare=3) -> None: ...


def build(*, width: int = 2) -> int:
    return width


def test_arguments_are_converted_and_defaults_filled_in():
    arguments, problems = check(Settings, {"steps": 3, "rate": 1, "betas": [0, 1]}, name="settings")
    assert problems == []
    assert arguments == {"steps": 3, "rate": 1.0, "betas": (0.0, 1.0), "tags": []}
    assert Settings(**arguments).betas == (0.0, 1.0)


def test_every_problem_is_found_at_once():
    given = {"widht": 3, "mode": "c", "shape": [1, "x"]}
    _, problems = check(Net, given, name="net", path="denoiser", where=lambda keys: f"f:{len(keys)}")
    assert list(map(str, problems)) == [
        "f:1: denoiser.widht: 'net' takes no such argument\n    did you mean 'width'?",
        "f:1: denoiser.mode: expected 'a' or 'b', got str 'c'",
        "f:2: denoiser.shape[1]: expected int, got str 'x'",
        "f:0: denoiser.width: 'net' needs this argument (int)",
    ]


def test_the_context_is_not_asked_for_and_may_not_be_set():
    arguments, problems = check(Net, {"width": 1, "shape": [1]}, name="net", context={"shape", "schedule"})
    assert [str(problem) for problem in problems] == [
        "shape: is supplied by the zoo and cannot be set here\n    leave this argument out"
    ]
    assert "shape" not in arguments
    assert check(Net, {"mode": "a"}, name="net", context={"width"}) == ({"mode": "a", "shape": ()}, [])


def test_a_context_name_that_is_no_parameter_is_an_unknown_argument():
    _, (problem,) = check(build, {"shape": [1]}, name="build", context={"shape"})
    assert problem.message == "'build' takes no such argument"
    assert problem.hint == "it takes: width"


def test_mutable_defaults_are_fresh():
    first, _ = check(Settings, {"steps": 1}, name="s")
    second, _ = check(Settings, {"steps": 1}, name="s")
    assert first["tags"] is not second["tags"]


def test_an_annotation_that_cannot_be_evaluated_takes_anything_and_spoils_no_other():
    known = parameters(Loose)
    assert known["thing"].kind is Any
    assert known["bare"].kind is Any
    assert known["size"].kind is int


def test_a_factory_without_arguments():
    _, (problem,) = check(object, {"a": 1}, name="nothing")
    assert problem.hint == "it takes none"


def poured(**kwargs: int) -> None: ...
def listed(*args: int) -> None: ...
def positional(a: int, /) -> None: ...
def named(name: str) -> None: ...


@pytest.mark.parametrize("factory", [poured, listed, positional, named])
def test_factories_that_hide_their_arguments_are_refused(factory):
    with pytest.raises(RegistryError, match=f":{factory.__name__} takes"):
        parameters(factory)
