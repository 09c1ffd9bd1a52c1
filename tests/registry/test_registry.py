import subprocess
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import pytest

from registry import ArgumentError, NameTaken, Registry, RegistryError, UnknownName, kinds

KNOWN = "known: ddim, dpmpp-2m, dpmpp-10m, euler, pndm"


@dataclass(frozen=True)
class Euler:
    """A sampler.

    More words.
    """

    _: KW_ONLY
    eta: float = 0.0
    shape: tuple[int, ...] = ()

    def __post_init__(self):
        if self.eta < 0:
            raise ValueError(f"eta must not be negative, got {self.eta:g}")


@pytest.fixture
def samplers():
    registry = Registry("sampler")
    registry.register("euler")(Euler)
    for name in ("ddim", "pndm", "dpmpp-2m", "dpmpp-10m"):
        registry.lazy(name, f"no_such_package.{name}:Thing".replace("-", "_"))
    return registry


def test_names_are_sorted_naturally_and_filtered(samplers):
    assert samplers.names() == ["ddim", "dpmpp-2m", "dpmpp-10m", "euler", "pndm"]
    assert samplers.names("dpm*") == ["dpmpp-2m", "dpmpp-10m"]
    assert list(samplers) == samplers.names()
    assert len(samplers) == 5
    assert "pndm" in samplers
    assert "plms" not in samplers


def test_unknown_name_suggests(samplers):
    with pytest.raises(UnknownName) as error:
        samplers.get("pdnm")
    assert str(error.value) == "unknown sampler 'pdnm'\n    did you mean 'pndm'?"


def test_unknown_name_lists_when_nothing_is_near(samplers):
    with pytest.raises(UnknownName) as error:
        samplers.build("zebra")
    assert error.value.hint == "known: ddim, dpmpp-2m, dpmpp-10m, euler, pndm"
    with pytest.raises(UnknownName, match="no cat is registered"):
        Registry("cat").get("tom")


def test_build_from_a_name_and_from_a_mapping(samplers):
    assert samplers.build("euler") == Euler()
    assert samplers.build({"name": "euler", "eta": 1}) == Euler(eta=1.0)
    assert samplers.build("euler", shape=(3,), schedule="ignored") == Euler(shape=(3,))


def test_build_tells_all_problems(samplers):
    spec = {"name": "euler", "etta": 1, "shape": 3}
    with pytest.raises(ArgumentError) as error:
        samplers.build(spec, where=lambda keys: "f:1:1", path="sampler")
    assert str(error.value) == (
        "f:1:1: sampler.etta: 'euler' takes no such argument\n    did you mean 'eta'?\n"
        "f:1:1: sampler.shape: expected list of int, got int 3"
    )
    assert len(error.value.problems) == 2


def test_a_value_that_the_factory_refuses_is_told_with_its_place(samplers):
    with pytest.raises(ArgumentError) as error:
        samplers.build({"name": "euler", "eta": -1}, where=lambda keys: "f:1:1", path="sampler")
    assert str(error.value) == "f:1:1: sampler: 'euler': eta must not be negative, got -1"
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, f"sampler: expected the name of a sampler, or a mapping with a name, got int 3\n    {KNOWN}"),
        (None, f"sampler: expected the name of a sampler, or a mapping with a name, got None\n    {KNOWN}"),
        ({"eta": 1}, f"sampler.name: missing: which sampler is meant?\n    {KNOWN}"),
        ({"name": 3}, f"sampler.name: expected the name of a sampler, got int 3\n    {KNOWN}"),
        ("pdnm", "sampler.name: unknown sampler 'pdnm'\n    did you mean 'pndm'?"),
    ],
)
def test_check_of_a_bad_spec(samplers, spec, message):
    arguments, (problem,) = samplers.check(spec, path="sampler")
    assert str(problem) == message
    assert arguments == {}


