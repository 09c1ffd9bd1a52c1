"""Processes of their own: what they tell, and what loads what."""

import subprocess
import sys

import pytest

from zoo import bench
from zoo.bench import cold
from zoo.bench.cold import Action, StartupRow
from zoo.bench.suite import Startup
from zoo.config import ConfigError


def rows_of(startup):
    return {one.command: one for one in cold.measured(startup, threads=1) if isinstance(one, StartupRow)}


def test_importing_and_listing_load_no_torch():
    rows = rows_of(Startup(repeats=1))
    assert list(rows) == ["python", "import zoo", "zoo list"]
    assert [(row.loads_torch, row.step, row.reason) for row in rows.values()] == [(False, None, "")] * 3
    assert all(0 < row.seconds_min <= row.seconds and row.peak > 2**20 for row in rows.values())


def test_a_process_that_fails_says_why():
    assert cold._taken(Action("raise OSError('no disk')"), threads=1) == "OSError: no disk"


def test_imports_are_told_apart_from_the_step():
    take = cold._taken(Action("time.sleep(0.01)", before="time.sleep(0.5)"), threads=1)
    assert 0.01 <= take.step < 0.5 < take.seconds


def test_the_peak_is_that_of_the_process_alone():
    held = bytearray(b"1") * (256 * 2**20)
    small = cold._taken(Action("pass"), threads=1)
    large = cold._taken(Action("held = bytearray(b'1') * (64 * 2**20)"), threads=1)
    assert small.peak < len(held) / 2
    assert large.peak - small.peak == pytest.approx(64 * 2**20, rel=0.1)  # pages that Python itself takes or frees


@pytest.mark.slow
def test_everybody_loads_the_same_weights():
    pytest.importorskip("diffusers")
    rows = rows_of(Startup(repeats=1, large="ddpm-cifar10", shipped="ddpm-mnist"))
    assert list(rows) == Startup(large="ddpm-cifar10", shipped="ddpm-mnist").titles
    assert {title: row.reason for title, row in rows.items() if row.reason} == {}
    loads = [rows[title] for title in ("load", "load: torch.load", "load: diffusers")]
    assert all(row.norm == pytest.approx(loads[0].norm, rel=1e-5) for row in loads)  # sums in another order
    assert rows["load"].peak < rows["load: torch.load"].peak


def test_without_diffusers_that_row_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(cold.importlib.util, "find_spec", lambda name: None)
    found = cold._large("tiny-unet", tmp_path)
    assert found["load: diffusers"].reason == "diffusers is not installed: pip install 'diffusion-zoo[bench]'"
    assert {title for title, action in found.items() if not action.reason} == {
        *("build on meta", "load", "load: torch.load")
    }


def test_who_loads_something_else_does_not_count():
    rows = [
        StartupRow("load", 1.0, 1.0, 1.0, True, norm=10.0),
        StartupRow("load: one", 1.0, 1.0, 1.0, True, norm=10.0001),
        StartupRow("load: other", 1.0, 1.0, 1.0, True, norm=11.0),
    ]
    assert [row.reason for row in cold._compared(rows)] == [
        *("", "", "failed: holds other weights, of norm 11 and not 10")
    ]


def test_loading_imports_no_compiler():
    """It takes seconds, and a draw on the meta device would import it."""
    code = "import sys, zoo; zoo.build('ddpm-mnist', pretrained=True); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_budgets_are_checked():
    with pytest.raises(ConfigError, match="startup: budgets: zoo list must be positive, got 0"):
        bench.load({"startup": {"budgets": {"zoo list": 0}}})
    with pytest.raises(ConfigError, match="startup: budgets: 'zoo lst' is not done here"):
        bench.load({"startup": {"budgets": {"zoo lst": 1.0}}})
