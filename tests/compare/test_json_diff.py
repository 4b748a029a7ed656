"""Where two JSON values differ, and how much of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from shadowproxy.compare.json_diff import MAX_KEPT, Change, differences
from shadowproxy.compare.json_paths import written
from shadowproxy.exchange import Severity
from tests.compare.test_json_values import VALUES


def found(one: Any, two: Any) -> list[tuple[str, str]]:
    return [(each.change.value, written(each.path)) for each in differences(one, two).kept]


def test_each_kind_of_difference_at_its_place() -> None:
    one = {"items": [{"price": 1}, {"price": 2}], "name": "a", "gone": {"x": 1, "y": 2}, "kind": 1, "tags": ["a"]}
    two = {"items": [{"price": 1}, {"price": 3}], "name": "b", "kind": "1", "tags": ["a", "b"], "new": None}
    assert found(one, two) == [
        ("missing", "$.gone"),
        ("extra", "$.new"),
        ("value", "$.items[1].price"),
        ("value", "$.name"),
        ("type", "$.kind"),
        ("array_length", "$.tags"),
    ]


@pytest.mark.parametrize(("one", "two"), [(True, 1), (False, 0), (None, 0), ("1", 1), ({}, []), ([], None), ({"a": True}, {"a": 1})])
def test_true_is_not_one(one: Any, two: Any) -> None:
    assert [each.change for each in differences(one, two).kept] == [Change.TYPE]


def test_a_number_weighs_more_than_a_word() -> None:
    assert [each.severity for each in differences([1, "a"], [2, "b"]).kept] == [Severity.MAJOR, Severity.MINOR]


def test_the_score_is_the_share_of_leaves_that_differ() -> None:
    assert differences({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3, "d": 5}).share == 0.25
    assert differences({"a": 1}, {"a": 1, "b": [1, 2, 3]}).share == 0.75
    assert differences({"a": {"x": 1, "y": 2}}, {"a": "flat"}).share == 1.0


@pytest.mark.parametrize("at", range(5))
def test_an_element_more_is_one_difference_wherever_it_stands(at: int) -> None:
    one = [{"id": number, "name": "n"} for number in range(4)]
    two = [*one[:at], {"id": 9, "name": "new"}, *one[at:]]
    for forth, back in ((one, two), (two, one)):
        assert found(forth, back) == [("array_length", "$")]
        assert differences(forth, back).share == 2 / 10


def test_what_changes_inside_an_array_that_grows_is_seen_too() -> None:
    assert found([1, 2, 3], [1, 5, 4, 3]) == [("array_length", "$"), ("value", "$[1]")]


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    same = differences(value, value)
    assert (same.differing, same.share, same.kept) == (0, 0.0, ())


@given(VALUES, VALUES)
def test_what_differs_is_found_from_both_sides_and_graded_within_bounds(one: Any, two: Any) -> None:
    forth, back = differences(one, two), differences(two, one)
    assert 0.0 <= forth.share <= 1.0
    assert forth.share == back.share
    assert bool(forth.kept) is bool(forth.differing) is (forth.share > 0)


def test_a_million_differences_are_counted_and_a_few_kept() -> None:
    many = differences(list(range(300_000)), list(range(1, 300_001)))
    assert many.differing == many.leaves == 300_000
    assert len(many.kept) == MAX_KEPT
