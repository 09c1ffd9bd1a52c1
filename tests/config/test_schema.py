import json
import sys
from dataclasses import KW_ONLY, dataclass, field
from types import ModuleType
from typing import Any

import pytest

from registry import Problem
from zoo.config import ConfigError, check, load, resolve

pytestmark = pytest.mark.usefixtures("parts")

DOCUMENTED = """\
# A comment above.
inherits: [_base/ddpm-1000, _base/mel-44k1]
shape: [128, null]
denoiser: {name: diffnet, mel_bins: 128, cond_channels: 256, residual_chanels: 384}
parameterization: eps
sampler: {name: pdnm}
sampling: {steps: 50, spacing: leading}
"""


def told(config):
    return "\n".join(map(str, check(config)))


def test_the_documented_messages_word_for_word(write):
    write("configs/_base/ddpm-1000.yaml", "schedule: linear\n")
    write("configs/_base/mel-44k1.yaml", "scaling: identity\n")
    write("configs/diffnet-128mel.yaml", DOCUMENTED)
    assert told("diffnet-128mel") == (
        "configs/diffnet-128mel.yaml:4:62: denoiser.residual_chanels: 'diffnet' takes no such argument\n"
        "    did you mean 'residual_channels'?\n"
        "configs/diffnet-128mel.yaml:6:11: sampler.name: unknown sampler 'pdnm'\n"
        "    did you mean 'pndm'?"
    )


EVERYTHING = """\
summary: [a]
shape: [3, 0, x]
denoiser:
  name: diffnet
  dilations: [1, "2"]
  schedule: linear
  residual_channels: true
denoiser: dit
sampler: {eta: fast, variant: s}
schedule: liner
sampling:
  steps: 0
  spcing: leading
  spacing: 3
  guidance: [cfg, {name: cfg, scale: 2}, {scale: 1}]
  clip: [1]
stpes: 3
conditionner: x
notes: {a: 1}
"""


def test_everything_is_told_at_once_in_the_order_of_the_file(write):
    write("x.yaml", EVERYTHING)
    with pytest.raises(ConfigError) as error:
        resolve("x.yaml")
    assert str(error.value).splitlines() == [
        "x.yaml:1:1: summary: expected str, got list ['a']",
        "x.yaml:2:15: shape[2]: expected int or None, got str 'x'",
        "x.yaml:3:1: denoiser.mel_bins: 'diffnet' needs this argument (int)",
        "x.yaml:5:18: denoiser.dilations[1]: expected int, got str '2'",
        "x.yaml:6:3: denoiser.schedule: is supplied by the zoo and cannot be set here",
        "    leave this argument out",
        "x.yaml:7:3: denoiser.residual_channels: expected int, got bool True",
        "x.yaml:8:1: denoiser: repeated key, first set at x.yaml:3:1",
        "x.yaml:9:11: sampler.eta: expected float, got str 'fast'",
        "x.yaml:9:22: sampler.variant: 'ddim' takes no such argument",
        "    it takes: eta",
        "x.yaml:10:11: schedule.name: unknown schedule 'liner'",
        "    did you mean 'linear'?",
        "x.yaml:12:3: sampling.steps: expected numbers from 1, got int 0",
        "x.yaml:13:3: sampling.spcing: no such key",
        "    did you mean 'spacing'?",
        "x.yaml:14:3: sampling.spacing: expected the name of a spacing, or a mapping with a name, got int 3",
        "    known: leading, trailing",
        "x.yaml:15:14: sampling.guidance[0].scale: 'cfg' needs this argument (float)",
        "x.yaml:15:42: sampling.guidance[2].name: missing: which guidance is meant?",
        "    known: cfg, rescale",
        "x.yaml:16:3: sampling.clip: expected bool or float or [float, float] or mapping or None, got list [1]",
        "x.yaml:17:1: stpes: no such key",
        "    did you mean 'sampling.steps' or 'training.steps'?",
        "x.yaml:18:1: conditionner: no such key",
        "    did you mean 'conditioner'?",
        "x.yaml:19:9: notes.a: expected str, got int 1",
    ]


