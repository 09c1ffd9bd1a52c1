"""Recorded runs of image networks, through the public functions: what is kept here, and all that lie beside us."""

import os
from pathlib import Path

import pytest
import yaml
from golden_images import FORMATS, check_image_case

HERE = Path(__file__).parent / "image"
ALL = Path(os.environ.get("ZOO_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "image"
OTHERS = sorted(folder for folder in ALL.glob("*/") if (folder / "config.yaml").is_file())


@pytest.mark.parametrize("folder", sorted(HERE.glob("*/")), ids=lambda folder: folder.name)
def test_kept_here(folder):
    check_image_case(folder)


@pytest.mark.parametrize("folder", OTHERS, ids=lambda folder: folder.name)
def test_beside_the_checkout(folder):
    check_image_case(folder)


@pytest.mark.skipif(not OTHERS, reason="no collection of recorded runs beside this checkout")
def test_no_family_is_passed_over():
    families = {yaml.safe_load((folder / "config.yaml").read_text())["family"] for folder in OTHERS}
    assert families == set(FORMATS)
