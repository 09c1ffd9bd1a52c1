"""Folders as people have them: odd sizes, alpha, EXIF, broken files."""

import os
import sys

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.testing import assert_close
from torch.utils.data import DataLoader

from zoo.data import pictures
from zoo.data.base import DataError
from zoo.data.images import Images


@pytest.fixture
def save(tmp_path):
    def save(name, image, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return save


def images(folder, shape=(3, 8, 8), **options):
    return Images(path=str(folder), shape=shape, **options)


def plain(size=(8, 8), colour="red", mode="RGB"):
    return Image.new(mode, size, colour)


def test_values_shape_and_labels(save, tmp_path):
    save("a.png", plain(colour=(0, 255, 255)))
    data = images(tmp_path)
    example = data[0]
    assert len(data) == 1
    assert example["labels"] == -1
    assert data.classes is None
    assert example["x_0"].shape == (3, 8, 8)
    assert example["x_0"].dtype == torch.float32
    assert example["x_0"].amin((1, 2)).tolist() == [-1.0, 1.0, 1.0]


def test_folders_below_and_every_format(save, tmp_path):
    save("a.JPG", plain(), format="jpeg")
    save("deep/er/b.webp", plain())
    save("deep/c.gif", plain(mode="P", colour=0), save_all=True, append_images=[plain(mode="P", colour=1)])
    save("d.tiff", plain(mode="CMYK", colour=(0, 0, 0, 0)))
    save("e.bmp", plain(mode="1", colour=1))
    save("f.jfif", plain(), format="jpeg")
    data = images(tmp_path)
    assert {file.name for file in data.files} == {"a.JPG", "b.webp", "c.gif", "d.tiff", "e.bmp", "f.jfif"}
    assert not data.unreadable


def test_hidden_and_foreign_files_are_no_pictures(save, tmp_path):
    save("a.png", plain())
    save(".thumbnails/b.png", plain())
    (tmp_path / "readme.txt").write_text("hello")
    data = images(tmp_path)
    assert len(data) == 1
    assert not data.unreadable


def test_transparency_lies_on_white(save, tmp_path):
    save("a.png", Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    half = Image.new("LA", (8, 8), (0, 127))
    save("b.png", half)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0] * 256)
    save("c.png", palette, transparency=0)
    data = images(tmp_path)
    assert_close(data[0]["x_0"], torch.ones(3, 8, 8))
    assert_close(data[2]["x_0"], torch.ones(3, 8, 8))
    # alpha 127/255 of black over white is 128/255, give or take a rounding
    assert_close(data[1]["x_0"], torch.full((3, 8, 8), 128 / 127.5 - 1), rtol=0, atol=1.01 / 127.5)


def test_the_camera_orientation_is_respected(save, tmp_path):
    upright = Image.fromarray(np.uint8([[255] * 8] * 4 + [[0] * 8] * 4))
    save("a.png", upright)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees to the left
    save("b.png", upright.rotate(90), exif=exif)
    data = images(tmp_path, shape=(1, 8, 8))
    assert_close(data[1]["x_0"], data[0]["x_0"])


def test_the_centre_is_kept_with_its_proportions(save, tmp_path):
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 255
    save("a.png", Image.fromarray(wide))
    assert_close(images(tmp_path)[0]["x_0"], torch.ones(3, 8, 8))


def test_sizes_that_are_not_square(save, tmp_path):
    save("a.png", plain((40, 10)))
    assert images(tmp_path, shape=(1, 4, 16))[0]["x_0"].shape == (1, 4, 16)


def test_one_pixel_fills_the_image(save, tmp_path):
    save("a.png", plain((1, 1), "white"))
    assert_close(images(tmp_path)[0]["x_0"], torch.ones(3, 8, 8))


def test_sixteen_bit_greys_are_scaled_not_cut(save, tmp_path):
    save("a.png", Image.fromarray(np.full((8, 8), 32768, np.uint16)))
    assert_close(images(tmp_path, shape=(1, 8, 8))[0]["x_0"], torch.full((1, 8, 8), 128 / 127.5 - 1))


