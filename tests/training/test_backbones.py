"""One config, five backbones: only the denoiser changes, and each learns."""

import numpy as np
import pytest
from PIL import Image

from zoo.training import events
from zoo.training.progress import Stepped

# Small ones of each family, for digits of 32 x 32 in ten classes.
BACKBONES = {
    "unet": {"base_channels": 16, "channel_mult": [1, 2, 2], "norm_groups": 8, "blocks_per_level": 1},
    "adm": {"base_channels": 16, "channel_mult": [1, 2, 2], "norm_groups": 8, "blocks_per_level": 1},
    "dit": {"channels": 64, "depth": 3, "heads": 2, "patch": 4},
    "timm-unet": {"encoder": "resnet10t", "base_channels": 16, "blocks_per_level": 1},
    "timm-vit": {"encoder": "test_vit", "patch": 4},
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """scikit-learn's digits as pictures of 32 x 32, a folder for each class."""
    datasets = pytest.importorskip("sklearn.datasets")
    folder = tmp_path_factory.mktemp("digits")
    found = datasets.load_digits()
    for index, (pixels, label) in enumerate(zip(found.images[:600], found.target[:600], strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        picture = Image.fromarray((pixels * (255 / 16)).astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR)
        picture.save(folder / str(label) / f"{index}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_learns_by_changing_the_denoiser_alone(name, digits, tmp_path):
    attention = {"attention_resolutions": [8]} if name in ("unet", "adm") else {}
    config = {
        "inherits": ["ddpm-mnist"],
        "denoiser": {"name": name, "in_channels": 1, "classes": 10, "resolution": 32, **attention, **BACKBONES[name]},
        "data": {"name": "images", "path": str(digits), "class_folders": True},
        "training": {"steps": 60, "batch_size": 16, "warmup_steps": 10, "save_every": 60, "sample_every": 1000},
    }
    losses = [event.loss for event in events(config, out=tmp_path / name) if isinstance(event, Stepped)]
    # v of a network that says nothing has a loss near 1; sixty updates take any of them well below its start
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
