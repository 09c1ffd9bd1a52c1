"""The example package: installed, its parts are listed, built, held to the contracts, measured and benchmarked."""

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "plugin_example"


class Environment:
    """An interpreter that finds this checkout and what lies in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *arguments, **options):
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def announced(tmp_path_factory):
    """The example as metadata and modules, as an installer would leave them, without running one."""
    folder = tmp_path_factory.mktemp("site")
    setup = configparser.ConfigParser()
    setup.read(EXAMPLE / "setup.cfg")
    info = folder / "zoo_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-example\nVersion: 1.0\n")
    points = setup["options.entry_points"]
    (info / "entry_points.txt").write_text("".join(f"[{group}]{points[group]}\n" for group in points))
    shutil.copytree(EXAMPLE / "zoo_example", folder / "zoo_example")
    return Environment(folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example installed by pip from a copy of its sources."""
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)
    folder = tmp_path_factory.mktemp("target")
    isolated = [] if importlib.util.find_spec("setuptools") is None else ["--no-build-isolation"]
    options = ["--quiet", "--no-deps", *isolated, "--target", str(folder)]
    Environment(folder).run("-m", "pip", "install", *options, str(source), cwd=source)
    return Environment(folder)


def test_is_listed_before_anything_of_it_is_imported(announced, tmp_path):
    code = (
        "import sys, registry, zoo\n"
        "assert 'example-midpoint' in registry.samplers\n"
        "assert registry.schedules.entry('example-logit').owner == 'zoo-example'\n"
        "assert zoo.names('models', 'example-*') == ['example-tiny']\n"
        "assert not registry.broken()\n"
        "assert not {'torch', 'zoo_example'} & set(sys.modules)\n"
    )
    announced.run("-c", code, cwd=tmp_path)


def test_is_built_and_sampled_by_name(announced, tmp_path):
    code = (
        "import zoo\n"
        "model = zoo.build('example-tiny', denoiser={'width': 4})\n"
        "assert type(model.sampler).__module__ == 'zoo_example'\n"
        "assert zoo.sample(model, 3).shape == (3, 2)\n"
        "mixed = zoo.build('tiny-mixture', schedule='example-logit', parameterization='v')\n"
        "assert zoo.sample(mixed, 3).isfinite().all()\n"
    )
    announced.run("-c", code, cwd=tmp_path)


@pytest.mark.slow
def test_the_installed_package_passes_the_contracts_and_has_its_order(installed, tmp_path):
    chosen = [
        "tests/contracts",
        "tests/properties/test_orders.py",
        "tests/properties/test_identities.py",
        "-k",
        "example",
    ]
    report = installed.run("-m", "pytest", "-p", "no:cacheprovider", "-vv", *chosen, cwd=ROOT)
    for name in ("example-midpoint", "example-logit", "example-mlp", "example-tiny"):
        assert name in report
    assert "test_has_the_order_it_claims[example-midpoint]" in report


@pytest.mark.slow
def test_the_command_line_and_the_benchmark_see_the_installed_package(installed, tmp_path):
    listing = installed.run("-m", "zoo", "list", cwd=tmp_path)
    for name in ("example-midpoint", "example-logit", "example-mlp", "example-tiny"):
        assert name in listing
    assert "example-logit" in installed.run("-m", "zoo", "show", "example-tiny", cwd=tmp_path)
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "title: The example\n"
        "models: [example-tiny]\n"
        "samplers: [example-midpoint, ddim]\n"
        "steps: [4]\n"
        "spacings: [trailing]\n"
        "n: 4\n"
        "batch: 4\n"
        "repeats: 1\n"
        "reference: {sampler: unipc, steps: 50, spacing: trailing}\n"
    )
    card = installed.run("-m", "zoo", "bench", str(suite), "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert "example-midpoint" in card
