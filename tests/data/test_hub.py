"""Sets of the datasets library, made here and read from the disk."""

import io
import pickle
import sys

import pytest
import torch
from PIL import Image

from zoo.data.base import DataError
from zoo.data.hub import Hub

SHAPE = (3, 8, 8)


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


@pytest.fixture
def table(library):
    features = library.Features(
        {
            "picture": library.Image(),
            "kind": library.ClassLabel(names=["a", "b", "c", "d"]),
            "words": library.Value("string"),
        }
    )
    rows = {
        "picture": [Image.new("RGB", (9, 8), (10 * n, 10 * n, 10 * n)) for n in range(6)],
        "kind": [n % 3 for n in range(6)],
        "words": ["x"] * 6,
    }
    return library.Dataset.from_dict(rows, features=features)


def hub(path, **options):
    return Hub(path=str(path), shape=SHAPE, **{"image": "picture", **options})


def tones(data):
    return [round((float(data[i]["x_0"].mean()) + 1) * 127.5) for i in range(len(data))]


def saved(library, table, at, how):
    if how == "folder":
        table.save_to_disk(str(at / "set"))
    elif how == "splits":
        library.DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(str(at / "set"))
    else:
        (at / "set").mkdir()
        table.to_parquet(str(at / "set" / "part-0.parquet"))
    return at / "set"


@pytest.mark.parametrize("how", ["folder", "splits", "parquet"])
def test_sets_on_the_disk(library, table, tmp_path, how):
    path = saved(library, table, tmp_path, how)
    data = hub(path, label="kind")
    assert tones(data) == [10 * n for n in range(6)]
    assert [data[n]["labels"] for n in range(6)] == [0, 1, 2, 0, 1, 2]
    assert data.classes == 4
    assert data[0]["x_0"].shape == torch.Size(SHAPE)
    assert data.describe() == f"6 images of {path}, train, 3x8x8, 4 classes"
    assert hub(path, horizontal_flip=True)[6]["labels"] == -1


def test_files_tell_their_split_by_their_names(library, table, tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    table.to_parquet(str(tmp_path / "set" / "data" / "train-00000-of-00001.parquet"))
    table.select([4, 2]).to_parquet(str(tmp_path / "set" / "data" / "test-00000-of-00001.parquet"))
    assert tones(hub(tmp_path / "set")) == [10 * n for n in range(6)]
    assert tones(hub(tmp_path / "set", split="test")) == [40, 20]


def test_can_be_handed_to_another_process(library, table, tmp_path):
    data = hub(saved(library, table, tmp_path, "folder"), label="kind")
    assert tones(pickle.loads(pickle.dumps(data))) == tones(data)


def test_what_is_broken_is_replaced_and_columns_that_are_not_asked_for_do_not_matter(library, tmp_path):
    held = io.BytesIO()
    Image.new("RGB", (8, 8), (60, 60, 60)).save(held, format="png")
    whole, broken = {"bytes": held.getvalue(), "path": None}, {"bytes": b"no picture", "path": None}
    plain = library.Features({"picture": library.Image(decode=False), "other": library.Image(decode=False)})
    table = library.Dataset.from_dict({"picture": [broken, None, whole], "other": [broken] * 3}, features=plain)
    for column in ("picture", "other"):
        table = table.cast_column(column, library.Image())
    data = hub(saved(library, table, tmp_path, "folder"))
    assert tones(data) == [60, 60, 60]
    assert data.lost() == 2


def test_errors_say_what_is_wrong(library, table, tmp_path):
    path = saved(library, table, tmp_path, "splits")
    with pytest.raises(DataError, match="has no split 'validation'; it has train, test"):
        hub(path, split="validation")
    with pytest.raises(DataError, match="has no column 'image'; it has picture, kind, words"):
        hub(path, image="image")
    with pytest.raises(DataError, match=r"column 'words' of .* holds Value, expected Image"):
        hub(path, image="words")
    with pytest.raises(DataError, match=r"column 'words' of .* holds no classes"):
        hub(path, label="words")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("")
    with pytest.raises(DataError, match="holds no set of datasets"):
        hub(tmp_path / "other")


def test_what_cannot_be_fetched_is_one_error(library):
    with pytest.raises(DataError, match="cannot be had"):
        hub("nobody/nothing-of-this-name")


def test_without_the_library_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'diffusion-zoo\[datasets\]'"):
        hub(tmp_path)
