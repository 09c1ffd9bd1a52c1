"""``zoo data show``."""

import json

import numpy as np
import pytest
from PIL import Image

import zoo as library


@pytest.fixture
def folder(tmp_path):
    """Two folders of a dozen smooth pictures each, and a copy."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(12):
            pixels = Image.fromarray(generator.integers(0, 256, (5, 5, 3), np.uint8)).resize((50, 40))
            pixels.save(tmp_path / "pictures" / name / f"{index}.png")
    pixels.save(tmp_path / "pictures" / "dog" / "twice.png")
    return tmp_path / "pictures"


def test_a_folder_is_told_about_and_shown(zoo, tmp_path, folder):
    done = zoo("data", "show", str(folder), "--shape", "3,16,16", "--out", "sheet.png")
    assert done.code == 0, done.err
    rows = {line[:17].strip(): line[17:].strip() for line in done.out.splitlines()}
    assert rows["pictures"] == "25, 24 of them different"
    assert rows["copies"] == "1 of 1 others"
    assert rows["sizes"] == "40 x 50 to 40 x 50"
    assert "too few to train from scratch" in done.err
    assert "data.class_folders=true" in done.err
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet-duplicates.png", "sheet.png"]


def test_the_same_seed_gives_the_same_sheet(zoo, tmp_path, folder):
    sheets = []
    for seed in ("0", "0", "1"):
        assert zoo("data", "show", str(folder), "-n", "6", "--seed", seed, "--out", "sheet.png").code == 0
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_for_programs(zoo, tmp_path, folder):
    done = zoo("data", "show", str(folder), "data.class_folders=true", "data.buckets=true", "--json")
    tree = json.loads(done.out)
    assert tree["shape"] == [3, 64, 64]
    assert tree["classes"] == {"cat": 12, "dog": 13}
    assert sum(tree["buckets"].values()) == 25
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_for_a_model(zoo, folder):
    done = zoo("data", "show", str(folder), "--config", "ddpm-cifar10", "data.horizontal_flip=true", "--json")
    tree = json.loads(done.out)
    assert tree["shape"] == [3, 32, 32]
    assert (tree["pictures"], tree["examples"]) == (25, 50)


def test_the_data_of_a_config(zoo, tmp_path):
    pytest.importorskip("sklearn")
    done = zoo("data", "show", "ddpm-digits", "--out", "digits.png")
    assert done.code == 0, done.err
    assert "1,797 digits of scikit-learn" in done.out
    assert "class 9" in done.out
    assert (tmp_path / "digits.png").is_file()


def test_the_data_of_a_model(zoo, tmp_path, folder):
    data = {"name": "images", "path": str(folder), "class_folders": True}
    library.save(library.build("tiny-adm", denoiser={"classes": 2}, data=data), tmp_path / "model.safetensors")
    tree = json.loads(zoo("data", "show", "model.safetensors", "shape=[1,16,16]", "--json").out)
    assert tree["shape"] == [1, 16, 16]
    assert tree["classes"] == {"cat": 12, "dog": 13}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is neither a folder of pictures nor a config"),
        (["ddpm-cifar01"], "did you mean 'ddpm-cifar10'?"),
        (["ddpm-cifar10"], "zoo data show FOLDER --config ddpm-cifar10"),
        (["ddpm-digits", "--config", "ddpm-cifar10"], "'ddpm-digits' is no folder"),
        (["empty"], "it has no files .avif"),
        (["empty", "data.class_folder=true"], "did you mean 'class_folders'?"),
        (["empty", "class_folders=true"], "class_folders: of a folder, data.KEY=VALUE can be set"),
        (["empty", "--shape", "3x32x32"], "expected the sides of one sample such as 3,32,32"),
        (["empty", "--shape", "80,100"], "shape must be [1 or 3, height, width]"),
        (["empty", "data.memory_mb=-1"], "memory_mb is a number from 0, got -1"),
        (["empty", "--near", "nan"], "expected a number from 0 to 2, got nan"),
        (["empty", "--near", "2.5"], "2.5 is not in the range"),
        (["empty", "--out", "sheet.jpg"], "is not a .png file"),
        (["empty", "--out", "gone/sheet.png"], "there is no folder 'gone'"),
    ],
)
def test_bad_input_gives_one_message(zoo, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    done = zoo("data", "show", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*.png"))
