"""Memory in a benchmark: stated beside measured, each batch in a process of its own."""

import pytest

from zoo import bench
from zoo.config import ConfigError
from zoo.footprint import footprints

UNET = {"config": "tiny-unet", "overrides": {"denoiser": {"base_channels": 32}}, "shape": [3, 64, 64]}


@pytest.fixture
def measured(tmp_path):
    def run(models, **settings):
        return bench.run({"models": models, "memory": settings}, out=tmp_path / "out", device="cpu")

    return run


@pytest.mark.slow
def test_what_is_stated_is_what_is_taken(measured, tmp_path):
    card = measured([UNET], batches=[2, 20], steps=3)
    assert [(row.batch, row.precision, row.reason) for row in card.memory] == [(2, "float32", ""), (20, "float32", "")]
    few, many = card.memory
    # libraries and their scratch space are in both, so that growth tells; allocators keep some of what was freed
    assert many.measured - few.measured == pytest.approx(many.stated - few.stated, rel=0.5)
    assert bench.Card.load(tmp_path / "out" / "card.json").memory == card.memory
    assert list(card.columns()) == [
        *("model", "batch", "precision", "activations MiB", "stated MiB", "measured MiB", "ratio")
    ]
    assert "tiny-unet" in (tmp_path / "out" / "table.txt").read_text()


def test_what_is_stated_is_what_show_states(measured):
    import zoo

    (row,) = measured(["tiny-diffnet"], batches=[2], steps=3, guided=True).memory
    model = zoo.build("tiny-diffnet", sampling={"steps": 3})
    told = footprints(model, 2, shape=(8, 16), guided=True, device="cpu")[0]
    assert (row.stated, row.activations) == (told.total, told.activations)
    assert row.measured > 0


def test_what_cannot_be_measured_says_why(measured):
    models = [{"config": "identity", "shape": [3, 8, 8]}, "diffnet-128mel"]
    loop, mel = measured(models, batches=[1]).memory
    assert loop.reason == "refused: the memory of a loop without a network is not measured"
    assert mel.reason == "refused: the shape of a sample is open: give the model a shape in the suite"


def test_a_batch_is_at_least_one(measured):
    with pytest.raises(ConfigError, match="memory: batches must be at least 1, got 0"):
        measured(["tiny-unet"], batches=[0])
    with pytest.raises(ConfigError, match="models with learning or memory"):
        bench.run({"memory": {}})
