import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config import ConfigError, load
from zoo.config.compose import merge
from zoo.config.marks import Mark, Marks, Spot
from zoo.config.read import Document


def test_bases_go_left_to_right_and_the_file_is_last(write):
    write("configs/_base/a.yaml", "summary: a\nsampling: {steps: 1, clip: true}\npaper: a\n")
    write("configs/_base/b.yaml", "summary: b\nsampling: {steps: 2}\n")
    write("configs/x.yaml", "inherits: [_base/a, _base/b]\nsummary: x\n")
    config = load("x")
    assert config.tree == {"summary": "x", "sampling": {"steps": 2, "clip": True}, "paper": "a"}
    assert config.name == "x"
    assert config.marks.where(("sampling", "steps")) == "configs/_base/b.yaml:2:12"
    assert config.marks.where(("sampling", "clip")) == "configs/_base/a.yaml:2:22"
    assert config.marks.where(("summary",)) == "configs/x.yaml:2:1"


def test_a_base_by_relative_path_a_single_one_and_a_grandparent(write):
    write("configs/_base/root.yaml", "license: MIT\n")
    write("mine/base.yml", "inherits: _base/root\nsummary: b\n")
    write("mine/sub/x.yaml", "inherits: ../base.yml\n")
    write("mine/y.yaml", "inherits: [base]\n")
    with pytest.raises(ConfigError, match="unknown config 'base'"):
        load("mine/y.yaml")
    write("mine/base.yaml", "summary: c\n")
    assert load("mine/sub/x.yaml").tree == {"license": "MIT", "summary": "b"}
    assert load("mine/y.yaml").tree == {"summary": "c"}
    assert load({"inherits": ["./mine/base"]}).tree == {"summary": "c"}


def test_a_base_met_twice_is_no_circle(write):
    write("configs/_base/root.yaml", "summary: r\n")
    write("configs/_base/a.yaml", "inherits: _base/root\n")
    write("configs/_base/b.yaml", "inherits: _base/root\n")
    write("configs/x.yaml", "inherits: [_base/a, _base/b]\n")
    assert load("x").tree == {"summary": "r"}


def test_every_bad_base_is_told(write):
    write("configs/_base/ddpm-1000.yaml", "summary: d\n")
    write("configs/_base/broken.yaml", "a: [\n")
    write("configs/x.yaml", "inherits: [_base/dpm-1000, 3, _base/broken, ./y.yaml]\n")
    with pytest.raises(ConfigError) as error:
        load("x")
    assert str(error.value).splitlines() == [
        "configs/x.yaml:1:28: inherits[1]: expected the name or path of a config, got int 3",
        "configs/x.yaml:1:12: inherits: unknown config '_base/dpm-1000'",
        "    did you mean '_base/ddpm-1000'?",
        "configs/_base/broken.yaml:2:1: is not valid YAML: expected the node content, but found "
        "'<stream end>', while parsing a flow node",
        "configs/x.yaml:1:45: inherits: there is no file configs/y.yaml",
    ]


def test_a_circle_is_told_where_it_closes(write):
    write("configs/a.yaml", "inherits: b\n")
    write("configs/b.yaml", "summary: b\ninherits: [a]\n")
    with pytest.raises(ConfigError) as error:
        load("a")
    assert str(error.value) == (
        "configs/b.yaml:2:12: inherits: a circle: configs/a.yaml -> configs/b.yaml -> configs/a.yaml"
    )


def test_a_changed_name_drops_its_siblings_and_their_marks(write):
    write("configs/_base/a.yaml", "denoiser: {name: diffnet, mel_bins: 8}\nsampler: {name: ddim, eta: 1}\n")
    write("configs/x.yaml", "inherits: _base/a\ndenoiser: {name: dit}\nsampler: ddim\n")
    config = load("x")
    assert config.tree == {"denoiser": {"name": "dit"}, "sampler": {"name": "ddim", "eta": 1}}
    assert ("denoiser", "mel_bins") not in config.marks
    assert config.marks.where(("sampler", "name")) == "configs/x.yaml:3:10"
    assert load("x", overrides={"sampler": "pndm"}).tree["sampler"] == {"name": "pndm"}
    assert load("x", overrides={"denoiser": {"depth": 2}}).tree["denoiser"] == {"name": "dit", "depth": 2}


