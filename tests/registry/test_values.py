import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.values import coerce, described

Steps = NewType("Steps", int)


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (1, int, 1),
        (1, float, 1.0),
        ("a", str, "a"),
        (None, None, None),
        (True, bool, True),
        ("a", Literal["a", "b"], "a"),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ((1, 2), list[float], [1.0, 2.0]),
        ([[1], []], Sequence[tuple[int, ...]], [(1,), ()]),
        ({"a": [1]}, Mapping[str, tuple[int, ...]], {"a": (1,)}),
        (3, int | float, 3),
        (3, float | None, 3.0),
        (True, bool | float, True),
        ([0, 1], bool | float | tuple[float, float] | None, (0.0, 1.0)),
        ("x", Any, "x"),
        ([1], list, [1]),
        (2, Steps, 2),
        (2, Annotated[float, "seconds"], 2.0),
    ],
)
def test_fits(value, kind, result):
    fitted, faults = coerce(value, kind)
    assert faults == []
    assert fitted == result
    assert type(fitted) is type(result)


@pytest.mark.parametrize(
    ("value", "kind", "message", "hint"),
    [
        (True, int, "expected int, got bool True", None),
        (True, float, "expected float, got bool True", None),
        (1, bool, "expected bool, got int 1", None),
        (1.5, int, "expected int, got float 1.5", None),
        (1000.0, int, "expected int, got float 1000.0", "write 1000"),
        (math.nan, int, "expected int, got float nan", None),
        ("big", int, "expected int, got str 'big'", None),
        (None, str, "expected str, got None", None),
        ("1e-4", float | None, "expected float or None, got str '1e-4'", None),
        ("abc", list[str], "expected list of str, got str 'abc'", None),
        ("abc", Sequence[str], "expected list of str, got str 'abc'", None),
        ("1,2", list[int], "expected list of int, got str '1,2'", "write [1,2]"),
        ([1], tuple[float, float], "expected [float, float], got list [1]", None),
        ([1], dict[str, int], "expected mapping, got list [1]", None),
        (1, Literal["a", "b"], "expected 'a' or 'b', got int 1", None),
        (True, Literal[1, 2], "expected 1 or 2, got bool True", None),
        ("fixd", Literal["fixed", "x"], "expected 'fixed' or 'x', got str 'fixd'", "did you mean 'fixed'?"),
        (
            "fixd",
            Literal["fixed"] | None,
            "expected 'fixed' or None, got str 'fixd'",
            "did you mean 'fixed'?",
        ),
    ],
)
def test_does_not_fit(value, kind, message, hint):
    (fault,) = coerce(value, kind)[1]
    assert fault.keys == ()
    assert (fault.message, fault.hint) == (message, hint)


def test_an_int_too_large_for_a_float():
    (fault,) = coerce(10**400, float)[1]
    assert re.fullmatch(r"expected float, got int 10+\.\.\.0+, which is too large", fault.message)


def test_every_bad_item_is_told_with_its_place():
    faults = coerce({"a": [1, "x", None]}, dict[str, list[int]])[1]
    assert [(fault.keys, fault.message) for fault in faults] == [
        (("a", 1), "expected int, got str 'x'"),
        (("a", 2), "expected int, got None"),
    ]


def test_a_union_tells_inner_faults_when_the_outside_fits_one_member():
    (fault,) = coerce([1, "x"], int | list[int] | None)[1]
    assert fault.keys == (1,)


def test_nan_and_infinity_are_floats():
    assert math.isnan(coerce(math.nan, float)[0])
    assert coerce(math.inf, float | None) == (math.inf, [])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tuple[int, ...], "list of int"),
        (list[int | None], "list of (int or None)"),
        (tuple[float, float] | None, "[float, float] or None"),
        (list, "list"),
        (Any, "any"),
    ],
)
def test_described(kind, words):
    assert described(kind) == words


kinds = st.recursive(
    st.sampled_from([int, float, str, bool, type(None), Literal["a", 1]]),
    lambda inner: st.one_of(
        inner.map(lambda k: list[k]), inner.map(lambda k: tuple[k, ...]), inner.map(lambda k: dict[str, k])
    ),
    max_leaves=4,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values, kinds)
def test_what_was_fitted_fits_as_it_is(value, kind):
    fitted, faults = coerce(value, kind)
    if not faults:
        again, faults = coerce(fitted, kind)
        assert faults == []
        assert again == fitted


@given(values, kinds)
def test_a_union_takes_what_a_member_takes(value, kind):
    if not coerce(value, kind)[1]:
        assert not coerce(value, kind | None)[1]
