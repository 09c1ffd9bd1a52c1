"""Every recorded run of the families we claim, when the collection is beside the checkout."""

import os
import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from golden_samplers import LEFT_OUT as NOT_REPEATED
from golden_samplers import Case, family, left_out, recipe, replay
from golden_schedules import LEFT_OUT, RATIOS, SCHEDULES, SPACINGS, check_ratios, check_schedule, check_spacing
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("ZOO_GOLDEN", ROOT.parent / "shared" / "golden"))
FILES = sorted(path for path in GOLDEN.glob("samplers/*.safetensors") if path.stem != "schedules")
CASES = {path.stem: path for path in FILES if not left_out(path.stem)}

# How many runs there are of each family, so that one that stopped matching does not pass by running nothing.
COUNTS = {
    "azula_": 4,
    "azula_vp_dd": 3,
    "ddim_": 16,
    "diffsvc_plms": 4,
    "diffusers_ddim_": 16,
    "diffusers_ddpm_": 16,
    "diffusers_deis_": 3,
    "diffusers_dpm_": 2,
    "diffusers_dpmpp_1m": 3,
    "diffusers_dpmpp_2m_": 14,
    "diffusers_dpmpp_2s": 1,
    "diffusers_dpmpp_3m": 3,
    "diffusers_dpmpp_3s": 1,
    "diffusers_edm_": 2,
    "diffusers_euler_": 7,
    "diffusers_euler_a": 2,
    "diffusers_flow_": 4,
    "diffusers_flow_euler_stoch": 1,
    "diffusers_heun_": 4,
    "diffusers_ipndm": 1,
    "diffusers_kdpm2_": 4,
    "diffusers_kdpm2_a": 1,
    "diffusers_lcm": 1,
    "diffusers_lms_": 4,
    "diffusers_pndm_": 13,
    "diffusers_sa_solver": 1,
    "diffusers_sde_": 3,
    "diffusers_sde_dpmpp_2m": 1,
    "diffusers_tcd": 1,
    "diffusers_unipc_": 11,
    "dpm_": 41,
    "edm_ablation": 4,
    "edm_heun": 4,
    "guided_": 15,
    "kd_": 25,
    "kd_dpm_2_ancestral_": 1,
    "kd_dpmpp_2s_ancestral_": 1,
    "kd_dpmpp_3m_sde_": 3,
    "kd_dpmpp_sde_": 1,
    "kd_euler_ancestral_": 2,
    "pndm_": 18,
    "restart_": 1,
    "small_": 1,
    "unipc_": 12,
    "zju_": 7,
}

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no collection of recorded runs beside this checkout")


@pytest.mark.parametrize("name", CASES)
def test_repeats_the_reference(name):
    case = Case.read(CASES[name])
    replay(case, recipe(case))


def test_no_case_is_passed_over():
    """Every run is repeated, or left out for a reason that still holds for some."""
    assert not [name for name in CASES if family(name) is None]
    idle = [pattern for pattern in NOT_REPEATED if not any(fnmatchcase(path.stem, pattern) for path in FILES)]
    assert not idle
    assert Counter(family(name) for name in CASES) == COUNTS


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