@pytest.mark.parametrize("shape", [[3, 0], [-1]])
def test_a_shape_has_no_empty_axis(shape):
    assert told({"denoiser": "dit", "shape": shape}) == f"shape: expected numbers from 1, got list {shape}"


def test_a_denoiser_is_required(write):
    assert told(write("x.yaml", "summary: s\n")) == (
        "x.yaml: denoiser: a config needs a denoiser\n    denoiser: {name: ...}"
    )
    assert told({"denoiser": None}) == (
        "denoiser: expected the name of a denoiser, or a mapping with a name, got None\n    known: diffnet, dit"
    )


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("rate", "'training.rate'"),
        ("ratte", "'training.rate'"),
        ("steps", "'sampling.steps' or 'training.steps'"),
        ("depth", "'denoiser.depth'"),
        ("eta", "'sampler.eta'"),
    ],
)
@pytest.mark.usefixtures("settings")
def test_a_key_that_slipped_to_the_top_is_offered_with_its_whole_path(key, meant):
    tree = {"denoiser": "dit", "sampler": {"name": "ddim"}, "data": {"path": "x"}, key: 3}
    assert f"{key}: no such key\n    did you mean {meant}?" in told(tree)


def test_a_folder_in_the_place_of_a_dataset_is_told_how_to_name_it(tmp_path, monkeypatch):
    (tmp_path / "my cats").mkdir()
    monkeypatch.chdir(tmp_path)
    meant = "for a folder of pictures: data='{name: images, path: my cats}'"
    assert told({"denoiser": "dit", "data": "my cats"}) == f"data.name: unknown dataset 'my cats'\n    {meant}"
    assert told({"denoiser": "dit", "data": {"path": "my cats"}}) == (
        f"data.name: missing: which dataset is meant?\n    {meant}"
    )
    assert told({"denoiser": "dit", "data": {"path": "dogs"}}) == (
        "data.name: missing: which dataset is meant?\n    known: digits"
    )


def test_problems_of_arguments_name_the_argument(write):
    write("configs/x.yaml", "denoiser: dit\n")
    config = load("x", overrides={"denoiser": {"detph": 3}}, command_line=["sampler.eta=x"])
    assert told(config) == (
        "argument denoiser.detph: 'dit' takes no such argument\n"
        "    did you mean 'depth'?\n"
        "command line: sampler.eta=x: sampler.eta: expected float, got str 'x'"
    )


def test_resolve_fills_in_every_default():
    tree = resolve(
        {
            "denoiser": {"name": "diffnet", "mel_bins": 4},
            "sampling": {"guidance": {"name": "cfg", "scale": 2}},
        }
    )
    assert tree == {
        "denoiser": {
            "name": "diffnet",
            "mel_bins": 4,
            "cond_channels": 256,
            "residual_channels": 256,
            "dilations": [1, 2],
        },
        "schedule": {"name": "linear"},
        "parameterization": {"name": "eps"},
        "scaling": {"name": "identity"},
        "sampler": {"name": "ddim", "eta": 0.0},
        "sampling": {
            "steps": 50,
            "spacing": {"name": "trailing"},
            "guidance": {"name": "cfg", "scale": 2.0},
            "clip": None,
        },
    }


@pytest.mark.parametrize(
    "source",
    [
        {"denoiser": "dit"},
        {"denoiser": "dit", "data": None, "conditioner": None, "shape": [3, None], "notes": {"a": "b"}},
        {"denoiser": {"name": "dit"}, "sampling": {"clip": [0, 1], "guidance": ["rescale", "cfg"]}},
        {"denoiser": "dit", "sampler": {"eta": 1}, "data": "digits", "sampling": {"clip": 1}},
    ],
)
def test_resolve_is_idempotent_and_plain(source):
    if "guidance" in source.get("sampling", {}):
        source["sampling"]["guidance"] = [{"name": name, "scale": 1} for name in source["sampling"]["guidance"]]
    tree = resolve(source)
    assert resolve(tree) == tree
    assert json.loads(json.dumps(tree)) == tree
    assert check(tree) == []