def test_taken_name_names_both_owners(samplers):
    with pytest.raises(NameTaken) as error:
        samplers.lazy("ddim", "other.place:DDIM")
    assert str(error.value) == (
        "sampler 'ddim' is taken by no_such_package.ddim:Thing (from no_such_package)\n"
        "    other.place:DDIM (from other) needs another name"
    )
    assert samplers.entry("ddim").path == "no_such_package.ddim:Thing"


def test_a_cell_run_again_replaces(samplers):
    def cell(eta):
        @samplers.register("mine")
        def mine(*, scale: float = eta) -> float:
            return scale

    cell(1.0)
    cell(2.0)
    assert samplers.build("mine") == 2.0


@pytest.mark.parametrize("name", ["Euler", "eu_ler", "", "a/b"])
def test_names_are_kebab_case(samplers, name):
    with pytest.raises(RegistryError, match="is not kebab-case"):
        samplers.register(name)(Euler)


@pytest.mark.parametrize("path", ["module", ":Attr", "module:", "mod ule:x"])
def test_paths_have_a_module_and_an_attribute(samplers, path):
    with pytest.raises(RegistryError, match="is not 'module:attribute'"):
        samplers.lazy("new", path)


def test_entry_knows_without_importing(samplers):
    samplers.lazy("heun", "a.b:Heun", summary="Two.", paper="K 2022", extra="x", facts={"order": 2})
    entry = samplers.entry("heun")
    assert (entry.summary, entry.paper, entry.extra, entry.owner) == ("Two.", "K 2022", "x", "a")
    assert entry.facts["order"] == 2
    with pytest.raises(TypeError):
        entry.facts["order"] = 3
    assert samplers.entry("euler").summary == "A sampler."


def test_failed_import_names_path_and_cause(samplers):
    with pytest.raises(RegistryError) as error:
        samplers.get("ddim")
    assert str(error.value) == (
        "sampler 'ddim' (from no_such_package) cannot be loaded: "
        "no_such_package.ddim:Thing: ModuleNotFoundError: No module named 'no_such_package'"
    )
    samplers.lazy("late", "fractions:Fractoin")
    with pytest.raises(RegistryError, match="fractions:Fractoin: AttributeError"):
        samplers.get("late")
    samplers.lazy("constant", "math:pi")
    with pytest.raises(RegistryError, match=r"math:pi: TypeError: float 3.14\d+ cannot be called"):
        samplers.get("constant")


def test_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needy_family.py").write_text("import timm_that_is_missing.layers\n")
    (tmp_path / "own_mistake.py").write_text("import own_mistake.part\n")
    denoisers = Registry("denoiser")
    denoisers.lazy("dit", "needy_family:DiT", extra="timm")
    with pytest.raises(RegistryError) as error:
        denoisers.get("dit")
    assert str(error.value) == ("denoiser 'dit' needs timm_that_is_missing: pip install 'diffusion-zoo[timm]'")
    denoisers.lazy("own", "own_mistake:DiT", extra="timm")
    with pytest.raises(RegistryError, match="own_mistake:DiT: ModuleNotFoundError"):
        denoisers.get("own")


def test_find_tells_file_and_line(samplers):
    file, line = samplers.find("euler").rsplit(":", 1)
    assert file == __file__
    assert "class Euler" in "".join(Path(file).read_text().splitlines()[int(line) - 1 : int(line) + 1])
    samplers.lazy("builtin", "math:sqrt")
    with pytest.raises(RegistryError, match="no Python source"):
        samplers.find("builtin")


def test_the_kinds_have_plural_names_and_built_ins():
    assert {"denoisers", "samplers", "schedules", "classifiers"} <= set(kinds)
    assert "unet" in kinds["denoisers"]
    assert kinds["samplers"].kind == "sampler"


def test_importing_and_listing_stays_in_the_standard_library():
    code = (
        "import sys, registry\n"
        "[list(kind) for kind in registry.kinds.values()]\n"
        "assert not {'torch', 'yaml', 'zoo', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
