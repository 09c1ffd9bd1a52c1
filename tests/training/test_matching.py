"""Networks, data and settings that go together, or do not."""

import pytest
import torch
from PIL import Image

from zoo.data.base import InMemory
from zoo.data.images import Images
from zoo.training import matching
from zoo.training.resume import ResumeError
from zoo.training.run import TrainingError
from zoo.training.settings import Settings

GREY = {"shape": [1, 8, 8], "denoiser": {"name": "unet", "in_channels": 1, "classes": 10, "resolution": 8}}


def data(classes=10, n=20):
    return InMemory(torch.zeros(n, 1, 8, 8), torch.arange(n) % classes, classes=classes, title="pictures")


def test_what_goes_together_is_left_in_peace():
    matching.check(GREY, Settings())
    matching.check_data(Settings(), data())
    assert matching.takes_labels(GREY, data())
    assert matching.remarks(GREY, data()) == ()


@pytest.mark.parametrize(
    ("tree", "settings", "message"),
    [
        (
            {"shape": [3, 8, 8]},
            {},
            r"the shape has 3 channels and the network takes 1: set denoiser.in_channels=3, or shape=\[1,8,8\]",
        ),
        ({}, {"condition_dropout": 0.1}, "training.condition_dropout: this data brings no conditions"),
        ({}, {"low_res_dropout": 0.1}, "training.low_res_dropout: this data brings no small pictures"),
        ({}, {"augment": 0.1}, "this one takes no numbers of that"),
    ],
)
def test_what_could_not_be_trained_is_refused(tree, settings, message):
    said = Settings(**settings)
    with pytest.raises(TrainingError, match=message):
        matching.check({**GREY, **tree}, said) or matching.check_data(said, data())


def test_nothing_is_written_for_what_is_refused(run, tmp_path):
    with pytest.raises(TrainingError, match="brings no small pictures"):
        run(steps=1, low_res_dropout=0.1)
    assert not list(tmp_path.iterdir())


def test_what_may_not_be_meant_is_remarked(tmp_path):
    larger = {**GREY, "denoiser": {**GREY["denoiser"], "resolution": 16}}
    assert "built for 16 pixels and learns pictures of 8 x 8" in matching.remarks(larger, data())[0]
    for number in range(4):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    grey = {**GREY, "denoiser": {**GREY["denoiser"], "classes": None}}
    (told,) = matching.remarks(grey, Images(path=str(tmp_path), shape=(1, 8, 8)))
    assert "the model is grey and pictures have colours" in told


class Named(InMemory):
    """Data with names of classes, and pictures of two shapes."""

    def __init__(self, names, sizes=(8, 4)):
        n = sum(sizes)
        super().__init__(torch.zeros(n, 1, 8, 8), torch.arange(n) % len(names), classes=len(names), title="pictures")
        self.class_names, self.sizes = names, sizes

    def groups(self):
        return [range(size) for size in self.sizes]


def test_a_run_that_goes_on_with_the_same_data_says_nothing():
    before = matching.identity(Named(["cat", "dog"]))
    assert matching.data_has_changed(before, Named(["cat", "dog"]), takes_labels=True) == ()


@pytest.mark.parametrize(
    ("names", "which"),
    [(["cat", "fox"], "class 1 was 'dog' and is 'fox'"), (["cat"], "class 1 was 'dog' and is no more")],
)
def test_a_run_does_not_go_on_with_other_classes(names, which):
    before = matching.identity(Named(["cat", "dog"]))
    with pytest.raises(ResumeError, match=which):
        matching.data_has_changed(before, Named(names), takes_labels=True)
    assert matching.data_has_changed(before, Named(names), takes_labels=False) == (), "nobody learned them"


def test_classes_that_came_behind_are_said():
    before = matching.identity(Named(["cat", "dog"]))
    told = matching.data_has_changed(before, Named(["cat", "dog", "fox"]), takes_labels=True)
    assert told == ("the data has classes that this run did not have: fox",)
    # classes that were numbers then have names now
    numbers = {**before, "class_names": []}
    assert matching.data_has_changed(numbers, Named(["cat", "dog"]), takes_labels=True) == ()
    (told,) = matching.data_has_changed(numbers, Named(["cat"]), takes_labels=True)
    assert told == "the data has 1 classes now, where this run had 2"
    assert matching.data_has_changed({}, Named(["cat"]), takes_labels=True) == (), "an older run kept nothing"


def test_data_that_is_said_another_way_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {"name": "images", "path": "photos", "memory_mb": 1024}
    assert matching.other_data(before, {"name": "images", "path": f"{tmp_path}/./photos", "memory_mb": 5}) == ""
    assert matching.other_data(before, {"name": "images", "path": "others"}) == "data.path=photos"


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((9, 4), "the data has 13 examples now, where this run had 12"),
        ((6, 6), "the pictures of the data have other shapes now than this run had"),
        ((4, 4, 4), "the pictures of the data have other shapes now than this run had; its order begins anew"),
    ],
)
def test_a_run_that_goes_on_with_other_pictures_says_so(sizes, told):
    before = matching.identity(Named(["cat", "dog"]))
    assert matching.data_has_changed(before, Named(["cat", "dog"], sizes), takes_labels=True) == (told,)


def test_a_class_folder_that_went_is_noticed(run, tmp_path):
    for name in ("ape", "bee", "cow"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 60 * number).save(tmp_path / "photos" / name / f"{number}.png")
    photos = {"data": {"name": "images", "path": str(tmp_path / "photos"), "class_folders": True}}
    run(steps=2, batch_size=4, overrides=photos)
    for file in (tmp_path / "photos" / "bee").iterdir():
        file.unlink()
    with pytest.raises(ResumeError, match="class 1 was 'bee' and is 'cow'; train into another folder"):
        run(steps=4, batch_size=4, overrides=photos)
