"""Equal values are equal objects, whatever text they came as; and no text breaks the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.json_values import MAX_CHARACTERS, MAX_DEPTH, canonical, document, leaves, measured, unfenced

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def value_of(text: str) -> Any:
    found = document(text)
    assert found is not None
    return found.value


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ("[1, 100]", "[1.0, 1e2]"),
        ("-0.0", "0"),
        ('"e\\u0301"', '"\u00e9"'),
        ('{"e\\u0301": 1}', '{"\u00e9": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": 1}\n```', '{"a": 1}'),
    ],
)
def test_one_value_in_two_texts_has_one_canonical_form(one: str, two: str) -> None:
    assert canonical(value_of(one)) == canonical(value_of(two))


@pytest.mark.parametrize(("one", "two"), [("1", "true"), ("0", "false"), ("0", "null"), ('"1"', "1"), ("[]", "{}"), ("0.1", "0.10000001")])
def test_different_values_have_different_forms(one: str, two: str) -> None:
    assert canonical(value_of(one)) != canonical(value_of(two))


@pytest.mark.parametrize(
    "text", ["", "  ", "Paris", "{'a': 1}", '{"a": 1', '{"a": 1} Enjoy!', "NaN", '"\ud800"', '"\\ud800"', "```json\n```"]
)
def test_what_is_no_json_is_no_document(text: str) -> None:
    assert document(text) is None


def test_null_is_a_document() -> None:
    found = document("null")
    assert found is not None
    assert found.value is None


def test_only_a_fence_around_everything_is_taken_off() -> None:
    assert unfenced("```json\n1\n```") == "1\n"
    assert unfenced("```python\n1\n```") is None
    assert unfenced("Here:\n```json\n1\n```") is None
    assert document("```json\n1\n```\nand\n```json\n2\n```") is None


def test_levels_are_bounded_and_no_depth_breaks_the_reader() -> None:
    assert document("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    for depth in (MAX_DEPTH + 1, 1000, 100_000):
        assert document("[" * depth + "]" * depth) is None
        assert document('{"a":' * depth + "1" + "}" * depth) is None


def test_long_texts_are_not_read() -> None:
    assert document('"' + "a" * (MAX_CHARACTERS - 2) + '"') is not None
    assert document('"' + "a" * MAX_CHARACTERS + '"') is None


@given(VALUES)
def test_every_value_survives_writing_and_reading(value: Any) -> None:
    one = document(json.dumps(value))
    if one is not None:  # a half of a surrogate pair is refused
        assert value_of(canonical(one.value)) == one.value


@given(VALUES)
def test_size_and_leaves(value: Any) -> None:
    size = measured(value)
    assert 1 <= leaves(value) <= size.nodes
    assert 1 <= size.depth <= size.nodes
    assert measured([value, value]).nodes == 2 * size.nodes + 1
    assert measured([value]).depth == size.depth + 1
