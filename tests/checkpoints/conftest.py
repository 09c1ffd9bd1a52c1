import pytest

import zoo


@pytest.fixture
def model():
    return zoo.build("tiny-unet")


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.safetensors"
    zoo.save(model, path, step=7, weights="ema", trained_on="nothing")
    return path
