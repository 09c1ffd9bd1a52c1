"""Plug-ins are real distributions on the path: a module beside a `.dist-info` folder."""

import sys

import pytest

from registry import NameTaken, Registry, RegistryError, UnknownName, plugins

GROUP = "zoo.samplers"


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plugins.forget()

    def add(owner, entry_points, **modules):
        info = tmp_path / f"{owner.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)

    before = set(sys.modules)
    yield add
    plugins.forget()
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


@pytest.fixture
def samplers():
    registry = Registry("sampler", group=GROUP)
    registry.lazy("ddim", "fractions:Fraction", facts={"order": 1})
    return registry


def test_a_plugin_is_listed_without_being_imported_and_built_when_asked(install, samplers):
    install("my-plugin", f"[{GROUP}]\nmine = plug_a:Mine\n", plug_a="class Mine:\n    '''Mine.'''\n")
    assert samplers.names() == ["ddim", "mine"]
    assert samplers.entry("mine").owner == "my-plugin"
    assert "plug_a" not in sys.modules
    assert type(samplers.build("mine")).__name__ == "Mine"
    assert samplers.broken == []


def test_a_plugin_is_found_by_name_alone(install, samplers):
    install("my-plugin", f"[{GROUP}]\nmine = plug_b:Mine\n", plug_b="class Mine: ...\n")
    assert "mine" in samplers
    assert samplers.get("mine").__name__ == "Mine"


def test_other_groups_are_not_ours(install, samplers):
    install("my-plugin", "[zoo.denoisers]\nmine = plug_c:Mine\n")
    assert samplers.names() == ["ddim"]


def test_a_plugin_cannot_shadow_a_built_in(install, samplers):
    install("thief", f"[{GROUP}]\nddim = plug_d:Mine\n")
    assert samplers.names() == ["ddim"]
    (row,) = samplers.broken
    assert row == (
        "sampler",
        "ddim",
        "thief",
        "sampler 'ddim' is taken by fractions:Fraction (from fractions)",
    )
    assert samplers.get("ddim").__name__ == "Fraction"


def test_an_entry_point_that_repeats_a_line_keeps_its_facts(install, samplers):
    install("same", f"[{GROUP}]\nddim = fractions:Fraction\n")
    assert samplers.names() == ["ddim"]
    assert samplers.entry("ddim").facts == {"order": 1}
    assert samplers.broken == []


def test_of_two_plugins_with_one_name_the_first_in_order_stays(install, samplers):
    install("b-plugin", f"[{GROUP}]\nmine = plug_e:B\n")
    install("a-plugin", f"[{GROUP}]\nmine = plug_e:A\n")
    assert samplers.entry("mine").owner == "a-plugin"
    assert [(row.name, row.owner) for row in samplers.broken] == [("mine", "b-plugin")]


def test_a_plugin_that_cannot_be_imported_is_noted_and_stops_no_other(install, samplers):
    install("bad", f"[{GROUP}]\nbad = plug_f:Bad\n", plug_f="raise RuntimeError('no disc')\n")
    install("good", f"[{GROUP}]\ngood = plug_g:Good\n", plug_g="class Good: ...\n")
    for _ in range(2):
        with pytest.raises(RegistryError) as error:
            samplers.get("bad")
        assert str(error.value) == ("sampler 'bad' (from bad) cannot be loaded: plug_f:Bad: RuntimeError: no disc")
    assert samplers.broken == [("sampler", "bad", "bad", "plug_f:Bad: RuntimeError: no disc")]
    assert samplers.build("good")
    assert samplers.names() == ["bad", "ddim", "good"]


@pytest.mark.parametrize("line", ["Bad_Name = plug_h:X", "bad = plug_h", "bad = "])
def test_a_malformed_entry_point_is_noted(install, samplers, line):
    install("odd", f"[{GROUP}]\n{line}\n")
    assert samplers.names() == ["ddim"]
    (row,) = samplers.broken
    assert row.owner == "odd"
    with pytest.raises(RegistryError, match=r"cannot be used: '.*' \(from odd\)") as error:
        samplers.get(row.name)
    assert not isinstance(error.value, UnknownName)


def test_unreadable_metadata_is_noted_and_stops_no_other(install, samplers):
    install("garbled", f"[{GROUP}]\nthis line is no pair\n")
    install("good", f"[{GROUP}]\ngood = plug_i:Good\n")
    assert samplers.names() == ["ddim", "good"]
    (row,) = samplers.broken
    assert row[:3] == ("sampler", "*", "garbled")


def test_a_notebook_cannot_take_a_plugins_name(install, samplers):
    install("my-plugin", f"[{GROUP}]\nmine = plug_j:Mine\n")
    assert "mine" in samplers
    with pytest.raises(NameTaken, match=r"from my-plugin"):
        samplers.register("mine")(dict)
