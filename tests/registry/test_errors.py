import pickle
from itertools import permutations

import pytest

from registry import ArgumentError, Problem, RegistryError, suggest
from registry.errors import join, near_or_known
from registry.names import is_kebab, natural


def test_problem_reads_as_place_path_message_and_hint():
    problem = Problem(
        "configs/x.yaml:4:62",
        "denoiser.residual_chanels",
        "'diffnet' takes no such argument",
        "did you mean 'residual_channels'?",
    )
    assert str(problem) == (
        "configs/x.yaml:4:62: denoiser.residual_chanels: 'diffnet' takes no such argument\n"
        "    did you mean 'residual_channels'?"
    )


def test_problem_leaves_out_what_it_does_not_have():
    assert str(Problem("", "", "broken")) == "broken"
    assert str(Problem("", "sampler.eta", "broken")) == "sampler.eta: broken"


def test_errors_survive_pickling():
    problems = [Problem("a:1:2", "b", "c", "d"), Problem("", "", "e")]
    again = pickle.loads(pickle.dumps(ArgumentError(problems)))
    assert again.problems == problems
    assert str(again) == "a:1:2: b: c\n    d\ne"
    assert str(pickle.loads(pickle.dumps(RegistryError("one", "two")))) == "one\n    two"


@pytest.mark.parametrize(
    ("word", "near"), [("pdnm", "pndm"), ("DDIM", "ddim"), ("dpmpp_2m", "dpmpp-2m"), ("zebra", None)]
)
def test_suggest(word, near):
    assert suggest(word, ["ddim", "ddpm", "pndm", "dpmpp-2m"]) == near


def test_hint_lists_a_dozen_when_nothing_is_near():
    words = [f"w{n}" for n in range(20)]
    assert near_or_known("zebra", words) == f"known: {', '.join(words[:12])}, ..."
    assert near_or_known("zebra", []) is None


def test_join():
    assert join("sampling", "guidance", 0, "scale") == "sampling.guidance[0].scale"
    assert join("", "a", "b") == "a.b"


def test_natural_order_counts():
    assert sorted(["dit-10", "dit-2", "2m", "dit"], key=natural) == ["2m", "dit", "dit-2", "dit-10"]
    for order in permutations(["1", "01", "001", "2"]):
        assert sorted(order, key=natural) == ["001", "01", "1", "2"]


@pytest.mark.parametrize("name", ["Ddim", "a_b", "-a", "a-", "a--b", "", "a b", "a.b"])
def test_kebab_refuses(name):
    assert not is_kebab(name)
