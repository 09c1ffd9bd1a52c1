"""The table of timm's models: quick to read, and true."""

import subprocess
import sys

import pytest
import timm

import zoo
from zoo import backbones

ROWS = backbones.table()


def test_the_table_is_of_models_that_exist():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert {row.denoiser for row in ROWS} == {"", "timm-unet", "timm-vit"}
    for row in ROWS:
        # one that fits says where, one that does not says why
        assert bool(row.denoiser) == bool(row.sizes)
        assert row.sizes or row.note
    assert "resnet18" in names
    assert zoo.names("backbones", "resnet18") == ["resnet18"]


def test_they_are_listed_by_their_own_word_alone():
    assert "resnet18" not in zoo.names()
    assert zoo.names("backbones") == [row.name for row in ROWS]


def test_listing_them_loads_no_torch():
    code = "import sys, zoo; assert zoo.names('backbones', 'resnet*'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def of_this_timm(names):
    if backbones.timm_version() != timm.__version__:
        pytest.skip(f"the table is of timm {backbones.timm_version()}, this is {timm.__version__}")
    known = {row.name: row for row in ROWS}
    return [(known[name], backbones.classify(name)) for name in names]


def test_a_few_rows_are_what_building_them_gives():
    for kept, made in of_this_timm(["resnet18", "test_vit", "beit_base_patch16_224"]):
        assert made == kept


@pytest.mark.slow
def test_every_thirtieth_row_is_what_building_it_gives():
    for kept, made in of_this_timm([row.name for row in ROWS[::30]]):
        assert made == kept
