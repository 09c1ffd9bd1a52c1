"""Pictures cut to several shapes, so that they keep more of themselves."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from zoo.data.base import DataError
from zoo.data.buckets import bucket_of, bucket_sides
from zoo.data.images import Images


@pytest.fixture
def folder(tmp_path):
    """Pictures of the heights and widths in their names."""
    generator = np.random.default_rng(0)
    for height, width in ((20, 20), (21, 20), (20, 33), (20, 34), (33, 20), (10, 90)):
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{height}x{width}.png")
    return tmp_path


def images(folder, **options):
    return Images(path=str(folder), shape=(3, 32, 32), buckets=True, **options)


@pytest.mark.parametrize("sides", [(32, 32), (64, 64), (256, 256), (48, 80), (512, 512)])
@pytest.mark.parametrize("limit", [1.0, 2.0, 3.5])
def test_shapes_have_no_more_pixels_than_the_model(sides, limit):
    if max(sides) > limit * min(sides):
        pytest.skip("the shape itself is beyond the limit")
    shapes = bucket_sides(sides, limit, 8)
    assert sides in shapes
    assert len(set(shapes)) == len(shapes)
    for height, width in shapes:
        assert height % 8 == width % 8 == 0
        assert max(height, width) <= limit * min(height, width)
        assert height * width <= sides[0] * sides[1]
        # none could grow
        assert (height + 8) * width > sides[0] * sides[1] or height + 8 > limit * width
        assert height * (width + 8) > sides[0] * sides[1] or width + 8 > limit * height
    assert [h / w for h, w in shapes] == sorted(h / w for h, w in shapes)


def test_a_square_has_as_many_tall_shapes_as_wide_ones():
    shapes = bucket_sides((64, 64), 2.0, 8)
    assert shapes == [(48, 80), (56, 72), (64, 64), (72, 56), (80, 48)]


def test_nearest_proportions_by_their_logarithm():
    shapes = [(24, 40), (32, 32), (40, 24)]
    # between 24/40 and 1 lies the root of 0.6 = 0.775
    assert [bucket_of((100 * h, 1000), shapes) for h in (1, 7, 8, 10, 12, 13, 90)] == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["in memory", "from disk"])
def test_every_picture_is_in_one_group_and_has_its_shape(folder, memory_mb):
    data = images(folder, memory_mb=memory_mb)
    groups = data.groups()
    assert sorted(index for group in groups for index in group) == list(range(6))
    assert [sorted(data.files[index].stem for index in group) for group in groups] == [
        ["10x90", "20x33", "20x34"],
        ["20x20", "21x20"],
        ["33x20"],
    ]
    for group, shape in zip(groups, ((24, 40), (32, 32), (40, 24)), strict=True):
        assert {tuple(data[index]["x_0"].shape) for index in group} == {(3, *shape)}


def test_large_sets_give_the_same_examples(folder):
    cached, from_disk = images(folder), images(folder, memory_mb=0)
    for index in range(len(cached)):
        assert_close(cached[index]["x_0"], from_disk[index]["x_0"], rtol=0, atol=0)


def test_empty_buckets_are_left_out(folder):
    for file in folder.glob("2*.png"):
        file.unlink()
    data = images(folder)
    assert [len(group) for group in data.groups()] == [1, 1]
    assert "2 buckets 24x40 to 40x24" in data.describe()


def test_mirror_images_are_in_the_group_of_their_pictures(folder):
    data = images(folder, horizontal_flip=True)
    groups = data.groups()
    assert sorted(index for group in groups for index in group) == list(range(12))
    for group in groups:
        assert {(index + 6) % 12 for index in group} == set(group)
    assert_close(data[7]["x_0"], data[1]["x_0"].flip(-1))


def test_without_buckets_any_examples_share_a_batch(folder):
    assert Images(path=str(folder), shape=(3, 32, 32)).groups() is None


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["in memory", "from disk"])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff"])
def test_pictures_taken_upright_are_tall(tmp_path, memory_mb, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying
    Image.new("RGB", (60, 30), "red").save(tmp_path / f"a.{kind}", exif=exif)
    data = images(tmp_path, memory_mb=memory_mb)
    assert data.sizes == [(60, 30)]
    assert data[0]["x_0"].shape == (3, 40, 24)


def test_a_picture_that_broke_since_is_replaced_by_one_of_its_shape(folder):
    data = images(folder, memory_mb=0)
    place = next(index for index, file in enumerate(data.files) if file.stem == "10x90")
    data.files[place].write_bytes(b"gone")
    assert data[place]["x_0"].shape == (3, 24, 40)
    assert torch.isfinite(data[place]["x_0"]).all()
    assert data.lost() == 1
    assert data.describe().endswith("; 1 more found unreadable since")


def test_the_last_of_a_bucket_is_replaced_by_another_that_is_cut_to_it(folder):
    data = images(folder, memory_mb=0)
    place = next(index for index, file in enumerate(data.files) if file.stem == "33x20")
    data.files[place].unlink()
    other = (place + 1) % len(data)
    expected = data.pixels(other, data.sides(place))
    assert expected.shape == (3, 40, 24)
    assert_close(data[place]["x_0"], expected.float() / 127.5 - 1, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"divisor": 5}, "set data.divisor to a divisor of 32"),
        ({"divisor": 0}, "divisor and aspect_limit are numbers from 1"),
        ({"aspect_limit": 0.5}, "divisor and aspect_limit are numbers from 1"),
        ({"aspect_limit": float("nan")}, "divisor and aspect_limit are numbers from 1"),
    ],
)
def test_buckets_that_cannot_be(folder, options, message):
    with pytest.raises(DataError, match=message):
        images(folder, **options)


def test_a_model_that_is_itself_too_long(folder):
    with pytest.raises(DataError, match=r"the model's shape 16 x 64 is itself beyond data\.aspect_limit=2"):
        Images(path=str(folder), shape=(3, 16, 64), buckets=True)
