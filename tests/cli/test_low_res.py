"""``zoo sample --low-res``: a picture that an upsampler enlarges."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import zoo
from zoo.cli import main

SIZE = (6, 4)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    built = zoo.build("tiny-adm", shape=[3, 16, 24], denoiser={"low_res_channels": 3})
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    zoo.save(built, tmp_path / "model.safetensors")
    pixels = torch.randint(0, 256, (SIZE[1], SIZE[0], 3), dtype=torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "small.png")
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["--threads", "1", "sample", *map(str, arguments)])
    return int(end.value.code or 0)


def test_a_picture_is_enlarged(folder):
    out = folder / "large.safetensors"
    model, picture = folder / "model.safetensors", folder / "small.png"
    assert run(model, "--low-res", picture, "--labels", 1, "-n", 2, "--steps", 2, "--out", out) == 0
    pixels = torch.frombuffer(bytearray(Image.open(picture).tobytes()), dtype=torch.uint8)
    low_res = pixels.reshape(1, SIZE[1], SIZE[0], 3).permute(0, 3, 1, 2) / 127.5 - 1
    expected = zoo.sample(zoo.load(model), 2, low_res=low_res.expand(2, -1, -1, -1), labels=[1, 1], steps=2)
    assert torch.equal(load_file(out)["samples"], expected)
    # a file of tensors says it too
    save_file({"low_res": low_res.expand(2, -1, -1, -1).contiguous()}, folder / "low.safetensors")
    again = folder / "again.safetensors"
    assert run(model, "--cond", folder / "low.safetensors", "--labels", 1, "--steps", 2, "--out", again) == 0
    assert torch.equal(load_file(again)["samples"], expected)


def test_a_missing_picture(folder, capsys):
    assert run(folder / "model.safetensors", "--out", folder / "large.png") == 2
    assert "this model is an upsampler: add --low-res, the picture to enlarge" in capsys.readouterr().err


def test_a_picture_of_other_proportions(folder, capsys):
    Image.new("RGB", (4, 4)).save(folder / "square.png")
    arguments = ("--low-res", folder / "square.png", "--out", folder / "large.png")
    assert run(folder / "model.safetensors", *arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--low-res: the picture is 4 x 4, and samples of 16 x 24 would stretch it" in said
    assert "such as --shape 3,16,16" in said


def test_a_model_that_enlarges_nothing(folder, capsys):
    arguments = ("--low-res", folder / "small.png", "--random-weights", "--out", folder / "large.png")
    assert run("tiny-adm", *arguments) == 2
    assert "--low-res: this model is no upsampler" in capsys.readouterr().err
