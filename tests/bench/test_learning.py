"""Training in a benchmark: the same lesson for all, and losses that fall."""

import pytest

from zoo import bench
from zoo.config import ConfigError

TINY = {
    "name": "unet",
    "in_channels": 1,
    "base_channels": 8,
    "channel_mult": [1, 2],
    "blocks_per_level": 1,
    "attention_resolutions": [],
    "resolution": 8,
    "norm_groups": 4,
    "classes": 10,
}
TIMM = {
    "name": "timm-unet",
    "encoder": "test_resnet",
    "in_channels": 1,
    "base_channels": 8,
    "blocks_per_level": 1,
    "levels": 1,
    "resolution": 8,
    "classes": 10,
}


def choice(label, denoiser):
    return {"config": "ddpm-digits", "label": label, "overrides": {"denoiser": denoiser}}


@pytest.fixture
def learned(tmp_path):
    def run(models, **changes):
        learning = {
            "data": "digits",
            "steps": 20,
            "batch": 16,
            "warmup": 2,
            "held_out": 32,
            "learning_rate": 3e-3,
            **changes,
        }
        return bench.run({"models": models, "learning": learning}, out=tmp_path / "out", device="cpu")

    return run


def test_every_model_is_measured_and_learns(learned, tmp_path):
    card = learned([choice("unet", TINY), choice("timm", TIMM)])
    for row in card.learning:
        assert row.reason == ""
        assert row.parameters > 0 < row.macs
        assert row.step_cpu > 0
        assert row.loss < 0.95 * row.first_loss
        assert [step for step, _ in row.curve] == list(range(1, 21))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "card.json",
        "table.txt",
        "loss-step.png",
        "loss-time.png",
    }
    assert bench.Card.load(tmp_path / "out" / "card.json").learning == card.learning
    assert card.columns()["CPU ratio"][0] == "1.00"


def test_the_lesson_is_the_same_for_all(learned):
    card = learned([choice("a", TINY), choice("b", TINY)], steps=4)
    first, second = card.learning
    assert (first.loss, first.curve) == (second.loss, second.curve)


def test_a_model_that_cannot_be_trained_says_why(learned):
    broken = choice("b", {**TIMM, "encoder": "no_such_net"})
    card = learned([broken, choice("a", TINY)], steps=2)
    assert "has no model 'no_such_net'" in card.learning[0].reason
    assert card.learning[1].loss is not None
    assert "no_such_net" in card.table()


def test_too_little_data_is_said(learned):
    (row,) = learned([choice("a", TINY)], held_out=1790).learning
    assert "learning needs 1806 examples" in row.reason


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        bench.load({"models": ["tiny-unet"], "learning": {"data": "digits", "steps": 0}})
    with pytest.raises(ConfigError, match="models with learning"):
        bench.load({"learning": {"data": "digits"}})
