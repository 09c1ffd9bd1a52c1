import os
import subprocess
import sys

import pytest

from registry import plugins
from zoo.config import ConfigError, configs_dir, find, load, names, path_of


def test_names_are_public_stems_in_natural_order(write):
    for name in ("dit-10.yaml", "dit-2.yaml", "_hidden.yaml", "_base/part.yaml", "notes.txt", "old.yml"):
        write(f"configs/{name}", "summary: s\n")
    assert names() == ["dit-2", "dit-10", "old"]
    assert names("dit*") == ["dit-2", "dit-10"]
    assert path_of("_base/part").name == "part.yaml"


def test_unknown_config_suggests(write):
    write("configs/ddpm-cifar10.yaml", "summary: s\n")
    with pytest.raises(ConfigError) as error:
        load("ddpm-cifar")
    assert str(error.value) == "unknown config 'ddpm-cifar'\n    did you mean 'ddpm-cifar10'?"
    with pytest.raises(ConfigError, match="known: ddpm-cifar10"):
        load("zebra")


def test_folders_of_the_environment_come_after_the_zoos_own(write, tmp_path, monkeypatch):
    write("configs/a.yaml", "summary: own\n")
    write("one/a.yaml", "summary: one\n")
    write("one/b.yaml", "summary: one\n")
    write("two/b.json", '{"summary": "two"}')
    write("two/c.json", '{"summary": "two"}')
    folders = [tmp_path / "one", tmp_path / "absent", tmp_path / "two"]
    monkeypatch.setenv("ZOO_CONFIGS", os.pathsep.join(map(str, folders)))
    assert names() == ["a", "b", "c"]
    assert [load(name).tree["summary"] for name in names()] == ["own", "one", "two"]


def test_a_path_is_told_from_a_name(write, tmp_path):
    write("configs/x.yaml", "summary: name\n")
    write("x.yaml", "summary: path\n")
    write("plain", "summary: plain\n")
    assert load("x").tree["summary"] == "name"
    assert load("x.yaml").tree["summary"] == "path"
    assert load("./plain").tree["summary"] == "plain"
    assert load(tmp_path / "plain").tree["summary"] == "plain"


@pytest.fixture
def install(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plugins.forget()

    def add(owner, entry_point):
        info = f"{owner}-1.0.dist-info"
        write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        write(f"{info}/entry_points.txt", f"[zoo.configs]\n{entry_point}\n")

    yield add
    plugins.forget()


def test_configs_of_a_plugin_are_found_without_running_it(write, install):
    write("plugpack/__init__.py", "raise RuntimeError('must not run')\n")
    write("plugpack/presets/__init__.py", "raise RuntimeError('must not run')\n")
    write("plugpack/presets/theirs.yaml", "summary: theirs\n")
    install("plugpack", "presets = plugpack.presets")
    assert names() == ["theirs"]
    assert load("theirs").tree == {"summary": "theirs"}
    assert find.broken() == []
    assert "plugpack" not in sys.modules


def test_a_folder_without_init_and_a_module_will_do(write, install):
    write("plugdata/theirs.yaml", "summary: theirs\n")
    write("plugmod/only.py", "")
    write("plugmod/other.yaml", "summary: other\n")
    install("plugdata", "presets = plugdata")
    install("plugmod", "presets = plugmod.only")
    assert names() == ["other", "theirs"]


def test_a_broken_plugin_is_noted_and_stops_no_other(write, install):
    write("configs/own.yaml", "summary: own\n")
    install("lost", "presets = nowhere_at_all.presets")
    assert names() == ["own"]
    (row,) = find.broken()
    assert row[:3] == ("config", "presets", "lost")
    assert "nowhere_at_all" in row.reason


def test_the_zoos_own_folder_exists():
    assert configs_dir().name == "configs"
    assert configs_dir().is_dir()


def test_reading_a_config_imports_no_torch():
    code = (
        "import sys, zoo.config\n"
        "for name in zoo.config.names(): zoo.config.load(name)\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
