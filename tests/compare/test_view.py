"""One arm's exchange as the comparators see it."""

from __future__ import annotations

from dataclasses import replace

from shadowproxy.compare.cost import Price, PriceTable
from shadowproxy.compare.means import Means
from shadowproxy.compare.rules import read_rules
from shadowproxy.compare.view import MAX_CHOICES, view
from shadowproxy.exchange import Answer, Asked, Choice, Outcome, ToolCall, ToolSpec, Usage
from tests.compare.test_pair import answer, exchange


def test_side_says_what_is_known_of_the_answer_alone() -> None:
    prices = Means(prices=PriceTable("EUR", (Price("m", 1.0, 2.0),)))
    reply = replace(answer('{"a": 1}', finish_reason="length"), model="m", usage=Usage(1_000_000, 500_000))
    side = view(exchange(), reply, Asked(wants_json=True, schema='{"required": ["b"]}'), prices).side
    assert (side.is_json_valid, side.is_refusal, side.is_truncated) == (False, False, True)
    assert (side.prompt_tokens, side.completion_tokens, side.cost) == (1_000_000, 500_000, 2.0)


def test_question_that_does_not_arise_has_no_answer() -> None:
    side = view(exchange(), answer("Paris"), Asked(), Means()).side
    assert (side.is_json_valid, side.is_tool_valid, side.is_truncated, side.cost, side.language) == (None, None, None, None, None)


def test_call_of_a_tool_that_was_not_offered_is_not_valid() -> None:
    calling = answer("", tool_calls=(ToolCall("drop", "{}"),))
    assert view(exchange(), calling, Asked(tools=(ToolSpec("get"),)), Means()).side.is_tool_valid is False


def test_failed_exchange_says_nothing_of_its_answer() -> None:
    found = view(exchange(outcome=Outcome.TIMEOUT), answer("half an ans"), Asked(), Means())
    assert (found.text, found.refusals, found.side.is_refusal) == ("", (), None)


def test_rules_take_noise_out_of_json_and_of_text() -> None:
    means = Means(rules=read_rules([{"path": "$.at", "ignore": True}, {"path": "text", "pattern": "uuid"}]))
    assert view(exchange(), answer('{"at": 1, "b": 2}'), Asked(), means).text == '{"b":2}'
    one, two = (f"Job 0b7e4d1{number}-7f5c-4e0f-9a39-0b1c5b7c5a11 done." for number in "12")
    assert view(exchange(), answer(one), Asked(), means).text == view(exchange(), answer(two), Asked(), means).text


def test_choices_are_bounded() -> None:
    many = Answer("chat", tuple(Choice(text=f"answer {number}") for number in range(100)))
    assert len(view(exchange(), many, Asked(), Means()).refusals) == MAX_CHOICES