def test_clip_keeps_its_meaning():
    for given, kept in [(True, True), (1, 1.0), ([0, 1], [0.0, 1.0]), (None, None)]:
        clip = resolve({"denoiser": "dit", "sampling": {"clip": given}})["sampling"]["clip"]
        assert clip == kept
        assert type(clip) is type(kept)


@pytest.mark.parametrize("section", ["sampling", "training"])
@pytest.mark.parametrize("value", [3, None, "fast", []])
def test_a_section_that_is_no_mapping(section, value):
    (problem,) = check({"denoiser": "dit", section: value})
    assert problem.message.startswith("expected mapping, got ")


@pytest.fixture
def settings(monkeypatch):
    @dataclass(frozen=True)
    class Settings:
        _: KW_ONLY
        steps: int = 1000
        rate: float = 1e-3
        betas: tuple[float, float] = field(default=(0.9, 0.999))
        objective: str | dict[str, Any] = "uniform"
        optimizer: str | dict[str, Any] | None = None

    module = ModuleType("zoo.training.settings")
    module.Settings = Settings
    Settings.__module__ = module.__name__
    monkeypatch.setitem(sys.modules, "zoo.training.settings", module)


@pytest.mark.usefixtures("settings")
def test_training_is_checked_against_its_settings():
    training = {"stepps": 3, "rate": "x", "objective": "unifrm", "optimizer": {"name": "adam", "eta": "y"}}
    assert told({"denoiser": "dit", "training": training}).splitlines() == [
        "training.stepps: 'training' takes no such argument",
        "    did you mean 'steps'?",
        "training.rate: expected float, got str 'x'",
        "training.objective.name: unknown objective 'unifrm'",
        "    did you mean 'uniform'?",
        "training.optimizer.eta: expected float, got str 'y'",
    ]


@pytest.mark.usefixtures("settings")
def test_training_is_filled_in_when_it_is_there():
    tree = resolve({"denoiser": "dit", "training": {"steps": 5}})
    assert tree["training"] == {
        "steps": 5,
        "rate": 1e-3,
        "betas": [0.9, 0.999],
        "objective": {"name": "uniform"},
    }
    assert resolve(tree) == tree
    assert "training" not in resolve({"denoiser": "dit"})


def test_config_error_is_a_value_error_that_lists():
    with pytest.raises(ValueError, match="no such key") as error:
        resolve({"denoiser": "dit", "zebra": 1})
    assert error.value.problems == [
        Problem(
            "",
            "zebra",
            "no such key",
            "keys here: inherits, summary, paper, license, shape, denoiser, classifier, schedule, parameterization, "
            "scaling, conditioner, sampler, ...",
        )
    ]


def test_voices_are_checked_against_their_parts():
    voice = {"mel": {"name": "hifigan", "bin": 80}, "f0": "prat", "units": "mfcc", "singer": "her"}
    assert told({"denoiser": {"name": "diffnet", "mel_bins": 8}, "voice": voice}).splitlines() == [
        "voice.singer: no such key",
        "    keys here: mel, f0, units, vocoder",
        "voice.mel.bin: 'hifigan' takes no such argument",
        "    did you mean 'bins'?",
        "voice.f0.name: unknown f0 method 'prat'",
        "    known: crepe, dio, fcpe, harvest, parselmouth, rmvpe",
    ]


def test_a_vocoder_is_not_told_of_the_mel_by_the_config():
    voice = {"mel": "pwg", "vocoder": {"name": "griffin-lim", "mel": 3}}
    assert "voice.vocoder.mel" in told({"denoiser": {"name": "diffnet", "mel_bins": 8}, "voice": voice})
