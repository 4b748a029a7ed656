"""Which parts of answers are noise: what rules do to values, what they hide, and how a wrong one is refused."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from shadowproxy.compare.json_values import document
from shadowproxy.compare.rules import MAX_COUNTED, MAX_RULES, Rules, read_rules, suppressed
from tests.compare.test_json_values import VALUES


def cleaned(value: Any, *rows: dict[str, Any]) -> Any:
    return read_rules(rows).json(value).value


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"path": "$.id", "ignore": True}, {"id": 1, "a": {"id": 2}}, {"a": {"id": 2}}),
        ({"path": "**.id", "ignore": True}, {"id": 1, "a": [{"id": 2, "b": 3}]}, {"a": [{"b": 3}]}),
        ({"path": "$[0]", "ignore": True}, [1, 2], [None, 2]),
        ({"path": "$", "ignore": True}, {"a": 1}, None),
        ({"path": "$.a.b[*].c", "round": 1}, {"a": {"b": [{"c": 1.26}, {"c": 2.0001}]}}, {"a": {"b": [{"c": 1.3}, {"c": 2}]}}),
        ({"path": "**", "round": 0}, [1.4, 7, True, "1.4", None], [1, 7, True, "1.4", None]),
        ({"path": "$.tags", "sort": True}, {"tags": ["b", 2, {"x": 1}, "a"]}, {"tags": ["a", "b", 2, {"x": 1}]}),
        ({"path": "$.*", "lower": True}, {"a": "STRASSE", "b": "Straße", "c": 3}, {"a": "strasse", "b": "strasse", "c": 3}),
        ({"path": "$[*]", "strip": True}, [" a ", "b\n", 1], ["a", "b", 1]),
        ({"path": "$.at", "pattern": "timestamp"}, {"at": "2024-05-01T10:20:30Z"}, {"at": "<timestamp>"}),
        (
            {"path": "$.*", "pattern": "number"},
            {"a": 12, "b": "12 s", "c": True, "d": None},
            {"a": "<number>", "b": "<number> s", "c": True, "d": None},
        ),
        ({"path": "$.a", "pattern": "x{2}"}, {"a": 12}, {"a": 12}),
    ],
)
def test_what_a_rule_makes_of_a_value(rule: dict[str, Any], value: Any, expected: Any) -> None:
    before = copy.deepcopy(value)
    assert cleaned(value, rule) == expected
    assert value == before


def test_rules_work_from_the_inside_out_and_in_their_order() -> None:
    rows = [{"path": "$.xs", "sort": True}, {"path": "$.xs[*].id", "ignore": True}, {"path": "$.xs[*].n", "lower": True}]
    assert cleaned({"xs": [{"id": 1, "n": "B"}, {"id": 2, "n": "A"}]}, *rows) == {"xs": [{"n": "a"}, {"n": "b"}]}
    assert cleaned([" A"], {"path": "$[*]", "pattern": "[ ]A"}, {"path": "$[*]", "strip": True}) == ["<pattern>"]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ({"path": "text", "lower": True}, "Paris", "paris"),
        ({"path": "text", "strip": True}, " Paris\n", "Paris"),
        ({"path": "text", "pattern": "uuid"}, "id 3f2b8c1e-9a4d-4c6e-8f00-1234567890ab", "id <uuid>"),
        ({"path": "text", "ignore": True}, "Paris", ""),
        ({"path": "$.text", "ignore": True}, "Paris", "Paris"),
    ],
)
def test_what_a_rule_makes_of_a_plain_text(rule: dict[str, Any], text: str, expected: str) -> None:
    assert read_rules([rule]).text(text).value == expected


def test_rules_about_text_leave_json_alone() -> None:
    assert cleaned({"text": "A"}, {"path": "text", "lower": True}) == {"text": "A"}


def test_the_rules_of_the_documentation_do_what_their_comments_say() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/comparators.md").read_text(encoding="utf-8")
    shown = re.search(r"```yaml\n(compare:\n  rules:.*?)```", page, re.DOTALL)
    assert shown is not None
    rules = read_rules(yaml.safe_load(shown[1])["compare"]["rules"])
    one = {
        "id": 1,
        "scores": [2.004, 2.004],
        "tags": ["b", "a"],
        "user": {"id": 2, "name": "ADA"},
        "note": " x",
        "created_at": "2024-05-01",
    }
    two = {"scores": [2, 2.006], "tags": ["a", "b"], "user": {"name": "Ada"}, "note": "x", "created_at": "2025-06-02T10:20Z"}
    ours, theirs = rules.json(one).value, rules.json(two).value
    assert {key for key in ours if ours[key] != theirs[key]} == {"scores"}
    assert (ours["scores"], theirs["scores"]) == ([2, 2], [2, 2.01])
    assert rules.text("see ticket-4711").value == "see <pattern>"


@given(VALUES)
def test_without_rules_nothing_changes(value: Any) -> None:
    assert Rules().json(value).value is value


@given(VALUES)
def test_cleaning_twice_is_cleaning_once(value: Any) -> None:
    rules = read_rules([{"path": "**", "strip": True}, {"path": "**", "lower": True}, {"path": "**", "sort": True}])
    once = rules.json(value).value
    assert rules.json(once).value == once


def hidden(one: Any, two: Any, *rows: dict[str, Any]) -> dict[str, int]:
    rules = read_rules(rows)
    return dict(suppressed(rules.json(one), rules.json(two)))


def test_only_differences_that_are_gone_count_as_suppressed() -> None:
    rules = [{"path": "$.*", "round": 1, "name": "tenths"}, {"path": "**.id", "ignore": True}]
    one = {"same": 1.0, "near": 1.01, "far": 1.0, "id": 1, "in": {"id": "x"}}
    two = {"same": 1.0, "near": 1.02, "far": 9.0, "id": 1, "in": {"id": "y"}}
    assert hidden(one, two, *rules) == {"tenths": 1, "ignore **.id": 1}


def test_what_only_one_side_has_counts_where_it_is_ignored() -> None:
    assert hidden({"id": 1}, {}, {"path": "$.id", "ignore": True}) == {"ignore $.id": 1}
    assert hidden({"id": "A"}, {}, {"path": "$.id", "lower": True}) == {}


def test_an_order_that_is_sorted_away_is_one_suppression() -> None:
    assert hidden([3, 1, 2], [1, 2, 3], {"path": "$", "sort": True}) == {"sort $": 1}


def test_a_difference_that_two_rules_share_counts_where_it_ends() -> None:
    rules = [{"path": "$", "strip": True}, {"path": "$", "lower": True}]
    assert hidden(" A", "a", *rules) == {"lower $": 1}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"ignore": True}, r"needs a path; write \$\.a\.b, \*\* or text"),
        ({"path": "id", "ignore": True}, r"begin with \$"),
        ({"path": "$.id"}, "nothing is not one action; write one of ignore, round, sort, lower, strip, pattern"),
        ({"path": "$.id", "ignore": True, "lower": True}, "ignore, lower is not one action"),
        ({"path": "$.id", "mask": True}, "mask is not one action"),
        ({"path": "$.id", "ignore": False}, "write true, or leave the rule out"),
        ({"path": "$.id", "sort": 1}, "write true"),
        ({"path": "$.id", "round": True}, "write 0 to 15"),
        ({"path": "$.id", "round": 16}, "write 0 to 15"),
        ({"path": "$.id", "pattern": 3}, "write a regular expression in quotes"),
        ({"path": "$.id", "pattern": "(a+)+"}, "write how often at most"),
        ({"path": "text", "round": 1}, "write pattern: number"),
        ({"path": "text", "sort": True}, "nothing to sort in plain text"),
    ],
)
def test_a_wrong_rule_is_named_with_the_remedy(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=rf"^rules\[1\]: .*{problem}"):
        read_rules([{"path": "$.fine", "ignore": True}, row])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rules\[1\]: a second rule is called 'ignore \$\.a'"):
        read_rules([{"path": "$.a", "ignore": True}] * 2)


def test_rules_are_bounded_in_number() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        read_rules([{"path": f"$.a{at}", "ignore": True} for at in range(MAX_RULES + 1)])


def test_the_deepest_document_is_cleaned() -> None:
    found = document('{"a":' * 199 + '" A "' + "}" * 199)
    assert found is not None
    assert '" a "'.strip('"') not in str(cleaned(found.value, {"path": "**.a", "strip": True}))


@pytest.mark.timeout(60)
def test_many_rules_for_every_depth_cost_one_step_a_place() -> None:
    rules = read_rules([{"path": f"$.**.k{at}", "ignore": True} for at in range(MAX_RULES)])
    rows = [{"k0": at, "other": at, "k63": [at]} for at in range(50_000)]
    assert rules.json(rows).value == [{"other": at} for at in range(50_000)]
    assert len(rules.json(rows).changes) == MAX_COUNTED


def test_a_key_that_is_empty_is_told_from_keys_without_a_rule() -> None:
    assert cleaned({"": 1, "a": 2}, {"path": '$[""]', "ignore": True}) == {"a": 2}
