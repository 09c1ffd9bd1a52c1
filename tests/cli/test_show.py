"""``zoo show``: changes, comparisons, files of weights, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import zoo as library

Zoo = Callable[..., object]


def test_a_change_belongs_to_the_name_before_it(zoo: Zoo) -> None:
    out = zoo("show", "tiny-unet", "tiny-unet", "denoiser.channel_mult=[1,2,4]", "--layers", "--json").out
    both = json.loads(out)
    assert "level 2" not in {row["name"] for row in both["a"]["rows"]}
    assert "level 2" in {row["name"] for row in both["b"]["rows"]}
    assert both["b"]["name"] == "tiny-unet denoiser.channel_mult=[1,2,4]"


def test_a_star_marks_what_differs(zoo: Zoo) -> None:
    lines = zoo("show", "tiny-unet", "tiny-unet", "sampler=plms").out.splitlines()
    starred = [line.split() for line in lines if line.startswith("*")]
    assert ["*", "sampler.name", "ddim", "plms"] in starred
    assert ["*", "sampler.eta", "0.0", "-"] in starred
    assert all(line[1].startswith("sampler.") for line in starred)
    assert any(line.split() == ["denoiser.base_channels", "8", "8"] for line in lines)


def test_a_file_of_weights_takes_changes_too(zoo: Zoo, tmp_path: Path) -> None:
    library.save(library.build("tiny-unet"), tmp_path / "m.safetensors")
    as_it_is = json.loads(zoo("show", "m.safetensors", "--json").out)
    changed = json.loads(zoo("show", "m.safetensors", "denoiser.base_channels=16", "--json").out)
    assert (as_it_is["denoiser"]["base_channels"], changed["denoiser"]["base_channels"]) == (8, 16)


def test_a_folder_does_not_hide_the_config_of_its_name(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "tiny-unet").mkdir()
    assert zoo("show", "tiny-unet").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sampler=plms"], "name a config before 'sampler=plms', such as ddpm-cifar10"),
        (["tiny-unet", "--shape", "3,8,8"], "--shape belongs to --layers"),
        (["tiny-unet", "--guided"], "--guided belongs to --batch"),
        (
            ["tiny-unet", "--batch", "2", "--guided"],
            "guided: this network takes no conditions that it could be guided by",
        ),
        (
            ["tiny-adm-classifier", "--batch", "2"],
            "describe needs a model to tell what sampling holds: a bare denoiser has no sampler",
        ),
        (["a.pt", "--layers"], "a.pt: cannot be read: no such file or directory"),
        (["tiny-unet", "tiny-unet", "tiny-unet", "--layers"], "--layers compares two models, got 3"),
        (
            ["diffnet-128mel", "--layers"],
            "diffnet-128mel leaves the shape of a sample open: add --shape, such as --shape 128,860",
        ),
        (
            ["tiny-unet", "--layers", "--shape", "3,-1,8"],
            "--shape: expected the sides of one sample such as 3,32,32, got '3,-1,8'",
        ),
        (
            ["tiny-unet", "--layers", "--shape", "large"],
            "--shape: expected the sides of one sample such as 3,32,32, got 'large'",
        ),
    ],
)
def test_bad_input_is_one_message(zoo: Zoo, arguments: list[str], message: str) -> None:
    result = zoo("show", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}\n")


@pytest.mark.parametrize("verb", ["show", "check"])
def test_other_peoples_weights_are_sent_to_convert(zoo: Zoo, tmp_path: Path, verb: str) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "ckpt.pth")
    result = zoo(verb, "ckpt.pth")
    assert result.code == 2
    assert result.err == (
        "error: ckpt.pth: is not a safetensors file; it looks like a zip archive, such as torch.save writes\n"
        "    'zoo convert' makes a model of other people's weights\n"
    )


def test_the_memory_of_a_batch_stands_below_the_table(zoo: Zoo) -> None:
    lines = zoo("show", "tiny-diffnet", "--batch", "4", "--guided").out.splitlines()
    title = lines.index(
        "tiny-diffnet: memory of sampling 4 together, the network asked about 8 rows at once, "
        + ("cuda" if torch.cuda.is_available() else "cpu")
    )
    assert lines[title + 1].split() == ["held", "float32", "bf16"]
    parts = [line.split("  ")[0] for line in lines[title + 2 :] if line]
    assert parts[0] == "weights"
    assert {"conditions", "state of the sampler", "activations of the network"} < set(parts)
    assert parts[-2] == "total"
    assert re.fullmatch(
        r"a batch may take [\d.]+ MiB here beside the weights: this one (fits|is walked in parts.*)", lines[-1]
    )


def test_the_memory_of_two_models_and_for_programs(zoo: Zoo) -> None:
    out = zoo("show", "tiny-unet", "tiny-unet", "sampler=plms", "--batch", "4", "--json").out
    both = json.loads(out)
    ddim, plms = (both[side]["memory"][0] for side in "ab")
    assert ddim["activations"] == plms["activations"]
    assert ddim["state"] < plms["state"]
    assert "memory" not in json.loads(zoo("show", "tiny-unet", "--layers", "--json").out)
    text = zoo("show", "tiny-unet", "tiny-unet", "sampler=plms", "--batch", "4").out
    assert text.count("memory of sampling 4 together") == 2
