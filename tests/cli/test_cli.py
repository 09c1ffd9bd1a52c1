"""Every verb: what it prints, what it refuses and how, and that it leaves nothing half done."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo as library
from zoo.cli import _VERBS

Zoo = Callable[..., object]
Process = Callable[..., "subprocess.Popen[str]"]

TINY = "denoiser.base_channels=8"


def test_help_names_every_verb(zoo: Zoo) -> None:
    result = zoo("--help")
    assert result.code == 0
    for verb in _VERBS:
        assert verb in result.out


@pytest.mark.parametrize("verb", sorted(_VERBS))
def test_every_verb_teaches_by_example(zoo: Zoo, verb: str) -> None:
    result = zoo(verb, "--help")
    assert result.code == 0
    assert f"zoo {verb}" in result.out


def test_version(zoo: Zoo) -> None:
    assert library.__version__ in zoo("--version").out


class TestList:
    def test_shows_facts(self, zoo: Zoo) -> None:
        result = zoo("list", "samplers")
        assert result.code == 0
        (line,) = [line for line in result.out.splitlines() if line.startswith("plms")]
        assert "N + 1" in line

    def test_filters_by_pattern(self, zoo: Zoo) -> None:
        names = [row["name"] for row in json.loads(zoo("list", "models", "tiny-*", "--json").out)["models"]]
        assert names == library.names("models", "tiny-*")
        assert "tiny-unet" in names

    def test_json_has_every_kind(self, zoo: Zoo) -> None:
        found = json.loads(zoo("list", "--json").out)
        assert {row["name"] for row in found["samplers"]} == set(library.names("samplers"))

    def test_an_unknown_kind_is_told_with_a_suggestion(self, zoo: Zoo) -> None:
        result = zoo("list", "sampler")
        assert (result.code, result.out) == (2, "")
        assert result.err == "error: unknown kind 'sampler'\n    did you mean 'samplers'?\n"

    def test_loads_no_torch(self, process: Process) -> None:
        code = (
            "import sys\nfrom zoo.cli import main\n"
            "try:\n    main(['list'])\nexcept SystemExit:\n    pass\n"
            "print('torch' in sys.modules)"
        )
        out, err = process(code=code).communicate(timeout=60)
        assert err == ""
        assert out.splitlines()[-1] == "False"

    def test_completion_loads_no_torch(self, process: Process) -> None:
        code = (
            "import os, sys\n"
            "os.environ |= {'_ZOO_COMPLETE': 'bash_complete', 'COMP_WORDS': 'zoo show ddpm-c', 'COMP_CWORD': '2'}\n"
            "from zoo.cli import main\n"
            "try:\n    main([])\nexcept SystemExit:\n    pass\n"
            "print('torch' in sys.modules)"
        )
        out, _ = process(code=code).communicate(timeout=60)
        assert "plain,ddpm-cifar10" in out
        assert out.splitlines()[-1] == "False"


class TestShow:
    def test_prints_the_resolved_tree(self, zoo: Zoo) -> None:
        result = zoo("show", "tiny-unet", "sampler=plms")
        assert result.code == 0
        assert "name: plms" in result.out
        assert "norm_eps" in result.out  # a default that the file does not name

    def test_layers_explain_a_size(self, zoo: Zoo) -> None:
        result = zoo("show", "ddpm-cifar10", "--layers")
        assert result.code == 0
        assert "256 = 128 x 2" in result.out
        assert "35.75M" in result.out
        assert "6.222G" in result.out

    def test_two_stand_side_by_side(self, zoo: Zoo) -> None:
        result = zoo("show", "tiny-unet", "ddpm-digits", "--layers")
        assert "16x16 | 8x8" in result.out
        assert json.loads(zoo("show", "tiny-unet", "ddpm-digits", "--layers", "--json").out)["ratios"]

    def test_a_typo_is_told_once(self, zoo: Zoo) -> None:
        result = zoo("show", "tiny-unet", "denoiser.chanel_mult=[1]")
        assert (result.code, result.out) == (2, "")
        assert result.err == (
            "error: command line: denoiser.chanel_mult=[1]: denoiser.chanel_mult: 'unet' takes no such argument\n"
            "    did you mean 'channel_mult'?\n"
        )

    def test_an_unknown_name(self, zoo: Zoo) -> None:
        assert zoo("show", "ddpm-cifar").err == "error: unknown config 'ddpm-cifar'\n    did you mean 'ddpm-cifar10'?\n"


class TestSample:
    def test_draws_a_grid(self, zoo: Zoo, tmp_path: Path) -> None:
        result = zoo("sample", "tiny-unet", "--random-weights", "-n", "4", "--out", "grid.png", "--steps", "2")
        assert result.code == 0
        assert Image.open(tmp_path / "grid.png").size == (34, 34)
        assert "4 samples, 2 evaluations each" in result.err

    def test_saves_numbers(self, zoo: Zoo, tmp_path: Path) -> None:
        first = zoo(
            "sample", "tiny-mixture", "-n", "3", "--out", "a.safetensors", "--sampler", "ddim eta=0.5", "--json"
        )
        assert json.loads(first.out)["shape"] == [3, 2]
        model = library.build("tiny-mixture")
        expected = library.sample(model, 3, sampler={"name": "ddim", "eta": 0.5})
        assert load_file(tmp_path / "a.safetensors")["samples"].equal(expected)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["tiny-unet", "--out", "x.jpg"], "--out: 'x.jpg' is neither a .png nor a .safetensors file"),
            (["tiny-unet", "--out", "no/x.png"], "--out: there is no folder 'no'"),
            (["tiny-mixture", "--out", "x.png"], "samples of shape (2,) are no pictures; save them as 'x.safetensors'"),
            (
                ["tiny-unet", "--out", "x.png"],
                "no weights are shipped for 'tiny-unet'; shipped: ddpm-emoji, ddpm-mnist, timm-unet-emoji\n"
                "    give a file of weights in its place, or add --random-weights\n",
            ),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--sampler", ""], "unknown sampler ''"),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--shape", "3,-1,8"], "--shape: expected the sides"),
            (["diffnet-128mel", "--random-weights", "--out", "x.safetensors"], "leaves the shape of a sample open"),
            (["/dev/null", "--out", "x.png"], "/dev/null"),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--sampler", "pdnm"], "unknown sampler 'pdnm'"),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--labels", "3"], "this model knows no classes"),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--steps", "2000"], "2000 are more than the 1000"),
            (["tiny-unet", "--random-weights", "--out", "x.png", "--device", "tpu9"], "'tpu9' cannot be used"),
            (["nothing.safetensors", "--out", "x.png"], "nothing.safetensors"),
        ],
    )
    def test_bad_input_is_one_message_and_no_file(
        self, zoo: Zoo, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        result = zoo("sample", *arguments)
        assert result.code == 2
        assert message in result.err
        assert result.err.startswith("error: ")
        assert "Traceback" not in result.err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("12", "this model has the classes 0-9, got 12"),
            ("-1", "this model has the classes 0-9, got -1"),
            ("a", "expected classes such as 3 or 0,1,2 or 0-9, got 'a'"),
            ("5-x", "expected classes such as 3 or 0,1,2 or 0-9, got '5-x'"),
            ("5-3", "expected classes such as 3 or 0,1,2 or 0-9, got '5-3'"),
        ],
    )
    def test_bad_labels(self, zoo: Zoo, text: str, message: str) -> None:
        result = zoo("sample", "ddpm-digits", "--random-weights", "--out", "x.png", "--labels", text)
        assert result.code == 2
        assert message in result.err

    @pytest.mark.parametrize(
        ("arguments", "size"),
        [
            ((), (38, 98)),  # eight of each class, a class a row
            (("-n", "10"), (98, 8)),  # one of each, side by side
            (("-n", "9", "--labels", "3"), (28, 28)),  # a square
            (("-n", "4", "--labels", "0,1"), (18, 18)),
        ],
    )
    def test_classes_stand_in_rows(self, zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], size: object) -> None:
        small = ("denoiser.base_channels=8", "--steps", "1", "--random-weights")
        assert zoo("sample", "ddpm-digits", *small, "--out", "x.png", *arguments).code == 0
        assert Image.open(tmp_path / "x.png").size == size

    @pytest.mark.parametrize(("n", "labels"), [(4, [0, 0, 1, 1]), (2, [0, 1]), (1, [0]), (5, [0, 1, 0, 1, 0])], ids=str)
    def test_labels_are_dealt_evenly(
        self, zoo: Zoo, monkeypatch: pytest.MonkeyPatch, n: int, labels: list[int]
    ) -> None:
        seen = []
        walk = library.walk
        monkeypatch.setattr(library, "walk", lambda *args, **settings: seen.append(settings) or walk(*args, **settings))
        small = ("denoiser.base_channels=8", "--steps", "1", "--random-weights", "--out", "x.png")
        assert zoo("sample", "ddpm-digits", *small, "-n", str(n), "--labels", "0,1").code == 0
        assert seen[0]["labels"] == labels

    def test_a_full_disk_leaves_the_old_picture(
        self, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        (tmp_path / "x.png").write_text("old")
        monkeypatch.setattr("zoo.files.sync", refuse)
        result = zoo("sample", "tiny-unet", "--random-weights", "-n", "1", "--steps", "1", "--out", "x.png")
        assert result.code == 2
        assert result.err == ("error: --out: x.png: cannot be written: no space left on device; nothing was changed\n")
        assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
        assert (tmp_path / "x.png").read_text() == "old"


class TestTrainAndCheck:
    def test_trains_checks_and_samples(self, zoo: Zoo, tmp_path: Path) -> None:
        pytest.importorskip("sklearn")
        small = ("training.steps=3", "training.batch_size=4", "denoiser.base_channels=8")
        result = zoo("train", "ddpm-digits", *small, "--out", "run")
        assert result.code == 0, result.err
        assert "trained for 3 steps" in result.err
        assert zoo("check", "run/model.safetensors").out == "run/model.safetensors: ok\n"
        assert zoo("sample", "run/model.safetensors", "--out", "x.png", "-n", "10", "--steps", "2").code == 0
        assert "base_channels: 8" in zoo("show", "run/model.safetensors").out
        assert zoo("train", "ddpm-digits", *small, "--out", "run", "--fresh").code == 2

    def test_a_folder_without_pictures(self, zoo: Zoo, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        result = zoo("train", "tiny-unet", "data={name: images, path: empty}", "--out", "run")
        assert result.code == 2
        assert "empty" in result.err
        assert "Traceback" not in result.err

    def test_check_reports_every_problem(self, zoo: Zoo, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text(
            "shape: [3, 8, 8]\ndenoiser: {name: unet, chanel_mult: [1]}\nsampler: pdnm\n"
        )
        result = zoo("check", "bad.yaml", "tiny-unet")
        assert result.code == 2
        assert result.out == "tiny-unet: ok\n"
        assert "bad.yaml:2:24: denoiser.chanel_mult: 'unet' takes no such argument" in result.err
        assert "bad.yaml:3:10: sampler.name: unknown sampler 'pdnm'" in result.err
        assert json.loads(zoo("check", "bad.yaml", "--json").out)["bad.yaml"]

    def test_check_finds_values_that_make_no_sense(self, zoo: Zoo, tmp_path: Path) -> None:
        lines = ["inherits: [tiny-unet]", "sampler: {name: ddim, eta: 5.0}", "training: {steps: 0}"]
        (tmp_path / "odd.yaml").write_text("\n".join(lines))
        result = zoo("check", "odd.yaml")
        assert result.code == 2
        assert result.err == (
            "error: sampler: 'ddim': eta must lie in 0..1, got 5\nerror: training.steps must be from 1, got 0\n"
        )

    def test_check_finds_what_could_not_be_trained(self, zoo: Zoo, tmp_path: Path) -> None:
        (tmp_path / "odd.yaml").write_text("inherits: [tiny-unet]\ntraining: {augment: 0.2}\n")
        result = zoo("check", "odd.yaml", "tiny-adm-classifier")
        assert result.code == 2
        assert result.err.startswith("error: training.augment: the network must be told how a picture was changed")
        assert result.out == "tiny-adm-classifier: ok\n"

    def test_check_finds_a_flipped_bit(self, zoo: Zoo, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        library.save(library.build("tiny-unet"), path)
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        assert zoo("check", "m.safetensors").code == 2


class TestConvert:
    def test_refuses_what_it_does_not_know(self, zoo: Zoo, tmp_path: Path) -> None:
        import torch

        save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
        result = zoo("convert", "x.safetensors", "--out", "y.safetensors")
        assert result.code == 2
        assert "no importer knows these weights" in result.err
        assert not (tmp_path / "y.safetensors").exists()

    def test_never_replaces_a_file_unasked(self, zoo: Zoo, tmp_path: Path) -> None:
        library.save(library.build("tiny-unet"), tmp_path / "m.safetensors")
        (tmp_path / "out.safetensors").write_text("mine")
        result = zoo("convert", "m.safetensors", "--out", "out.safetensors")
        assert result.code == 2
        assert (tmp_path / "out.safetensors").read_text() == "mine"
        assert zoo("convert", "m.safetensors", "--out", "out.safetensors", "--force", "--half").code == 0
        assert zoo("check", "out.safetensors").code == 0

    def test_keeps_what_the_file_tells(self, zoo: Zoo, tmp_path: Path) -> None:
        from zoo.checkpoint import read_header

        library.save(library.build("tiny-unet"), tmp_path / "m.safetensors", step=7, weights="ema")
        assert zoo("convert", "m.safetensors", "--out", "out.safetensors").code == 0
        metadata = read_header(tmp_path / "out.safetensors").metadata
        assert (metadata["zoo.step"], metadata["zoo.weights"]) == ("7", "ema")

    def test_no_folder_is_told_before_the_work(self, zoo: Zoo, tmp_path: Path) -> None:
        library.save(library.build("tiny-unet"), tmp_path / "m.safetensors")
        result = zoo("convert", "m.safetensors", "--out", "no/out.safetensors")
        assert (result.code, result.err.splitlines()[0]) == (2, "error: --out: there is no folder 'no'")


def test_an_unknown_verb(zoo: Zoo) -> None:
    result = zoo("smaple")
    assert result.code == 2
    assert result.err == "error: no verb 'smaple'; did you mean 'sample'?\n    try 'zoo --help'\n"


def test_an_unexpected_error_is_one_line(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.config.load", lambda *_, **__: 1 / 0)
    result = zoo("show", "tiny-unet")
    assert result.code == 1
    assert result.err.startswith("error: unexpected ZeroDivisionError: division by zero\n")
    assert "Traceback" not in result.err


def test_out_of_memory_says_what_to_do(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError("8 GiB\nand a page of details")

    monkeypatch.setattr("zoo.config.load", exhaust)
    result = zoo("show", "tiny-unet")
    assert result.code == 1
    assert result.err == (
        "error: out of memory: 8 GiB\n    take fewer at a time: -n of sample, training.batch_size=... of train\n"
    )


@pytest.mark.parametrize(
    ("arguments", "before", "after"),
    [((), "3", "3"), (("--threads", "2"), "3", "2"), ((), None, str(len(os.sched_getaffinity(0))))],
)
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are not counted here")
def test_threads(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], before: str | None, after: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    assert zoo(*arguments, "list", "samplers").code == 0
    assert os.environ["OMP_NUM_THREADS"] == after


def test_training_that_is_stopped_goes_on(zoo: Zoo, process: Process, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    small = ("training.steps=100000", "training.batch_size=2", "denoiser.base_channels=8", "training.save_every=1")
    running = process("train", "ddpm-digits", *small, "--out", "run")
    for line in running.stderr:
        if "saved" in line:
            break
    running.send_signal(signal.SIGINT)
    err = running.stderr.read()
    assert running.wait(timeout=60) == 130
    assert err.endswith("error: stopped\n")
    step = re.search(r"run holds step (\d+); the same command goes on from there", err).group(1)
    assert not list(tmp_path.rglob("*.part"))
    on = zoo("train", "ddpm-digits", *small, f"training.steps={int(step) + 1}", "--out", "run")
    assert f"from step {step}\n" in on.err


def test_ctrl_c_leaves_no_half_file(process: Process, tmp_path: Path) -> None:
    running = process("sample", "tiny-unet", "--random-weights", "--out", "x.png", "-n", "640", "--steps", "1000")
    time.sleep(6)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    # a shell calls both 130: Python ends by the signal itself when it came while C code ran Python
    assert running.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