def test_the_transparent_one_of_sixteen_bit_greys_is_white_and_the_others_keep_their_tones(save, tmp_path):
    greys = np.full((8, 8), 32768, np.uint16)
    greys[:, 4:] = 300
    save("a.png", Image.fromarray(greys), transparency=300)
    x_0 = images(tmp_path, shape=(1, 8, 8))[0]["x_0"]
    assert_close(x_0[..., :4], torch.full((1, 8, 4), 128 / 127.5 - 1))
    assert_close(x_0[..., 4:], torch.ones(1, 8, 4))


def test_every_kind_of_colour_has_greys(save, tmp_path):
    for mode in ("RGB", "CMYK", "LAB", "YCbCr"):
        save(f"{mode}.tiff", plain(colour="white").convert(mode))
    data = images(tmp_path, shape=(1, 8, 8))
    assert not data.unreadable
    for index in range(len(data)):
        # a level of 255 each for the way to another space and back
        assert_close(data[index]["x_0"], torch.ones(1, 8, 8), rtol=0, atol=2.01 / 127.5)


def test_large_photos_are_decoded_small_and_look_the_same(save, tmp_path):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    photo = Image.fromarray(np.stack([np.tile(ramp, (512, 1))] * 3, -1))
    save("a.jpg", photo, quality=95)
    save("b.png", photo)
    data = images(tmp_path)
    # JPEG at quality 95, decoded at an eighth, is within a few of 255 levels
    assert_close(data[0]["x_0"], data[1]["x_0"], rtol=0, atol=4 / 127.5)


def test_pictures_of_phones_and_cameras_that_are_not_read_are_told(save, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_learned_heif", lambda: False)
    save("a.png", plain())
    (tmp_path / "b.HEIC").write_bytes(b"")
    save("c.dng", plain(), format="tiff")  # what Pillow would read of a raw file is its preview
    data = images(tmp_path)
    assert [file.name for file in data.files] == ["a.png"]
    assert data.unreadable == {
        tmp_path / "b.HEIC": "pictures .heic need an extra, pip install 'diffusion-zoo[heif]', or save it as .jpg",
        tmp_path / "c.dng": "pictures .dng are not read, save it as .jpg or .png",
    }


def test_without_its_extra_the_format_of_phones_is_not_learned(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert not pictures._learned_heif.__wrapped__()


def test_pictures_of_phones_are_read_upright(save, tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    sides = np.zeros((32, 64, 3), np.uint8)
    sides[:, 32:] = 255  # black at the left, white at the right
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise: black at the top
    save("a.heic", Image.fromarray(sides), format="HEIF", quality=90, exif=exif.tobytes())
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:200])
    data = images(tmp_path, shape=(3, 16, 8))
    assert data.sizes == [(64, 32)]
    assert [file.name for file in data.unreadable] == ["b.heic"]
    x_0 = data[0]["x_0"]
    # colours of neighbouring pixels are stored at half their number
    assert x_0[:, :7].max() < -0.9
    assert x_0[:, 9:].min() > 0.9


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["in memory", "from disk"])
def test_unreadable_files_are_skipped_and_counted(save, tmp_path, memory_mb):
    save("a.png", plain())
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c.jpg").write_bytes(b"")
    save("d.png", plain())
    data = images(tmp_path, memory_mb=memory_mb)
    assert [file.name for file in data.files] == ["a.png", "d.png"]
    assert len(data.unreadable) == 2
    assert "2 unreadable files skipped" in data.describe()


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["in memory", "from disk"])
def test_a_truncated_file_does_not_stop_an_epoch(save, tmp_path, memory_mb):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    broken = save("a.png", Image.fromarray(noise))
    broken.write_bytes(broken.read_bytes()[:4000])
    save("b.png", plain())
    data = images(tmp_path, memory_mb=memory_mb)
    for index in range(len(data)):
        assert_close(data[index]["x_0"], images(tmp_path)[0]["x_0"])


