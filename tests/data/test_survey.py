"""What is found about a set before a model is trained on it."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from zoo.data.base import DataError, Dataset, InMemory
from zoo.data.images import Images
from zoo.data.latents import Latents
from zoo.data.shards import Shards
from zoo.progress import result
from zoo.survey import survey
from zoo.survey.duplicates import equal, similar
from zoo.survey.sizes import measure

ALTERED = (("jpeg", "jpg"), ("small", "png"), ("dull", "png"), ("cut", "png"))


@pytest.fixture
def draw():
    """Smooth pictures, no two alike."""
    generator = np.random.default_rng(0)

    def draw(height=40, width=40):
        return Image.fromarray(generator.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height))

    return draw


def images(folder, shape=(3, 16, 16), **options):
    return Images(path=str(folder), shape=shape, **options)


def fill(folder, count, draw, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        draw(**options).save(folder / f"{index}.png")


def test_different_pictures_are_told_as_such(tmp_path, draw):
    fill(tmp_path, 12, draw)
    found = survey(images(tmp_path))
    assert (found.pictures, found.distinct, found.examples) == (12, 12, 12)
    assert not found.copies
    assert not found.near
    assert found.duplicates is None
    assert found.sheet.images.shape == (12, 3, 16, 16)


def test_altered_copies_are_near_and_others_are_not(tmp_path, draw):
    fill(tmp_path, 12, draw, height=160, width=160)
    first = Image.open(tmp_path / "0.png")
    first.save(tmp_path / "altered-jpeg.jpg", quality=40)
    first.resize((90, 90)).save(tmp_path / "altered-small.png")
    first.point(lambda value: value * 0.7 + 20).save(tmp_path / "altered-dull.png")
    first.crop((3, 3, 157, 157)).save(tmp_path / "altered-cut.png")
    found = survey(images(tmp_path))
    (group,) = found.near
    assert set(group.names) == {"0.png", *(f"altered-{how}.{kind}" for how, kind in ALTERED)}
    assert list(group.distances) == sorted(group.distances)
    assert found.distinct == 12
    assert found.duplicates.images.shape == (5, 3, 16, 16)


def test_copies_are_equal_whatever_the_format(tmp_path, draw):
    fill(tmp_path, 3, draw)
    Image.open(tmp_path / "1.png").convert("RGBA").save(tmp_path / "copy.bmp")
    found = survey(images(tmp_path))
    assert [list(group.names) for group in found.copies] == [["1.png", "copy.bmp"]]
    assert not found.near
    assert found.distinct == 3


def test_copies_in_two_classes_are_told(tmp_path, draw):
    fill(tmp_path / "cat", 3, draw)
    fill(tmp_path / "dog", 3, draw)
    Image.open(tmp_path / "cat" / "0.png").save(tmp_path / "dog" / "9.png")
    Image.open(tmp_path / "cat" / "1.png").save(tmp_path / "cat" / "9.png")
    found = survey(images(tmp_path, class_folders=True))
    assert [list(group.names) for group in found.two_classes] == [[f"cat{os.sep}0.png", f"dog{os.sep}9.png"]]
    assert len(found.copies) == 2


def test_pictures_of_one_colour_are_not_near_to_each_other(tmp_path):
    for index in range(10):
        Image.new("RGB", (40, 40), (index * 20, 100, 0)).save(tmp_path / f"{index}.jpg")
    found = survey(images(tmp_path))
    assert len(found.blank) == 10
    assert not found.near
    assert found.distinct == 10


def test_faint_pictures_are_compared_by_what_is_on_them(tmp_path, draw):
    for index in range(8):
        faint = np.asarray(draw()).astype(float) * 0.08 + 230
        Image.fromarray(faint.round().astype(np.uint8)).save(tmp_path / f"{index}.png")
    found = survey(images(tmp_path))
    assert not found.blank
    assert not found.near


def test_sets_are_compared_across_blocks():
    # 20 pictures three times, far from each other: the second and third are beyond a block of 1,024
    noise = torch.randint(0, 256, (1500, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    noise[1200:1220] = noise[1480:] = noise[:20]
    found = result(similar(noise))
    assert [list(group.places) for group in found] == [[index, 1200 + index, 1480 + index] for index in range(20)]
    assert all(max(group.distances) == 0 for group in found)


def test_pictures_of_the_same_greys_differ_by_their_colours():
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 1, 16, 16, generator=generator) * 20
    colours = torch.rand(6, 3, 16, 16, generator=generator) * 40
    found = result(similar((180 + grey + colours - colours.mean(1, keepdim=True)).byte()))
    assert not found


def test_a_chain_is_not_one_picture():
    # each is near to the next, and the first to the last is not
    ends = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    steps = torch.linspace(0, 1, 30)[:, None, None, None]
    chain = (ends[0] * (1 - steps) + ends[1] * steps).repeat_interleave(2, 2).repeat_interleave(2, 3).byte()
    found = result(similar(chain))
    assert len(found) > 1
    assert max(max(group.distances) for group in found) <= 0.2


def test_equal_keys_are_grouped_in_order():
    assert [list(group.places) for group in equal([b"a", b"b", b"a", b"c", b"b", b"a"])] == [[0, 2, 5], [1, 4]]


def test_sizes_by_hand():
    # (h, w): fits; is wide: half is cut; is small: grows twofold
    found = measure([(64, 64), (32, 64), (16, 16)], [(32, 32)] * 3)
    assert found.smallest == (16, 16)
    assert found.largest == (64, 64)
    assert found.enlarged == 1
    assert found.aspects == (1.0, 1.0, 2.0)
    assert found.cut == pytest.approx(0.5 / 3)
    assert found.cut_much == 1
    assert found.fitting == 16


def test_buckets_cut_less(tmp_path, draw):
    fill(tmp_path, 4, draw, height=40, width=70)
    one, several = survey(images(tmp_path)), survey(images(tmp_path, (3, 32, 32), buckets=True))
    assert one.sizes.cut_much == 4
    assert several.sizes.cut_much == 0
    assert several.buckets == {"24x40": 4, "32x32": 0, "40x24": 0}
    assert any("data.buckets=true" in remark for remark in one.remarks)
    assert not any("data.buckets=true" in remark for remark in several.remarks)


def test_unreadable_files_have_names_and_reasons(tmp_path, draw):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:4000])
    (tmp_path / "text.png").write_bytes(b"no picture")
    fill(tmp_path, 3, draw)
    for memory_mb in (1, 0):  # held in memory; read when it is looked at
        found = survey(images(tmp_path, memory_mb=memory_mb))
        assert found.pictures == 3
        assert set(found.unreadable) == {"cut.png", "text.png"}
        assert "no known format" in found.unreadable["text.png"]


def test_a_large_set_of_which_none_can_be_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:4000])
    with pytest.raises(DataError, match="none of these can be read to its end"):
        survey(images(tmp_path, memory_mb=0))


def test_tars_are_looked_at_as_folders_are(tmp_path, draw):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for index in range(5):
            held = io.BytesIO()
            (draw() if index else Image.fromarray(noise)).save(held, format="png")
            content = held.getvalue() if index else held.getvalue()[:4000]
            for name, part in ((f"{index}.png", content), (f"{index}.cls", b"%d" % (index % 2))):
                info = tarfile.TarInfo(name)
                info.size = len(part)
                tar.addfile(info, io.BytesIO(part))
        tar.addfile(tarfile.TarInfo("5.txt"))
    data = Shards(path=str(tmp_path), label="cls", horizontal_flip=True, shape=(3, 16, 16))
    found = survey(data)
    assert (found.pictures, found.distinct, found.examples) == (4, 4, 10)
    assert not found.copies
    assert {name: found.unreadable[f"{tmp_path / 'a.tar'}: {name}"] for name in ("0.png", "5.txt")} == {
        "0.png": "image file is truncated",
        "5.txt": "it has no picture",
    }
    assert found.classes == {"0": 2, "1": 2}
    assert not any("horizontal_flip" in remark for remark in found.remarks)


def test_mirror_images_are_no_duplicates(tmp_path, draw):
    fill(tmp_path, 5, draw)
    found = survey(images(tmp_path, horizontal_flip=True))
    assert (found.pictures, found.examples, found.distinct) == (5, 10, 5)
    assert not any("horizontal_flip" in remark for remark in found.remarks)
    assert any("horizontal_flip" in remark for remark in survey(images(tmp_path)).remarks)


def test_classes_are_counted_and_suggested(tmp_path, draw):
    fill(tmp_path / "9", 3, draw)
    fill(tmp_path / "10", 4, draw)
    (tmp_path / "8").mkdir()
    found = survey(images(tmp_path, class_folders=True))
    assert list(found.classes.items()) == [("9", 3), ("10", 4)]
    assert any("2 of 2 classes have fewer than 50 pictures: 9 3, 10 4" in remark for remark in found.remarks)
    assert "1 folder holds no pictures and is no class: 8" in found.remarks
    plain = survey(images(tmp_path))
    assert not plain.classes
    assert list(plain.folders) == ["9", "10"]
    assert any("data.class_folders=true" in remark for remark in plain.remarks)


@pytest.mark.parametrize(("count", "told"), [(4, "too few to train"), (499, "too few"), (500, "a small set")])
def test_the_verdict_on_the_number(count, told):
    noise = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = survey(InMemory(noise, None, classes=None, title="noise"))
    assert found.distinct == count
    assert any(told in remark for remark in found.remarks)


def test_colours_that_a_grey_model_does_not_see(tmp_path):
    for number in range(3):
        Image.new("RGB", (16, 16), (90 * number, 90 * number, 90 * number + 10)).save(tmp_path / f"{number}.png")
    told = "pictures have colours, which it will not see"
    assert told not in " ".join(survey(images(tmp_path, (1, 16, 16))).remarks), "a tinge is no colour"
    Image.new("RGB", (16, 16), (200, 90, 90)).save(tmp_path / "red.png")
    assert told in " ".join(survey(images(tmp_path, (1, 16, 16))).remarks)
    assert told not in " ".join(survey(images(tmp_path)).remarks)


def test_a_set_in_memory_with_classes():
    noise = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = survey(InMemory(noise, torch.arange(40) % 4, classes=4, title="noise"), number=12)
    assert list(found.classes.values()) == [10] * 4
    assert found.sizes is None
    # three classes of four each is what twelve pictures suffice for
    assert (found.sheet.columns, len(found.sheet.images), len(found.sheet.titles)) == (4, 12, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 16])
def test_latents_are_looked_at_in_false_colours(tmp_path, channels):
    rows = 5 * torch.randn(12, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    rows[7] = rows[2]
    np.save(tmp_path / "a.npy", rows.numpy())
    found = survey(Latents(path=str(tmp_path), shape=(channels, 8, 8)))
    assert [list(group.names) for group in found.copies] == [["#2", "#7"]]
    assert (found.shape, found.pictures, found.distinct) == ((channels, 8, 8), 12, 11)
    assert not found.blank
    assert found.sheet.images.shape == (12, 3 if channels >= 3 else 1, 8, 8)
    # three standard deviations are 1, so all are seen but 0.3 % of a normal distribution
    assert found.sheet.images.abs().gt(1).float().mean() < 0.01
    assert found.duplicates.images.shape[0] == 2
    found.sheet.save(tmp_path / "sheet.png")


def test_the_sheet_is_what_the_model_sees_and_the_seed_decides(tmp_path, draw):
    fill(tmp_path, 20, draw)
    data = images(tmp_path)
    one, same, other = (survey(data, number=6, seed=seed).sheet.images for seed in (0, 0, 1))
    assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    every = [data[index]["x_0"] for index in range(20)]
    assert all(any(torch.equal(shown, x_0) for x_0 in every) for shown in one)


def test_sheets_have_titles_and_places_for_all_shapes(tmp_path, draw):
    fill(tmp_path / "고양이", 3, draw, height=70)
    fill(tmp_path / "dog", 2, draw)
    found = survey(images(tmp_path, (3, 32, 32), class_folders=True, buckets=True))
    assert found.sheet.images.shape == (6, 3, 40, 32)
    picture = found.sheet.picture()
    # twice as large, and titles at the left
    assert picture.height == 2 * 80 + 2
    assert picture.width > 3 * 64 + 4
    found.sheet.save(tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == picture.size


def test_the_result_is_plain_data(tmp_path, draw):
    fill(tmp_path, 4, draw)
    Image.open(tmp_path / "0.png").save(tmp_path / "copy.png")
    tree = json.loads(json.dumps(survey(images(tmp_path)).to_dict(), allow_nan=False))
    assert tree["pictures"] == 5
    assert tree["copies"] == [{"names": ["0.png", "copy.png"], "distances": [0.0]}]
    assert tree["sizes"]["smallest"] == [40, 40]


class Sounds(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"x_0": torch.zeros(80, 100)}

    def describe(self):
        return "3 sounds"


def test_what_is_no_picture_is_refused():
    with pytest.raises(DataError, match=r"3 sounds: an example has the shape \(80, 100\) and is no picture"):
        survey(Sounds())
