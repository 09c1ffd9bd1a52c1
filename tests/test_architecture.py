"""The house itself: what is imported when, what is public, which folders are packages, how large a module is."""

from __future__ import annotations

import ast
import configparser
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import registry
import zoo

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "zoo").rglob("*.py"), *(ROOT / "registry").rglob("*.py")])
SETUP = configparser.ConfigParser(interpolation=None)
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imported_by(path: Path) -> set[str]:
    """The modules that a file names in its imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after some code."""
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


HEAVY = {"torch", "numpy", "matplotlib", "timm", "torchaudio", "torchvision", "PIL", "safetensors", "sklearn"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import zoo", {*HEAVY, "yaml"}),
        ("import registry", {*HEAVY, "yaml", "zoo"}),
        ("import registry; [list(kind) for kind in registry.kinds.values()]", {*HEAVY, "yaml", "zoo"}),
        ("import zoo; zoo.names(); dir(zoo)", HEAVY),
        ("import zoo.cli", HEAVY),
        ("from zoo import config; config.load('ddpm-cifar10')", HEAVY),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, absent):
    assert not absent & loaded_after(code)


@pytest.mark.parametrize("verb", [["list"], ["list", "samplers"], ["--help"], ["sample", "--help"], ["--version"]])
def test_the_command_line_answers_without_torch(verb):
    code = f"import zoo.cli\ntry: zoo.cli.main({verb!r})\nexcept SystemExit as done: assert not done.code"
    assert not HEAVY & loaded_after(code)


def test_public_names():
    """What users may rely on; a change here is a change for the changelog."""
    assert sorted(zoo.__all__) == [
        "Comparison",
        "ConfigError",
        "Diffusion",
        "__version__",
        "build",
        "compare",
        "describe",
        "export",
        "inpaint",
        "invert",
        "load",
        "names",
        "sample",
        "save",
        "slerp",
        "walk",
    ]
    assert all(getattr(zoo, name) is not None for name in zoo.__all__)
    assert set(zoo.__all__) <= set(dir(zoo))
    assert all(getattr(registry, name) is not None for name in registry.__all__)


def test_kinds():
    assert list(registry.kinds) == [
        "denoisers",
        "samplers",
        "schedules",
        "parameterizations",
        "spacings",
        "guidances",
        "objectives",
        "scalings",
        "importers",
        "data",
        "conditioners",
        "optimizers",
        "features",
        "classifiers",
        "mels",
        "f0",
        "units",
        "vocoders",
    ]


def test_the_catalog_is_sorted():
    """A module for each kind, by name: two people who add a line meet in few places, and a reader finds it."""
    found = 0
    for path in sorted((ROOT / "registry" / "catalog").glob("[!_]*.py")):
        lines = re.findall(r"^(\w+)\.lazy\(\s*\"([\w-]+)\"", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert lines == sorted(lines)
        assert {kind for kind, _ in lines} == {path.stem}
        found += len(lines)
    built_in = [name for kind in registry.kinds.values() for name in kind if kind.entry(name).owner == "zoo"]
    assert found == len(built_in)


def test_every_folder_is_a_package_in_setup_cfg():
    """A folder that is missing there is missing from the wheel."""
    folders = {dotted(path.parent / "__init__.py") for path in MODULES}
    folders |= {"zoo.weights"} if any((ROOT / "zoo" / "weights").glob("*.safetensors")) else set()
    configs = {".".join(("zoo", *path.parent.relative_to(ROOT).parts)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert set(SETUP["options"]["packages"].split()) == folders | configs

    mapped = dict(re.findall(r"([\w.]+) = (\S+)", SETUP["options"]["package_dir"]))
    assert mapped == {name: name.removeprefix("zoo.").replace(".", "/") for name in configs}
    assert all(SETUP["options.package_data"][name] == "*.yaml" for name in configs)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_are_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_hold_no_unfinished_work(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|pragma: no cover|breakpoint\(|\bprint\(", text) or (
        "zoo.cli" in dotted(path) and "print(" in text
    )


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_say_what_they_are(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("matplotlib", {"zoo.plots"}),
        ("timm", {"zoo.backbones", "zoo.denoisers", "zoo.layers", "zoo.metrics"}),
        ("torchaudio", {"zoo.data", "zoo.voice"}),
        ("sklearn", {"zoo.data"}),
        ("accelerate", {"zoo.training"}),
        ("datasets", {"zoo.data"}),
    ],
)
def test_large_packages_stay_in_their_rooms(package, rooms):
    """Only leaves import them, so that nothing else fails or waits where they are missing."""
    users = {dotted(path) for path in MODULES if package in {name.partition(".")[0] for name in imported_by(path)}}
    assert {".".join(user.split(".")[:2]) for user in users} <= rooms


@pytest.mark.parametrize("kind", ["denoisers", "samplers", "schedules", "importers", "conditioners", "data"])
def test_parts_of_a_kind_do_not_import_each_other(kind):
    """What two of them share lies beside them, in a module that registers nothing."""
    table = registry.kinds[kind]
    modules = {table.entry(name).path.partition(":")[0] for name in table.names()}
    for module in sorted(modules):
        path = (ROOT / Path(*module.split("."))).with_suffix(".py")
        if path.exists():
            assert not imported_by(path) & (modules - {module})


def test_import_rules():
    """The doors between rooms, from setup.cfg."""
    pytest.importorskip("importlinter", reason="import-linter comes with the extra 'dev'")
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    assert lint_imports(config_filename=str(ROOT / "setup.cfg"), no_cache=True) == EXIT_STATUS_SUCCESS