def test_sets_too_large_for_memory_give_the_same_examples(save, tmp_path):
    for index in range(5):
        save(f"{index}.png", plain((9 + index, 7), (index * 50, 0, 0)))
    cached, from_disk = images(tmp_path), images(tmp_path, memory_mb=0)
    for index in range(5):
        assert_close(cached[index]["x_0"], from_disk[index]["x_0"], rtol=0, atol=0)


def test_folders_are_classes_in_natural_order(save, tmp_path):
    for name in ("10", "9", "cat/young"):
        save(f"{name}/a.png", plain())
    data = images(tmp_path, class_folders=True)
    assert data.classes == 3
    assert [(file.parent.name, label) for file, label in zip(data.files, data.labels, strict=True)] == [
        ("9", 0),
        ("10", 1),
        ("young", 2),
    ]


def test_a_picture_outside_of_the_class_folders_is_named(save, tmp_path):
    save("cat/a.png", plain())
    save("b.png", plain())
    with pytest.raises(DataError, match=r"b\.png is in no class"):
        images(tmp_path, class_folders=True)


def test_mirror_images_double_the_set(save, tmp_path):
    half = np.zeros((8, 8), np.uint8)
    half[:, :4] = 255
    save("a.png", Image.fromarray(half))
    data = images(tmp_path, shape=(1, 8, 8), horizontal_flip=True)
    assert len(data) == 2
    assert_close(data[1]["x_0"], data[0]["x_0"].flip(-1))
    assert not torch.equal(data[0]["x_0"], data[1]["x_0"])
    with pytest.raises(IndexError):
        data[2]


def test_an_epoch_comes_out_of_a_loader(save, tmp_path):
    for index in range(4):
        save(f"{index}.png", plain())
    (batch,) = DataLoader(images(tmp_path), batch_size=4)
    assert batch["x_0"].shape == (4, 3, 8, 8)
    assert batch["labels"].tolist() == [-1] * 4


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"nothing to train on in .*: it has no files \.avif"):
        images(tmp_path)


def test_a_folder_of_broken_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of its 1 pictures can be read; a\.png: it is in no known format"):
        images(tmp_path)


def test_a_folder_that_is_closed_is_named(save, tmp_path, monkeypatch):
    save("a.png", plain())
    save("closed/b.png", plain())
    opened = os.scandir

    def scandir(folder):
        if folder.endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return opened(folder)

    # what a user without rights would meet; the one who runs tests may have all of them
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="closed: cannot be looked into: permission denied"):
        images(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes that have names")
def test_what_only_has_the_name_of_a_picture_is_none(save, tmp_path):
    save("a.png", plain())
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    (tmp_path / "d.png").symlink_to("nowhere")
    data = images(tmp_path)
    assert len(data) == 1
    assert not data.unreadable


def test_fractions_are_refused_for_nothing_says_what_is_white(save, tmp_path):
    save("a.png", plain())
    save("b.tiff", Image.fromarray(np.random.default_rng(0).random((8, 8)).astype(np.float32)))
    data = images(tmp_path)
    assert [file.name for file in data.files] == ["a.png"]
    assert "its values are fractions" in data.unreadable[tmp_path / "b.tiff"]


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["in memory", "from disk"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [25, 40], ids=["warned of by Pillow", "refused by Pillow"])
def test_a_picture_of_too_many_pixels_is_left_out(save, tmp_path, monkeypatch, side, memory_mb):
    save("a.png", plain((side, side)))
    save("b.png", plain((10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    data = images(tmp_path, memory_mb=memory_mb)
    assert data.unreadable == {tmp_path / "a.png": "it has too many pixels"}


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        images(tmp_path / "nowhere")


@pytest.mark.parametrize("shape", [None, (3, None, 8), (4, 8, 8), (80, 100)])
def test_a_shape_that_is_not_an_image(save, tmp_path, shape):
    save("a.png", plain())
    with pytest.raises(DataError, match=r"shape must be \[1 or 3, height, width\]"):
        images(tmp_path, shape=shape)
