"""Available memory: what the system and the process's groups leave, whatever they are like."""

import torch

from zoo.core import memory
from zoo.core.memory import available


def test_there_is_some_here():
    assert 2**20 < available(torch.device("cpu")) < 2**50


def write(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("_", ".", 1)).write_text(f"{content}\n")


def test_groups_of_version_2(tmp_path):
    (tmp_path / "own").write_text("0::/slice/box\n")
    write(tmp_path, memory_max="max", memory_current=900)
    write(tmp_path / "slice", memory_max=1000, memory_current=700, memory_stat="anon 600\ninactive_file 50")
    write(tmp_path / "slice" / "box", memory_max="max", memory_current=400)
    assert list(memory._of_cgroups(tmp_path, tmp_path / "own")) == [350]


def test_groups_of_version_1(tmp_path):
    (tmp_path / "own").write_text("5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n")
    mount = tmp_path / "memory"
    for place, limit, usage in ((mount, 2**60, 900), (mount / "box", 1000, 700)):
        place.mkdir(exist_ok=True)
        (place / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (place / "memory.usage_in_bytes").write_text(f"{usage}\n")
        (place / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 20\n")
    assert list(memory._of_cgroups(tmp_path, tmp_path / "own")) == [320, 2**60 - 880]


def test_a_group_that_is_not_mounted_is_the_mount_itself(tmp_path):
    """In a container the path is often one of the host's, and the files lie at the top."""
    (tmp_path / "own").write_text("0::/docker/0123\n")
    write(tmp_path, memory_max=1000, memory_current=600)
    assert list(memory._of_cgroups(tmp_path, tmp_path / "own")) == [400]


def test_a_group_above_its_limit_leaves_nothing(tmp_path):
    (tmp_path / "own").write_text("0::/\n")
    write(tmp_path, memory_max=1000, memory_current=1200)
    assert list(memory._of_cgroups(tmp_path, tmp_path / "own")) == [0]


def test_the_tightest_limit_counts(monkeypatch):
    monkeypatch.setattr(memory, "_of_system", lambda: iter([500]))
    monkeypatch.setattr(memory, "_of_cgroups", lambda: iter([300, 400]))
    assert available(torch.device("cpu")) == 300


def test_a_system_that_says_nothing_has_a_little(monkeypatch):
    monkeypatch.setattr(memory, "_of_system", lambda: iter([]))
    monkeypatch.setattr(memory, "_of_cgroups", lambda: iter([]))
    assert available(torch.device("cpu")) == 2 * 2**30
