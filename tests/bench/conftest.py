"""Suites that take no time."""

import pytest

from zoo import bench


@pytest.fixture
def card_of(tmp_path):
    """Runs a suite of the mixture, with changes, into a folder of its own."""

    def run(**changes):
        suite = {
            "models": ["tiny-mixture"],
            "samplers": ["ddim"],
            "steps": [8],
            "spacings": ["trailing"],
            "n": 6,
            "batch": 4,
            "repeats": 1,
            **changes,
        }
        return bench.run(suite, out=tmp_path / "out", device="cpu")

    return run
