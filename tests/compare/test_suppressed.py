"""What rules hide is counted, rule by rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.rules import Rules, read_rules
from shadowproxy.compare.structure import compare_structure
from shadowproxy.compare.suppressed import suppressed_by
from shadowproxy.exchange import Asked, Choice, ToolCall
from tests.compare.test_json_values import VALUES

IDS = {"path": "**.id", "ignore": True, "name": "ids"}
TIMES = {"path": "text", "pattern": "timestamp", "name": "times"}


def hidden(one: Choice, two: Choice, *rows: dict[str, Any]) -> Mapping[str, int]:
    return dict(suppressed_by(read_rules(rows), one, two))


def call(**arguments: Any) -> ToolCall:
    return ToolCall("log", json.dumps(arguments))


def test_places_in_json_answers_are_counted() -> None:
    assert hidden(Choice('{"id": 1, "in": [{"id": 2}], "n": 1}'), Choice('{"id": 9, "in": [{"id": 8}], "n": 2}'), IDS, TIMES) == {"ids": 2}


def test_a_plain_text_is_one_place() -> None:
    assert hidden(Choice("2024-05-01 and 2024-05-02"), Choice("2025-05-01 and 2025-05-02"), IDS, TIMES) == {"times": 1}
    assert hidden(Choice("2024-05-01: rain"), Choice("2025-05-01: sun"), IDS, TIMES) == {}


def test_arguments_of_calls_that_belong_together_are_counted() -> None:
    one, two = Choice(tool_calls=(call(id=1, n=1), call(id=2, n=2))), Choice(tool_calls=(call(id=3, n=2), call(id=1, n=1)))
    assert hidden(one, two, IDS) == {"ids": 1}


def test_json_against_prose_is_compared_as_text() -> None:
    assert hidden(Choice('{"id": 1}'), Choice("No."), IDS, TIMES) == {}


def test_without_rules_nothing_is_hidden() -> None:
    assert suppressed_by(Rules(), Choice("a"), Choice("b")) == {}


@given(VALUES, VALUES, st.sampled_from([{"ignore": True}, {"sort": True}, {"lower": True}, {"round": 1}, {"pattern": "number"}]))
def test_something_is_counted_wherever_a_rule_alone_made_two_answers_equal(one: Any, two: Any, action: dict[str, Any]) -> None:
    row = {"path": "**", **action}
    texts = json.dumps([one]), json.dumps([two])
    asked = Asked(wants_json=True)
    before, after = (compare_structure(*texts, asked, read_rules(rows)).score for rows in ([], [row]))
    if before and after == 0.0:
        assert sum(hidden(Choice(texts[0]), Choice(texts[1]), row).values()) >= 1
