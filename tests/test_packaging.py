"""Every way to install the zoo finds the same configs and the same weights, and leaves nothing else behind."""

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from installing import environment, isolation, run

from zoo import config as configs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LOCAL = (".git", ".*cache", ".hypothesis", ".venv", "__pycache__", "*.egg-info", "build", "dist", "runs")
WEIGHTS = sorted(path.stem for path in (ROOT / "zoo" / "weights").glob("*.safetensors"))
CHECK = f"""
import registry, zoo, zoo.checkpoint, zoo.config
from pathlib import Path
assert zoo.config.names() == {configs.names()!r}, zoo.config.names()
assert zoo.config.load("tiny-unet").tree["schedule"]["steps"] == 1000  # through _base
for name in {WEIGHTS!r}: assert zoo.checkpoint.shipped(name).is_file()
for package in (registry, zoo): assert (Path(package.__file__).parent / "py.typed").is_file()
assert len(registry.samplers) >= 5
print(Path(zoo.__file__).parents[1])
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout without what building and testing left in it."""
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*LOCAL))
    return tmp_path / "checkout"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder to stand in, so that nothing is found because it lies in the working directory."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def place_of_the_zoo(python, elsewhere, **variables):
    return Path(run(python, "-c", CHECK, cwd=elsewhere, **variables).strip())


def test_from_a_bare_checkout(checkout, elsewhere):
    assert place_of_the_zoo(sys.executable, elsewhere, PYTHONPATH=str(checkout)) == checkout


def test_from_a_wheel_made_from_the_source_distribution(checkout, elsewhere, tmp_path):
    pytest.importorskip("build", reason="build comes with the extra 'dev'")
    own_tools = ["--no-isolation"] if isolation() else []
    run(sys.executable, "-m", "build", "--sdist", *own_tools, "--outdir", tmp_path, checkout, cwd=elsewhere)
    (source,) = tmp_path.glob("diffusion_zoo-*.tar.gz")
    with tarfile.open(source) as archive:
        # the argument `filter` came with Python 3.11.4
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(tmp_path / "source")
    (unpacked,) = (tmp_path / "source").iterdir()

    pip = [sys.executable, "-m", "pip"]
    run(*pip, "wheel", "--no-deps", *isolation(), "--wheel-dir", tmp_path, unpacked, cwd=elsewhere)
    (wheel,) = tmp_path.glob("diffusion_zoo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"registry", "zoo", "diffusion_zoo"}
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert {name.removeprefix("zoo/") for name in names if name.endswith(".yaml")} == shipped
    weights = sum(path.stat().st_size for path in (ROOT / "zoo" / "weights").glob("*.safetensors"))
    assert wheel.stat().st_size - weights < 2_000_000  # the code and the configs, without goldens, docs and pictures

    run(*pip, "install", "--no-deps", "--target", tmp_path / "target", wheel, cwd=elsewhere)
    assert place_of_the_zoo(sys.executable, elsewhere, PYTHONPATH=str(tmp_path / "target")) == tmp_path / "target"


@pytest.mark.parametrize("mode", ["", "compat", "strict"])
def test_for_development(mode, checkout, elsewhere, tmp_path):
    python = environment(tmp_path / "environment")
    chosen = ["--config-settings", f"editable_mode={mode}"] if mode else []
    options = ["--no-deps", *isolation(), *chosen, "--editable", checkout]
    run(python, "-m", "pip", "install", *options, cwd=elsewhere)
    place = place_of_the_zoo(python, elsewhere)
    assert checkout in (place, *place.parents)
    assert run(python.with_name("zoo"), "--version", cwd=elsewhere).startswith("zoo, version")
