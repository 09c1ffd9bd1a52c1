"""Pictures beside smaller ones of themselves, for models that enlarge."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from zoo.data.base import DataError
from zoo.data.images import Images


@pytest.fixture
def folder(tmp_path):
    """Pictures of several proportions."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index, width in enumerate((20, 34, 48, 12, 20)):
            pixels = generator.integers(0, 256, (20, width, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    return tmp_path


def images(folder, **options):
    return Images(path=str(folder), shape=(3, 32, 32), low_res_factor=4, **options)


@pytest.mark.parametrize("buckets", [False, True])
def test_the_smaller_picture_is_the_mean_of_the_larger_one(folder, buckets):
    data = images(folder, buckets=buckets, horizontal_flip=True)
    for index in range(len(data)):
        example = data[index]
        c, h, w = example["x_0"].shape
        means = example["x_0"].reshape(c, h // 4, 4, w // 4, 4).mean((2, 4))
        # the order of sixteen float32 additions
        assert_close(example["low_res"], means, rtol=0, atol=1e-6)


def test_models_that_enlarge_nothing_get_none(folder):
    data = Images(path=str(folder), shape=(3, 32, 32))
    assert "low_res" not in data[0]
    assert data.preview() is None


@pytest.mark.parametrize("buckets", [False, True])
def test_previews_are_pictures_of_the_model_s_shape(folder, tmp_path, buckets):
    data = images(folder, class_folders=True, buckets=buckets)
    preview = data.preview()
    assert preview.shape == (3, 32, 32)
    assert preview.conditions["low_res"].shape == (8, 3, 8, 8)
    assert preview.conditions["labels"].tolist() == [0] * 5 + [1] * 3
    path = preview.write(torch.zeros(8, 3, 32, 32), tmp_path / "samples-000001")
    assert path == tmp_path / "samples-000001.png"
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (3 * 34 - 2, 8 * 34 - 2, 3)
    # zeros are grey, in the row of samples alone
    assert (sheet[34:66, :32] == 128).all()
    assert len(np.unique(sheet[:4, :4].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(sheet[68:72, :4].reshape(-1, 3), axis=0)) > 1


def test_previews_leave_out_a_picture_that_breaks(folder):
    first = sorted(folder.rglob("*.png"))[0]
    first.write_bytes(first.read_bytes()[:-40])
    data = images(folder, memory_mb=0)
    preview = data.preview()
    assert data.lost() == 1
    assert torch.equal(preview.x_0[0], preview.x_0[1]), "the next takes its place"


def test_previews_of_data_without_classes_have_no_labels(folder):
    assert set(images(folder).preview().conditions) == {"low_res"}


@pytest.mark.parametrize("factor", [0, 1, 3, -4])
def test_a_factor_that_does_not_divide(folder, factor):
    with pytest.raises(DataError, match=r"data\.low_res_factor is a number from 2 that divides the sides"):
        Images(path=str(folder), shape=(3, 32, 32), low_res_factor=factor)


def test_a_factor_that_does_not_divide_a_bucket(folder):
    with pytest.raises(DataError, match="24 and 40; got 16"):
        Images(path=str(folder), shape=(3, 32, 32), low_res_factor=16, buckets=True)
