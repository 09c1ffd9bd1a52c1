"""Every recorded run of the families we claim, when the collection is beside the checkout."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest
from golden_samplers import FAMILIES, Case, recipe, replay
from golden_schedules import LEFT_OUT, RATIOS, SCHEDULES, SPACINGS, check_ratios, check_schedule, check_spacing
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("ZOO_GOLDEN", ROOT.parent / "shared" / "golden"))
FILES = sorted(path for path in GOLDEN.glob("samplers/*.safetensors") if path.stem.startswith(tuple(FAMILIES)))
CASES = {case.name: case for case in map(Case.read, FILES) if recipe(case) is not None}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no collection of recorded runs beside this checkout")


@pytest.mark.parametrize("name", CASES)
def test_repeats_the_reference(name):
    replay(CASES[name], recipe(CASES[name]))


def test_no_case_is_passed_over():
    """A family that stopped matching would otherwise pass by running nothing."""
    found = Counter(next(prefix for prefix in FAMILIES if name.startswith(prefix)) for name in CASES)
    assert found == {
        "ddim_": 16,
        "pndm_": 18,
        "diffsvc_plms": 4,
        "diffusers_ddpm_": 16,
        "diffusers_ddim_": 16,
        "diffusers_pndm_": 13,
        "diffusers_dpmpp_2m_": 14,
        "diffusers_sde_dpmpp_2m": 1,
        "diffusers_unipc_": 11,
        "kd_dpmpp_2m_": 8,
        "unipc_": 12,
        "guided_": 15,
    }


@pytest.fixture(scope="module")
def tables():
    return load_file(GOLDEN / "samplers" / "schedules.safetensors")


@pytest.mark.parametrize("key", SCHEDULES)
def test_schedule_tables(tables, key):
    check_schedule(key, tables)


@pytest.mark.parametrize("key", SPACINGS)
def test_spacings(tables, key):
    check_spacing(key, tables)


@pytest.mark.parametrize("key", RATIOS)
def test_ratios(tables, key):
    check_ratios(key, tables)


def test_no_table_is_passed_over(tables):
    """Every record is compared, or left out for a reason."""
    compared = {*SCHEDULES, *SPACINGS, *RATIOS}
    assert compared <= set(tables)
    others = [key for key in tables if key not in compared]
    assert not [key for key in others if not any(re.fullmatch(pattern, key) for pattern in LEFT_OUT)]
