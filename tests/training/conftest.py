"""A run that takes a second or two."""

from contextlib import contextmanager

import pytest

from zoo.training import train

SMALL = {
    "shape": [1, 8, 8],
    "denoiser": {
        "name": "unet",
        "in_channels": 1,
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [4],
        "resolution": 8,
        "classes": 10,
        "norm_groups": 4,
        "dropout": 0.1,
    },
    "schedule": "cosine",
    "parameterization": "v",
    "sampling": {"steps": 2, "guidance": {"name": "cfg", "scale": 2.0}, "clip": True},
    "data": "digits",
    "training": {
        "steps": 20,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "save_every": 6,
        "sample_every": 10,
        "log_every": 2,
    },
}


@pytest.fixture(scope="session")
def small():
    return SMALL


def _train(out, *, overrides=None, on_event=None, resume=True, **training):
    overrides = {"training": training, **(overrides or {})}
    return train(SMALL, out=out, overrides=overrides, on_event=on_event, resume=resume, device="cpu")


@pytest.fixture
def run(tmp_path):
    """Train the small model in a folder; more settings of `training` by keyword."""
    return lambda folder="run", **options: _train(tmp_path / folder, **options)


@pytest.fixture
def small_files():
    """A while in which no file can grow beyond so many bytes, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The model file of a run that nothing disturbed, and everything that it told."""
    told = []
    return _train(tmp_path_factory.mktemp("whole") / "run", on_event=told.append), told
