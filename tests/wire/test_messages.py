"""Anthropic messages: blocks, counts that grow, refusals, and streams that begin anew."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.exchange import Answer, Choice, ReplyError, ToolCall, Usage
from tests.wire.samples import STREAM, event, named, read, read_all

PATH = "/v1/messages"


def message(*content: Any, stop: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "model": "m", "content": list(content), "stop_reason": stop, **fields}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int | None, kind: str, **fields: Any) -> dict[str, Any]:
    where = {} if index is None else {"index": index}
    return {"type": "content_block_delta", **where, "delta": {"type": kind, **fields}}


def start(**usage: int) -> dict[str, Any]:
    return {"type": "message_start", "message": message(stop=None, usage=usage)}


def ending(reason: str = "end_turn", *, usage: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **fields}, "usage": usage}


STOP = {"type": "message_stop"}


def streamed(*values: dict[str, Any]) -> Answer:
    return read(PATH, named(*values), STREAM)


@pytest.mark.parametrize(
    ("blocks", "fields"),
    [
        ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo", "citations": None}], {"text": "Hello"}),
        ([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}], {"text": "a", "reasoning": "hm"}),
        ([{"type": "redacted_thinking", "data": "x"}], {}),
        (
            [{"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": 2}}],
            {"tool_calls": (ToolCall("f", '{"a":2,"b":1}', "t1"),)},
        ),
        ([{"type": "tool_use", "id": "t1", "name": "f", "input": {}}], {"tool_calls": (ToolCall("f", "{}", "t1"),)}),
    ],
)
def test_the_blocks_of_a_whole_message(blocks: list[Any], fields: dict[str, Any]) -> None:
    answer = read(PATH, message(*blocks, usage={"input_tokens": 3, "output_tokens": 5}))
    assert (answer.choices, answer.usage, answer.model) == ((Choice(finish_reason="end_turn", **fields),), Usage(3, 5), "m")
    assert (answer.is_complete, bool(answer.content_at_s), answer.unknown) == (True, bool(fields), ())


def test_a_stream_in_full() -> None:
    pieces = [
        start(input_tokens=3, output_tokens=1),
        begin(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="x"),
        {"type": "content_block_stop", "index": 0},
        begin(1, type="text", text=""),
        {"type": "ping"},
        delta(1, "text_delta", text="Hel"),
        delta(1, "text_delta", text="lo"),
        delta(1, "citations_delta", citation={}),
        begin(2, type="tool_use", id="t1", name="f", input={}),
        delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"a"'),
        delta(2, "input_json_delta", partial_json=": 1}"),
        ending("tool_use", usage={"output_tokens": 9}),
        STOP,
    ]
    reads = tuple((float(at), event(each, each["type"])) for at, each in enumerate(pieces))
    choice = Choice("Hello", "hm", (ToolCall("f", '{"a": 1}', "t1"),), "tool_use")
    expected = Answer("messages", (choice,), Usage(3, 9), model="m", is_streamed=True, content_at_s=(2.0, 7.0, 8.0, 10.0, 12.0, 13.0))
    assert read_all(PATH, reads, (STREAM,)) == expected


def test_a_tool_that_takes_nothing_is_called_with_an_empty_object() -> None:
    answer = streamed(start(), begin(0, type="tool_use", id="t1", name="f", input={}), ending("tool_use"), STOP)
    assert answer.first.tool_calls == (ToolCall("f", "{}", "t1"),)


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 9}, Usage(3, 9)),
        ({"input_tokens": 3, "output_tokens": 1}, {"input_tokens": 7, "output_tokens": 9}, Usage(7, 9)),
        ({"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5, "output_tokens": 1}, None, Usage(18, 1)),
        ({}, {"output_tokens": "9"}, None),
        ({"input_tokens": 2**62, "cache_read_input_tokens": 2**62, "cache_creation_input_tokens": 2**62}, None, Usage(0, 0)),
    ],
)
def test_counts_are_totals_so_far_and_cached_ones_count(first: dict[str, int], last: Any, usage: Usage | None) -> None:
    assert streamed(start(**first), ending(usage=last), STOP).usage == usage


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "not this"}
    for answer in (
        streamed(start(), ending("refusal", stop_details=details), STOP),
        read(PATH, message(stop="refusal", stop_details=details)),
    ):
        assert (answer.first.refusal, answer.first.finish_reason, answer.text) == ("not this", "refusal", "")


@pytest.mark.parametrize(
    ("pieces", "is_complete"),
    [
        ([ending(), STOP], True),
        ([ending()], True),
        ([STOP], True),
        ([], False),
        ([{"type": "ping"}], False),
    ],
)
def test_when_a_stream_is_complete(pieces: list[dict[str, Any]], is_complete: bool) -> None:
    assert streamed(start(), delta(0, "text_delta", text="a"), *pieces).is_complete is is_complete


def test_an_error_inside_a_stream_keeps_what_came_before() -> None:
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    answer = streamed(start(), delta(0, "text_delta", text="a"), failure)
    assert (answer.text, answer.error, answer.is_complete) == ("a", ReplyError("Overloaded", "overloaded_error"), False)


def test_a_message_that_begins_anew_forgets_what_came_before() -> None:
    """A gateway whose first try failed in the middle splices a second one behind it."""
    answer = streamed(
        start(input_tokens=3),
        delta(0, "text_delta", text="half an ans"),
        begin(1, type="tool_use", id="t1", name="f"),
        start(input_tokens=3),
        delta(0, "text_delta", text="an answer"),
        ending(),
        STOP,
    )
    assert (answer.text, answer.first.tool_calls, answer.unknown) == ("an answer", (), ("event message_start again",))


def test_blocks_stand_in_order_and_pieces_without_index_go_to_the_last() -> None:
    answer = streamed(
        start(),
        begin(1, type="text", text="b"),
        begin(0, type="text", text="a"),
        delta(1, "text_delta", text="c"),
        begin(2, type="text", text=""),
        delta(None, "text_delta", text="d"),
        ending(),
        STOP,
    )
    assert answer.text == "abcd"


def test_unknown_blocks_and_deltas_are_named() -> None:
    answer = streamed(
        start(),
        begin(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json="{}"),
        delta(1, "sound_delta", sound="x"),
        {"type": "novelty"},
        ending(),
        STOP,
    )
    assert answer.unknown == ("content.server_tool_use", "delta.sound_delta", "event novelty")
    assert answer.first == Choice(finish_reason="end_turn")
    assert answer.content_at_s == ()


@pytest.mark.parametrize("wrong", [None, 7, [], {}, "x", [7]])
@pytest.mark.parametrize("field", ["index", "delta", "content_block", "message", "usage", "type"])
def test_a_wrong_type_costs_only_its_field(field: str, wrong: Any) -> None:
    for spoilt in (start(), begin(0, type="text", text=""), delta(0, "text_delta", text="a"), ending()):
        answer = streamed(start(), spoilt | {field: wrong}, delta(9, "text_delta", text="b"), ending(), STOP)
        assert "b" in answer.text
        assert answer.is_complete
