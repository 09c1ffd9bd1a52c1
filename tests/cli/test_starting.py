"""Starting points of ``zoo sample``: pictures under noise, and pictures with a part to fill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zoo.data.pictures import picture

Zoo = Callable[..., object]
TINY = ["tiny-unet", "--random-weights", "--steps", "4", "-n", "2"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A photo of another size, a mask that keeps its left half, and a file that is no picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    mask = np.zeros((48, 48), np.uint8)
    mask[:, :24] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def test_the_kept_half_is_the_pictures(zoo: Zoo, pictures: Path) -> None:
    arguments = ["--image", "photo.png", "--keep", "mask.png", "--out", "filled.safetensors", "--json"]
    assert json.loads(zoo("sample", *TINY, *arguments).out)["n"] == 2
    filled = load_file(pictures / "filled.safetensors")["samples"]
    photo, keep = (
        picture(pictures / "photo.png", filled.shape[1:]),
        picture(pictures / "mask.png", (1, *filled.shape[2:])) == 1,
    )
    assert keep.any()
    assert not keep.all()
    kept = keep.expand(photo.shape)
    for one in filled:
        torch.testing.assert_close(one[kept], photo[kept])
        assert not torch.allclose(one[~kept], photo[~kept], atol=0.1)


def test_going_back_costs_evaluations(zoo: Zoo, pictures: Path) -> None:
    arguments = ["--image", "photo.png", "--keep", "mask.png", "--out", "filled.png", "--json"]
    long = ["tiny-unet", "--random-weights", "--steps", "25", "-n", "1"]
    once, thrice = (
        json.loads(zoo("sample", *long, *arguments, "--resample", count).out)["nfe"] for count in ("1", "3")
    )
    assert once == 25
    assert thrice == 25 + 2 * 2 * 10


def test_little_noise_leaves_the_picture(zoo: Zoo, pictures: Path) -> None:
    arguments = ["--start", "photo.png", "--start-t", "1", "--out", "again.safetensors"]
    assert zoo("sample", *TINY, "--steps", "500", *arguments).code == 0
    again = load_file(pictures / "again.safetensors")["samples"]
    # sigma is 0.014 at t = 1, and the network that answers is not trained
    assert (again - picture(pictures / "photo.png", again.shape[1:])).abs().max() < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start", "photo.png", "--image", "photo.png", "--keep", "mask.png"], "not both"),
        (["--start-t", "100"], "--start-t belongs to --start"),
        (["--image", "photo.png"], "--image and --keep belong together"),
        (["--keep", "mask.png"], "--image and --keep belong together"),
        (["--resample", "3"], "--resample belongs to --image"),
        (["--start", "broken.png"], "broken.png: cannot be read as a picture"),
        (["--start", "nowhere.png"], "nowhere.png"),
        (["--start", "photo.png", "--start-t", "5000"], "times must lie within the schedule's"),
    ],
)
def test_bad_input_gives_one_message(zoo: Zoo, pictures: Path, arguments: list[str], message: str) -> None:
    result = zoo("sample", *TINY, "--out", "a.png", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (pictures / "a.png").exists()
