"""Recorded tables and time grids of reference implementations."""

from pathlib import Path

import pytest
from golden_schedules import RATIOS, SCHEDULES, SPACINGS, check_ratios, check_schedule, check_spacing
from safetensors.torch import load_file

TABLES = load_file(Path(__file__).parent / "schedules.safetensors")


@pytest.mark.parametrize("key", [key for key in SCHEDULES if key in TABLES])
def test_schedule_tables(key):
    check_schedule(key, TABLES)


@pytest.mark.parametrize("key", [key for key in SPACINGS if key in TABLES])
def test_spacings(key):
    check_spacing(key, TABLES)


@pytest.mark.parametrize("key", [key for key in RATIOS if key in TABLES])
def test_ratios(key):
    check_ratios(key, TABLES)
