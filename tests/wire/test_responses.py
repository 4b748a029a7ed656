"""OpenAI Responses: items of all kinds, whole and in pieces, and every way they end."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from shadowproxy.exchange import Answer, Choice, Media, ReplyError, ToolCall, Usage
from tests.wire.samples import STREAM, named, read

PATH = "/v1/responses"
PICTURE = base64.b64encode(b"PNG").decode()
MEDIA = Media("image", hashlib.sha256(b"PNG").hexdigest(), 3)

ITEMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "message", "content": [{"type": "output_text", "text": "Hel"}, {"type": "output_text", "text": "lo"}]}, {"text": "Hello"}),
    ({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}, {"refusal": "no"}),
    ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"}, {"reasoning": "hm"}),
    (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": [{"type": "reasoning_text", "text": "hmm"}]},
        {"reasoning": "hmm"},
    ),
    (
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
        {"tool_calls": (ToolCall("f", '{"a": 1}', "c1"),)},
    ),
    ({"type": "function_call", "name": "f", "arguments": {"b": 1, "a": 2}}, {"tool_calls": (ToolCall("f", '{"a":2,"b":1}'),)}),
    ({"type": "function_call", "name": "f"}, {"tool_calls": (ToolCall("f", ""),)}),
    ({"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "SELECT"}, {"tool_calls": (ToolCall("sql", "SELECT", "c1"),)}),
    (
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"tool_calls": (ToolCall("shell", '{"commands":["ls"]}', "c1"),)},
    ),
    (
        {"type": "apply_patch_call", "call_id": "c1", "operation": {"type": "delete_file"}},
        {"tool_calls": (ToolCall("apply_patch", '{"type":"delete_file"}', "c1"),)},
    ),
    ({"type": "image_generation_call", "result": PICTURE}, {"media": (MEDIA,)}),
    ({"type": "image_generation_call", "result": None}, {}),
]


def response(*items: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {"object": "response", "model": "m", "status": status, "output": list(items), "usage": usage, "error": None, **fields}


def streamed(*values: dict[str, Any]) -> Answer:
    return read(PATH, named(*values), STREAM)


def end(kind: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": response(status=kind, **fields)}


def text(delta: str, **fields: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": delta, **fields}


@pytest.mark.parametrize(("item", "fields"), ITEMS)
def test_an_item_means_the_same_whole_closed_and_in_the_last_event(item: dict[str, Any], fields: dict[str, Any]) -> None:
    choice = Choice(finish_reason="completed", **fields)
    whole = read(PATH, response(item))
    assert (whole.choices, whole.usage, whole.model, whole.is_complete) == ((choice,), Usage(3, 5), "m", True)
    closed = streamed({"type": "response.output_item.done", "output_index": 0, "item": item}, end())
    assert (closed.choices, closed.usage, closed.is_complete) == ((choice,), Usage(3, 5), True)
    assert streamed({"type": "response.completed", "response": response(item)}).choices == (choice,)
    assert bool(whole.content_at_s) is bool(closed.content_at_s) is bool(fields)


def test_pieces_are_not_said_again_by_what_closes_them() -> None:
    item = {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "ab"}]}
    answer = streamed(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m1", "content": []}},
        text("a", output_index=0),
        text("b", output_index=0),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response(item)},
    )
    assert (answer.text, len(answer.content_at_s), answer.unknown) == ("ab", 2, ())


def test_items_stand_in_order_of_their_index() -> None:
    answer = streamed(text("b", output_index=2), text("a", output_index=0), text("c", output_index=2), end())
    assert answer.text == "abc"


def test_items_without_index_are_told_apart_by_their_id() -> None:
    """Some servers say -1 for every item."""
    call = {"type": "response.output_item.added", "output_index": -1, "item": {"id": "fc", "type": "function_call", "name": "f"}}
    arguments = {"type": "response.function_call_arguments.delta", "output_index": -1, "item_id": "fc", "delta": "{}"}
    answer = streamed(text("a", item_id="m1", output_index=-1), call, arguments, text("b", item_id="m1", output_index=-1), end())
    assert (answer.text, answer.first.tool_calls) == ("ab", (ToolCall("f", "{}", "fc"),))


def test_an_id_that_changes_from_event_to_event_does_not_matter_beside_an_index() -> None:
    answer = streamed(text("a", item_id="x", output_index=0), text("b", item_id="y", output_index=0), end())
    assert answer.text == "ab"


def test_pieces_of_every_kind() -> None:
    def piece(kind: str, index: int, delta: str) -> dict[str, Any]:
        return {"type": f"response.{kind}.delta", "output_index": index, "delta": delta}

    answer = streamed(
        piece("reasoning_summary_text", 0, "sum"),
        piece("reasoning_text", 0, "thought"),
        piece("refusal", 1, "no"),
        {"type": "response.output_item.added", "output_index": 2, "item": {"type": "custom_tool_call", "call_id": "c", "name": "sql"}},
        piece("custom_tool_call_input", 2, "SEL"),
        piece("custom_tool_call_input", 2, "ECT"),
        end(),
    )
    assert answer.first == Choice(
        reasoning="thought", refusal="no", tool_calls=(ToolCall("sql", "SELECT", "c"),), finish_reason="completed"
    )


@pytest.mark.parametrize(
    ("last", "finish", "is_complete", "error"),
    [
        (end(), "completed", True, None),
        (end("incomplete", incomplete_details={"reason": "max_output_tokens"}), "max_output_tokens", True, None),
        (end("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter", True, None),
        (end("incomplete"), "incomplete", True, None),
        (end("failed", error={"code": "server_error", "message": "bad"}), "failed", True, ReplyError("bad", "", "server_error")),
        (end("failed"), "failed", True, ReplyError("the response failed", "failed")),
        ({"type": "error", "code": "x", "message": "bad", "param": None}, None, False, ReplyError("bad", "error", "x")),
        ({"type": "error", "error": {"type": "t", "message": "bad"}}, None, False, ReplyError("bad", "t")),
        ({"type": "response.in_progress", "response": response(status="in_progress")}, None, False, None),
    ],
)
def test_how_a_stream_ends(last: dict[str, Any], finish: str | None, is_complete: bool, error: ReplyError | None) -> None:
    answer = streamed(text("a"), last)
    assert (answer.text, answer.first.finish_reason, answer.is_complete, answer.error) == ("a", finish, is_complete, error)


def test_done_is_no_end_of_this_dialect() -> None:
    assert not read(PATH, named(text("a")) + b"data: [DONE]\n\n", STREAM).is_complete
    assert read(PATH, named(text("a"), end()) + b"data: [DONE]\n\n", STREAM).is_complete


@pytest.mark.parametrize(
    ("body", "is_complete"),
    [
        (response(), True),
        (response(status="incomplete"), True),
        (response(status="in_progress"), False),
        (response(status="queued"), False),
        ({}, False),
        ([], False),
        ({"output": None}, False),
    ],
)
def test_when_a_whole_response_is_complete(body: Any, is_complete: bool) -> None:
    assert read(PATH, body).is_complete is is_complete


def test_what_servers_do_themselves_is_named_and_nothing_else() -> None:
    item = {"type": "web_search_call", "id": "ws", "action": {"query": "x"}}
    search = {"type": "response.web_search_call.searching", "output_index": 0}
    answer = streamed(search, {"type": "response.output_item.done", "output_index": 0, "item": item}, text("a", output_index=1), end())
    assert (answer.text, answer.first.tool_calls) == ("a", ())
    assert answer.unknown == ("event response.web_search_call.searching", "output.web_search_call")
