"""Pictures in tar files."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.base import DataError
from zoo.data.shards import Shards
from zoo.training.feed import Order, batches

SHAPE = (3, 8, 8)


def png(tone, size=(8, 8)):
    held = io.BytesIO()
    Image.new("RGB", size, (tone, tone, tone)).save(held, format="png")
    return held.getvalue()


def write(file, members):
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def shards(path, shape=SHAPE, **options):
    return Shards(path=str(path), shape=shape, **options)


@pytest.fixture
def folder(tmp_path):
    """Three tars of four examples, whose tones are 10 x their numbers and whose classes are those modulo 3."""
    for shard in range(3):
        members = []
        for number in range(4 * shard, 4 * shard + 4):
            members += [
                (f"set/{number:03d}.png", png(10 * number)),
                (f"set/{number:03d}.cls", str(number % 3).encode()),
                (f"set/{number:03d}.json", json.dumps({"kind": number % 5}).encode()),
            ]
        write(tmp_path / f"data-{shard:02d}.tar", members)
    (tmp_path / "README").write_text("not a tar")
    return tmp_path


def tone(example):
    return round((float(example["x_0"].mean()) + 1) * 127.5)


def test_examples_come_in_the_order_of_the_shards(folder):
    data = shards(folder, label="cls")
    assert len(data) == 12
    assert [tone(data[i]) for i in range(12)] == [10 * i for i in range(12)]
    assert [data[i]["labels"] for i in range(12)] == [i % 3 for i in range(12)]
    assert data[5]["x_0"].shape == SHAPE
    assert data[5]["x_0"].dtype == torch.float32
    assert data.classes == 3
    assert data.describe() == f"12 images in 3 tar files of {folder}, 3x8x8, 3 classes"


def test_classes_may_be_an_entry_of_json_or_none(folder):
    assert [shards(folder, label="json.kind")[i]["labels"] for i in range(6)] == [0, 1, 2, 3, 4, 0]
    data = shards(folder)
    assert (data.classes, data[3]["labels"]) == (None, -1)
    assert shards(folder, label="cls", classes=7).classes == 7


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data-{00..01}.tar", 8),
        ("data-0[12].tar", 8),
        ("data-*.tar", 12),
        ("data-02.tar", 4),
        ("data-{2..2}.tar", None),
    ],
)
def test_patterns(folder, pattern, expected):
    if expected is None:
        with pytest.raises(DataError, match="there is no file"):
            shards(folder / pattern)
    else:
        assert len(shards(folder / pattern)) == expected


def test_mirror_images_come_after(tmp_path):
    left = Image.fromarray(np.repeat(np.array([[[0], [255]]], np.uint8), 3, axis=2)).resize((8, 8), 0)
    held = io.BytesIO()
    left.save(held, format="png")
    write(tmp_path / "a.tar", [("one.png", held.getvalue())])
    data = shards(tmp_path, horizontal_flip=True)
    assert len(data) == 2
    assert torch.equal(data[0]["x_0"].flip(-1), data[1]["x_0"])


def test_what_is_no_picture_is_skipped_and_counted(tmp_path):
    members = [("a.png", png(0)), ("b.png", b"no picture"), ("c.txt", b"words"), ("d.PNG", png(60)), ("e.jpg", b"")]
    write(tmp_path / "a.tar", members)
    data = shards(tmp_path)
    assert [tone(data[i]) for i in range(len(data))] == [0, 60]
    assert "3 examples that are no whole pictures skipped" in data.describe()
    assert data.left_out() == {
        f"{tmp_path / 'a.tar'}: b.png": "it is in no known format",
        f"{tmp_path / 'a.tar'}: c.txt": "it has no picture",
        f"{tmp_path / 'a.tar'}: e.jpg": "it is in no known format",
    }


@pytest.fixture
def broken(tmp_path):
    """Two pictures of one class each, of which the first breaks behind its head."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    held = io.BytesIO()
    noise.save(held, format="png")
    members = [("a.png", held.getvalue()[:2000]), ("a.cls", b"0"), ("b.png", png(60)), ("b.cls", b"1")]
    write(tmp_path / "a.tar", members)
    return tmp_path