def test_overrides_and_command_line(write):
    write("configs/x.yaml", "denoiser: {name: diffnet, dilations: [1]}\nsampling: {steps: 10}\n")
    config = load(
        "x",
        overrides={"denoiser": {"dilations": (1, 2)}, "sampling.steps": 20, "sampler.eta": 1},
        command_line=["sampling.steps=1e2", "shape=[1, null]", "sampling.spacing=leading"],
    )
    assert config.tree == {
        "denoiser": {"name": "diffnet", "dilations": [1, 2]},
        "sampling": {"steps": 100.0, "spacing": {"name": "leading"}},
        "sampler": {"eta": 1},
        "shape": [1, None],
    }
    assert config.marks.where(("denoiser", "dilations", 1)) == "argument denoiser.dilations"
    assert config.marks.where(("denoiser", "name")) == "configs/x.yaml:1:12"
    assert config.marks.where(("sampler", "eta")) == "argument sampler.eta"
    assert config.marks.where(("sampling", "steps")) == "command line: sampling.steps=1e2"


def test_every_bad_argument_of_the_command_line_is_told(write):
    write("configs/x.yaml", "summary: x\n")
    with pytest.raises(ConfigError) as error:
        load("x", command_line=["steps", "=3", "a..b=1", "a=[1", "b={c: 1, c: 2}"])
    assert str(error.value).splitlines() == [
        "command line: steps: expected key=value, such as sampling.steps=20",
        "command line: =3: expected key=value, such as sampling.steps=20",
        "command line: a..b=1: expected key=value, such as sampling.steps=20",
        "command line: a=[1: is not valid YAML: expected ',' or ']', but got '<stream end>', "
        "while parsing a flow sequence",
        "command line: b={c: 1, c: 2}: c: repeated key, first set at command line: b={c: 1, c: 2}",
    ]


def test_an_argument_that_the_shell_took_apart_is_put_together_and_quoted(write):
    write("configs/x.yaml", "summary: x\n")
    with pytest.raises(ConfigError) as error:
        load("x", command_line=["data={name:", "images,", "path:", "cats}", "a.b=[1,", "2]", "c=[1,2]", "d={e:1}"])
    with pytest.raises(ConfigError) as other:
        load("x", command_line=["a=[b", "c={d: 1}", "e=[1,2]"])
    assert "took this apart" not in str(other.value), "what begins with a key is no piece of another"
    assert str(error.value).splitlines() == [
        "command line: the shell took this apart at its spaces",
        "    quote it: data='{name: images, path: cats}'",
        "command line: the shell took this apart at its spaces",
        "    quote it: a.b='[1, 2]'",
    ]


def test_bases_cannot_be_overridden(write):
    with pytest.raises(ConfigError, match=r"^command line: inherits=x: inherits: cannot be overridden$"):
        load({}, command_line=["inherits=x"])


def test_a_mapping_must_be_plain():
    with pytest.raises(ConfigError) as error:
        load({"denoiser": {"name": "dit", "depth": object, "tags": [{1}]}, "notes": {1: 2}})
    assert str(error.value).splitlines() == [
        "denoiser.depth: expected plain values, got type <class 'object'>",
        "denoiser.tags[0]: expected plain values, got set {1}",
        "notes: keys are strings, got int 1",
    ]


def test_a_mapping_is_copied():
    source = {"denoiser": {"name": "dit", "sizes": [1]}}
    load(source).tree["denoiser"]["sizes"].append(2)
    assert source == {"denoiser": {"name": "dit", "sizes": [1]}}


names = st.sampled_from(["a", "b", "c"])
trees = st.dictionaries(
    names,
    st.recursive(
        st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
        lambda inner: st.dictionaries(names | st.just("name"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def _document(tree, source):
    marks = Marks()

    def walk(value, path):
        marks[path] = Spot(Mark(source), Mark(source))
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, key))

    walk(tree, ())
    return Document(tree, marks)


def _merged(base, over):
    return merge(Document(base), Document(over)).tree


@given(trees)
def test_merging_with_nothing_or_itself_changes_nothing(tree):
    assert _merged(tree, {}) == _merged({}, tree) == _merged(tree, tree) == tree


@given(trees, trees)
def test_what_lies_above_wins_everywhere(base, over):
    def holds(whole, part):
        return all(holds(whole[k], part[k]) if isinstance(part[k], dict) else whole[k] == part[k] for k in part)

    assert holds(_merged(base, over), over)
    assert _merged(_merged(base, over), over) == _merged(base, over)


@given(trees, trees)
def test_marks_follow_values(base, over):
    merged = merge(_document(base, "base"), _document(over, "over"))

    def paths(tree, path=()):
        yield path
        for key, item in tree.items() if isinstance(tree, dict) else ():
            yield from paths(item, (*path, key))

    assert set(merged.marks) == set(paths(merged.tree))
    assert all(merged.marks.where(path) == "over" for path in paths(over))
