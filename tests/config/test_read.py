import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zoo.config import ConfigError, dump, load
from zoo.config.read import read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("1.e3", 1e3),
        ("-.5", -0.5),
        ("+2.5e+3", 2500.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("1_000", 1000),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("e5", "e5"),
        ("1e", "1e"),
        (".", "."),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("'1e-4'", "1e-4"),
        ("[1, 2.0, x]", [1, 2.0, "x"]),
        ("{a: [1]}", {"a": [1]}),
    ],
)
def test_scalars(text, value):
    found = read_value(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_marks_count_from_one_and_tell_key_from_value(write):
    config = load(write("x.yaml", "summary: s\ndenoiser: {name: dit, depth: 3}\nshape: [1,\n  null]\n"))
    marks = config.marks
    assert str(marks["denoiser", "depth"].key) == "x.yaml:2:23"
    assert str(marks["denoiser", "depth"].value) == "x.yaml:2:30"
    assert str(marks["shape", 1].value) == "x.yaml:4:3"
    assert marks.where(("denoiser", "depth", "below")) == "x.yaml:2:23"
    assert marks.where(("absent",)) == "x.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml: expected a mapping of keys such as 'denoiser', found nothing"),
        ("# only this\n", "x.yaml: expected a mapping of keys such as 'denoiser', found nothing"),
        ("- a\n", "x.yaml: expected a mapping of keys such as 'denoiser', found a list"),
        ("word", "x.yaml: expected a mapping of keys such as 'denoiser', found a str"),
        ("a: [1\nb: 2\n", "x.yaml:2:2: is not valid YAML: expected ',' or ']', but got ':'"),
        ("a: b: c\n", "x.yaml:1:5: is not valid YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: is not valid YAML: but found another document"),
        ("a: *nothing\n", "x.yaml:1:4: is not valid YAML: found undefined alias 'nothing'"),
        (b"\xff\xfe\x00\x01", "x.yaml: is not a text file: byte 0 is not UTF-8"),
        (b"\x80\x02}q\x00.", "x.yaml: is not a text file: byte 0 is not UTF-8"),
        (b"a: \x00\x01", "x.yaml: is not a text file: special characters are not allowed"),
        (b"a" * 2_000_000, "x.yaml: is larger than 1 MiB: this is not a config"),
        ("[" * 5000, "x.yaml: is nested too deeply"),
        ("a: &a [*a]\n", "x.yaml:1:4: is nested too deeply, or an alias contains itself"),
    ],
)
def test_unreadable_files(write, text, message):
    with pytest.raises(ConfigError) as error:
        load(write("x.yaml", text))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_no_file_and_a_folder(write, tmp_path):
    with pytest.raises(ConfigError, match=r"^x\.yaml: cannot be read: no such file or directory$"):
        load("x.yaml")
    with pytest.raises(ConfigError, match=r"^configs: cannot be read: is a directory$"):
        load(tmp_path / "configs")


def test_an_alias_bomb_is_refused_quickly(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match=r"holds more than 20000 values, counting each use of an alias"):
        load(write("x.yaml", "\n".join(lines)))


def test_an_honest_alias_is_a_copy(write):
    config = load(write("x.yaml", "shape: &s [1, 2]\nnotes: {a: *s}\n"))
    assert config.tree == {"shape": [1, 2], "notes": {"a": [1, 2]}}
    assert config.tree["shape"] is not config.tree["notes"]["a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: a: repeated key, first set at x.yaml:1:1"),
        ("n: {a: 1, a: 1}\n", "x.yaml:1:11: n.a: repeated key, first set at x.yaml:1:5"),
        ("1: x\n", "x.yaml:1:1: keys are strings, got '1'"),
        ("n: {[a]: 1}\n", "x.yaml:1:5: n: keys are strings, got a collection"),
        ("a: 0x\nb: !!int x\n", "x.yaml:2:4: b: expected int, got 'x'"),
        (
            "a: !!python/object/apply:os.system [date]\n",
            "x.yaml:1:4: a: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed: "
            "configs hold plain values only",
        ),
        (
            "a: !!set {b}\n",
            "x.yaml:1:4: a: the tag 'tag:yaml.org,2002:set' is not allowed: configs hold plain values only",
        ),
        ("a: !mine 1\n", "x.yaml:1:4: a: the tag '!mine' is not allowed: configs hold plain values only"),
    ],
)
def test_what_is_wrong_inside_does_not_hide_the_rest(write, text, problem):
    config = load(write("x.yaml", text + "summary: read\n"))
    assert list(map(str, config.problems)) == [problem]
    assert config.tree["summary"] == "read"


def test_json_is_read_too(write):
    config = load(write("x.json", '{"denoiser": {"name": "dit", "depth": 1e0},\n\t"shape": [1, null]}'))
    assert config.tree == {"denoiser": {"name": "dit", "depth": 1.0}, "shape": [1, None]}


def test_a_byte_order_mark_is_no_key(write):
    assert load(write("x.yaml", b"\xef\xbb\xbfsummary: s\n")).tree == {"summary": "s"}


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | words
    | st.sampled_from(["1e-4", "yes", "off", "null", "~", "0x1", "1_0", "2024-01-02", "- a", "a: b", "<<", "="])
)
trees = st.dictionaries(
    words,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(trees)
@example({"": {"": []}})
@example({"a": ["x" * 200, "y" * 200]})
@example({"denoiser": [{"a": []}, {}, [[]]]})
def test_dump_reads_back_as_the_same_tree(tree):
    again = read_value(dump(tree), "dumped")
    assert again == tree
    assert repr(again.get("a")) == repr(tree.get("a"))


def test_dump_reads_well():
    tree = {
        "sampling": {"steps": 50, "clip": None},
        "notes": {"a": "yes", "b": "1e-4"},
        "denoiser": {"name": "unet", "channel_mult": (1, 2), "rate": 1e-4},
        "shape": [3, None],
        "inherits": ["_base/x"],
    }
    assert dump(tree) == (
        "inherits: [_base/x]\n"
        "shape: [3, null]\n"
        "denoiser:\n"
        "  name: unet\n"
        "  channel_mult: [1, 2]\n"
        "  rate: 0.0001\n"
        "sampling:\n"
        "  steps: 50\n"
        "  clip: null\n"
        "notes:\n"
        "  a: 'yes'\n"
        "  b: '1e-4'\n"
    )
