"""Suites: what they may say, and what they are told."""

import pytest

from zoo import bench
from zoo.config import ConfigError

GOOD = {"models": ["tiny-mixture"], "samplers": ["ddim"], "steps": [5]}


def problems_of(source, **arguments):
    with pytest.raises(ConfigError) as caught:
        bench.load(source, **arguments)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("path", sorted(bench.suites_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_suites_are_good(path):
    loaded = bench.load(path)
    assert loaded.name == path.stem
    assert loaded.suite.title
    assert bench.load(path.stem).resolved == loaded.resolved


def test_every_problem_at_once_with_its_place(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(
        "models:\n"
        "  - {config: tiny-mixture, pretraned: true}\n"
        "samplers: [ddim, {name: unipc, ordr: 3}, plsm]\n"
        "steps: [5, ten]\n"
        "repeat: 3\n"
        "quality: {data: mnist, features: {name: classifier, images: 3}}\n"
    )
    assert problems_of(path) == [
        f"{path}:2:28: models[0].pretraned: 'models' takes no such argument\n    did you mean 'pretrained'?",
        f"{path}:3:32: samplers[1].ordr: 'unipc' takes no such argument\n    did you mean 'order'?",
        f"{path}:3:42: samplers[2].name: unknown sampler 'plsm'\n    did you mean 'plms'?",
        f"{path}:4:12: steps[1]: expected int, got str 'ten'",
        f"{path}:5:1: repeat: no such key\n    did you mean 'repeats'?",
        f"{path}:6:53: quality.features.images: is supplied by the zoo and cannot be set here\n"
        "    leave this argument out",
    ]


def test_something_to_do():
    missing = "missing: a suite needs models, samplers and steps; models with learning or memory; pairs; startup"
    assert problems_of({}) == [f"{key}: {missing}" for key in ("models", "samplers", "steps")]
    assert problems_of({**GOOD, "steps": [], "startup": {}}) == [f"steps: {missing}"]
    assert bench.load({"startup": {}}).suite.startup.repeats > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"steps": [0]}, "steps must be at least 1, got 0"),
        ({"labels": []}, "labels: expected at least one class, or null"),
        ({"reference": {"steps": 1}}, "reference: steps must be at least 2, got 1"),
        ({"reference": 3}, "reference: expected a mapping, got int 3"),
        (
            {"samplers": [{"sampler": "ddim", "spacin": "karras"}]},
            "samplers[0].spacin: 'samplers' takes no such argument",
        ),
        ({"samplers": [{"sampler": "ddim", "spacing": "kars"}]}, "samplers[0].spacing.name: unknown spacing 'kars'"),
        ({"reference": {"sampler": "ddpm"}}, "reference.sampler: draws noise, and a reference must not"),
        ({"precision": "float16"}, "precision: expected 'float32' or 'float64', got str 'float16'"),
        ({"models": ["identity"]}, "models[0]: 'identity' takes a shape, and neither overrides nor weights"),
        (
            {"models": ["tiny-mixture", "tiny-mixture"]},
            "models[1]: there are two models 'tiny-mixture': give one of them a label",
        ),
        ({"guidance": {"name": "cfg", "scal": 1}}, "guidance.scal: 'cfg' takes no such argument"),
    ],
)
def test_refused(change, said):
    (problem,) = problems_of({**GOOD, **change})
    assert problem.startswith(said)


def test_command_line_lies_over_the_file():
    loaded = bench.load("samplers", command_line=["quality=null", "steps=[3]"], overrides={"repeats": 7})
    assert (loaded.suite.quality, list(loaded.suite.steps), loaded.suite.repeats) == (None, [3], 7)


def test_resolved_tree_holds_the_defaults():
    resolved = bench.load({**GOOD, "reference": {}}).resolved
    assert resolved["samplers"] == [{"sampler": {"name": "ddim", "eta": 0.0}, "spacing": None}]
    assert resolved["reference"]["sampler"]["corrector"] is True
    assert resolved["models"][0]["label"] == "tiny-mixture"
    assert resolved["seed"] == 0


def test_unknown_suite_is_suggested():
    assert problems_of("sampler") == ["unknown suite 'sampler'\n    did you mean 'samplers'?"]


def test_names_are_those_of_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr("zoo.bench.reading.suites_dir", lambda: tmp_path)
    (problem,) = problems_of("samplers")
    assert problem.endswith("give the path of a YAML file")