def test_a_picture_that_breaks_behind_its_head_is_replaced(broken):
    data = shards(broken, label="cls")
    assert len(data) == 2
    assert (tone(data[0]), data[0]["labels"]) == (60, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_told_once_and_counted_whoever_finds_it(broken, caplog, workers):
    data = shards(broken)
    feed = batches(data, Order([range(2)], 2, seed=3), workers)
    for _ in range(6):
        next(feed)
    feed.close()
    assert data.lost() == 1
    assert data.describe().endswith("; 1 more found unreadable since")
    if not workers:
        (told,) = caplog.messages
        assert "a.tar: a.png: cannot be read as a picture: " in told


def test_a_tar_that_is_gone_is_a_picture_that_cannot_be_read(folder):
    data = shards(folder, label="cls")
    (folder / "data-01.tar").unlink()
    assert [tone(data[i]) // 10 for i in range(12)] == [0, 1, 2, 3, 8, 8, 8, 8, 8, 9, 10, 11]
    assert data.lost() == 4
    for shard in ("00", "02"):
        (folder / f"data-{shard}.tar").unlink()
    with pytest.raises(DataError, match="none of the pictures can be read any more"):
        data[0]


def test_of_several_pictures_one_has_to_be_named(tmp_path):
    members = [("a.jpg.png", png(0)), ("a.mask.png", png(255)), ("b.mask.png", png(255)), ("b.jpg.png", png(60))]
    write(tmp_path / "a.tar", members)
    with pytest.raises(
        DataError, match=r"a\.jpg\.png is one of several .*\(\.jpg\.png \.mask\.png\); data\.image says"
    ):
        shards(tmp_path)
    data = shards(tmp_path, image="jpg.png")
    assert [tone(data[i]) for i in range(2)] == [0, 60]


def test_a_tar_that_was_cut_short_gives_what_it_has(folder):
    file = folder / "data-02.tar"
    file.write_bytes(file.read_bytes()[: 4 * 1024])
    data = shards(folder)
    assert 8 < len(data) < 12
    assert f"1 damaged: {file}" in data.describe()


@pytest.mark.parametrize(("filler", "said"), [(b"\xff", "is damaged behind"), (b"\0", "goes on behind its end")])
def test_a_damaged_head_is_told(folder, filler, said):
    file = folder / "data-01.tar"
    with tarfile.open(file) as tar:
        head, before = tar.getmembers()[6].offset, tar.getmembers()[5].name
    content = file.read_bytes()
    file.write_bytes(content[:head] + filler * 512 + content[head + 512 :])
    data = shards(folder, label="cls")
    assert [tone(data[i]) // 10 for i in range(len(data))] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert f"1 damaged: {file} {said}" in data.describe()
    assert before in data.describe()


def test_an_example_that_lost_its_class_to_a_cut_is_skipped(folder):
    file = folder / "data-02.tar"
    with tarfile.open(file) as tar:
        head = next(member.offset for member in tar if member.name == "set/010.cls")
    file.write_bytes(file.read_bytes()[:head])
    data = shards(folder, label="cls")
    assert [data[i]["labels"] for i in range(len(data))] == [i % 3 for i in range(10)]
    assert "1 examples that are no whole pictures skipped; 1 damaged" in data.describe()


@pytest.mark.parametrize("ending", ["tar.gz", "tgz"])
def test_compressed_tars_are_refused(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(b"")
    for path in (tmp_path, tmp_path / f"a.{ending}"):
        with pytest.raises(DataError, match=r"is compressed, .*unpack it to a \.tar"):
            shards(path)


def test_errors_say_what_is_wrong(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.tar files"):
        shards(tmp_path / "empty")
    with pytest.raises(DataError, match=r"no member with an ending \.webp in 3 tar files"):
        shards(folder, image="webp")
    with pytest.raises(DataError, match=r"has no member \.class beside it \(there are \.png \.cls \.json\)"):
        shards(folder, label="class")
    with pytest.raises(DataError, match="its entry 'sort' is no class"):
        shards(folder, label="json.sort")
    with pytest.raises(DataError, match="label 2 is none of the 2 classes"):
        shards(folder, label="cls", classes=2)
    with pytest.raises(DataError, match="the model's shape must be"):
        shards(folder, shape=(4, 8, 8))


@pytest.mark.parametrize("workers", [0, 2])
def test_readers_in_processes_give_the_same(folder, workers):
    data = pickle.loads(pickle.dumps(shards(folder, label="cls")))
    feed = batches(data, Order([range(len(data))], 6, seed=3), workers)
    first = next(feed)
    expected = next(batches(data, Order([range(len(data))], 6, seed=3), 0))
    assert torch.equal(first["x_0"], expected["x_0"])
    assert torch.equal(first["labels"], expected["labels"])
    feed.close()
