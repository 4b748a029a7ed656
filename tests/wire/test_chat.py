"""OpenAI chat completions as many servers speak them: whole, streamed, broken."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shadowproxy.exchange import Answer, Choice, Reply, ReplyError, Request, ToolCall, Usage
from shadowproxy.wire.chat import MAX_CALL_NAME_CHARS
from shadowproxy.wire.loose_json import MAX_UNKNOWN_NAMES
from shadowproxy.wire.reading import read_answer

REQUEST = Request("POST", "/v1/chat/completions", (), b"{}")
DONE = "[DONE]"


def whole(body: Any, status: int = 200) -> Answer:
    """Read ``body`` as an unstreamed reply whose only read came after 0.5 s."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_answer(REQUEST, Reply(status, ((b"content-type", b"application/json"),), ((0.5, data),)))


def streamed(*events: Any, status: int = 200) -> Answer:
    """Read ``events`` as a stream: the n-th arrives after n seconds. Text is sent as it is, anything else as JSON."""
    reads = tuple((float(second), _event(event)) for second, event in enumerate(events, 1))
    return read_answer(REQUEST, Reply(status, ((b"content-type", b"text/event-stream; charset=utf-8"),), reads))


def _event(event: Any) -> bytes:
    if isinstance(event, bytes):
        return event
    return b"data: " + (event.encode() if isinstance(event, str) else orjson.dumps(event)) + b"\n\n"


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "model": "m", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


def tool(index: int | None, name: str | None = None, arguments: Any = None, call_id: str | None = None) -> dict[str, Any]:
    call: dict[str, Any] = {"function": {}}
    call |= {} if index is None else {"index": index}
    call |= {} if call_id is None else {"id": call_id}
    call["function"] |= {} if name is None else {"name": name}
    call["function"] |= {} if arguments is None else {"arguments": arguments}
    return call


# --- whole replies ----------------------------------------------------------------------------------------------------------


def test_a_whole_reply_in_full() -> None:
    answer = whole(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-x",
            "system_fingerprint": None,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        }
    )
    assert answer == Answer("chat", (Choice("Hello", finish_reason="stop"),), Usage(3, 5), model="gpt-x", content_at_s=(0.5,))


def test_text_reasoning_refusal_and_calls_are_kept_apart() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    answer = whole(message(content="text", reasoning_content="thought", refusal="no", tool_calls=[call]))
    assert answer.first == Choice("text", "thought", (ToolCall("f", '{"a": 1}', "c1"),), "stop", "no")


@pytest.mark.parametrize(
    ("fields", "text", "reasoning"),
    [
        pytest.param({"content": "a", "reasoning": "r"}, "a", "r", id="reasoning"),
        pytest.param({"content": "a", "reasoning_content": "r", "reasoning": "r"}, "a", "r", id="both names, once"),
        pytest.param({"content": "a", "reasoning_content": "", "reasoning": "r"}, "a", "r", id="one name empty"),
        pytest.param({"content": None, "reasoning": None}, "", "", id="nulls"),
        pytest.param({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", "", id="parts"),
        pytest.param({"content": ["a", {"text": "b"}]}, "ab", "", id="parts without a type"),
        pytest.param(
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}, {"type": "text", "text": "a"}]},
            "a",
            "r",
            id="thinking list",
        ),
        pytest.param({"content": [{"type": "thinking", "thinking": "r"}]}, "", "r", id="thinking text"),
        pytest.param({"content": [{"type": "reasoning", "text": "r"}]}, "", "r", id="reasoning part"),
    ],
)
def test_where_servers_put_text_and_reasoning(fields: dict[str, Any], text: str, reasoning: str) -> None:
    for answer in (whole(message(**fields)), streamed(delta(**fields), DONE)):
        assert (answer.first.text, answer.first.reasoning) == (text, reasoning)


def test_a_refusal_part_is_a_refusal() -> None:
    answer = whole(message(content=[{"type": "refusal", "refusal": "no"}]))
    assert (answer.first.refusal, answer.text) == ("no", "")


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        pytest.param(
            {"tool_calls": [tool(None, "f", "{}", "a"), tool(None, "g", "{}", "b")]},
            [ToolCall("f", "{}", "a"), ToolCall("g", "{}", "b")],
            id="two",
        ),
        pytest.param(
            {"tool_calls": [tool(None, "f", "{}", "a"), tool(None, "f", "[]", "a")]},
            [ToolCall("f", "{}", "a"), ToolCall("f", "[]", "a")],
            id="same id",
        ),
        pytest.param({"tool_calls": [tool(0, "f", "1"), tool(0, "f", "2")]}, [ToolCall("f", "1"), ToolCall("f", "2")], id="same index"),
        pytest.param({"tool_calls": [tool(None, "f", {"b": 1, "a": 2})]}, [ToolCall("f", '{"a":2,"b":1}')], id="arguments as an object"),
        pytest.param(
            {"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": "ls"}}]},
            [ToolCall("f", "ls", "a")],
            id="custom tool",
        ),
        pytest.param({"function_call": {"name": "f", "arguments": "{}"}}, [ToolCall("f", "{}")], id="legacy"),
        pytest.param({"tool_calls": [{}, None, 7, {"function": None}]}, [], id="nothing called"),
    ],
)
def test_tool_calls_of_a_whole_reply(fields: dict[str, Any], calls: list[ToolCall]) -> None:
    answer = whole(message(content=None, **fields))
    assert list(answer.first.tool_calls) == calls
    assert answer.content_at_s == ((0.5,) if calls else ())


def test_several_choices_stand_in_order_of_their_index() -> None:
    choices = [{"index": index, "message": {"content": str(index)}, "finish_reason": "stop"} for index in (2, 0, 1)]
    assert [choice.text for choice in whole({"choices": choices}).choices] == ["0", "1", "2"]


def test_choices_without_index_stand_as_sent() -> None:
    choices = [{"message": {"content": text}} for text in ("a", "b")]
    assert [choice.text for choice in whole({"choices": choices}).choices] == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"text"', b"7", b'{"choices": [', b'\xff{"choices": []}'])
def test_a_body_that_is_no_json_object_is_undecodable(body: bytes) -> None:
    answer = whole(body)
    assert answer.error is not None
    assert (answer.error.type, answer.is_complete, answer.choices) == ("undecodable", False, ())


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, {"choices": {}}, {"choices": [None, 7]}])
def test_a_whole_reply_without_choices_is_not_complete(body: Any) -> None:
    answer = whole(body)
    assert (answer.is_complete, answer.error, answer.choices, answer.content_at_s) == (False, None, (), ())


def test_blanks_that_keep_a_slow_reply_alive_do_not_matter() -> None:
    assert whole(b"   \n\n   " + orjson.dumps(message(content="a"))).text == "a"


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"error": {"message": "bad", "type": "invalid_request_error", "code": "x", "param": None}},
            ReplyError("bad", "invalid_request_error", "x"),
        ),
        ({"error": {"message": "bad", "code": 401}}, ReplyError("bad", "", "401")),
        ({"error": "bad"}, ReplyError("bad")),
        ({"error": "bad", "code": 7, "type": "t"}, ReplyError("bad", "t", "7")),
        ({"error": True, "message": "bad"}, ReplyError("bad")),
        ({"error": {"reason": "bad"}}, ReplyError("bad")),
        ({"error": {"details": [1]}}, ReplyError('{"details":[1]}')),
        ({"error": {}, "message": "bad"}, ReplyError("bad")),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "bad"}}, ReplyError("bad", "overloaded_error")),
        (
            {"object": "error", "message": "bad", "type": "BadRequestError", "param": None, "code": 400},
            ReplyError("bad", "BadRequestError", "400"),
        ),
        ({"message": "bad"}, ReplyError("bad")),
        ({"detail": "bad"}, ReplyError("bad")),
        ({"detail": [{"loc": ["body", "n"], "msg": "one"}, {"msg": "two"}, 7]}, ReplyError("one; two")),
        ([{"error": {"message": "bad", "code": 400}}], ReplyError("bad", "", "400")),
        ([], ReplyError("[]")),
        ({}, ReplyError("{}")),
        (b"upstream connect error\n", ReplyError("upstream connect error")),
        (b"", ReplyError("status 503")),
        (b"\xff", ReplyError("\ufffd")),
    ],
)
def test_the_error_in_the_body_of_a_failed_request(body: Any, error: ReplyError) -> None:
    answer = whole(body, status=503)
    assert answer == Answer("chat", error=error)


def test_a_long_error_page_is_cut() -> None:
    error = whole(b"<html>" * 10_000, status=502).error
    assert error is not None
    assert len(error.message) == 2000


def test_an_error_in_a_successful_whole_reply() -> None:
    assert whole({"error": {"message": "bad"}}).error == ReplyError("bad")
    assert whole({"error": None, **message(content="a")}).error is None


def test_an_error_within_a_choice() -> None:
    choice = {"index": 0, "message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "bad"}}
    assert whole({"choices": [choice]}).error == ReplyError("bad", "", "502")


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "bad", "type": "t"}},
        b'event: error\ndata: {"error": {"message": "bad", "type": "t"}}\n\n',
        b'event: error\ndata: {"message": "bad", "type": "t"}\n\n',
        {"object": "error", "message": "bad", "type": "t"},
    ],
)
def test_an_error_inside_a_stream_keeps_what_came_before(event: Any) -> None:
    answer = streamed(delta(content="Hel"), event)
    assert (answer.error, answer.text, answer.is_complete, answer.content_at_s) == (ReplyError("bad", "t"), "Hel", False, (1.0,))


def test_the_first_error_of_a_stream_is_the_one_that_counts() -> None:
    assert streamed({"error": "one"}, {"error": "two"}, b"event: error\ndata: three\n\n").error == ReplyError("one")


def test_an_error_event_in_plain_words() -> None:
    assert streamed(b"event: error\ndata: out of memory\n\n").error == ReplyError("out of memory")


def test_a_failed_request_may_be_answered_by_a_stream() -> None:
    assert streamed({"error": {"message": "bad"}}, status=500).error == ReplyError("bad")
    assert streamed(b'{"error": {"message": "bad"}}', status=500).error == ReplyError("bad")
    assert streamed(b"no stream", status=500).error == ReplyError("no stream")


def test_one_json_body_that_calls_itself_a_stream_is_read_as_what_it_is() -> None:
    assert streamed(b'{"error": {"message": "bad"}}').error == ReplyError("bad")
    answer = streamed(orjson.dumps(message(content="a")))
    assert (answer.text, answer.is_complete, answer.is_streamed) == ("a", True, False)


# --- streams ----------------------------------------------------------------------------------------------------------------


def test_a_stream_in_full() -> None:
    answer = streamed(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm. "),
        delta(content="Hel") | {"obfuscation": "xyz"},
        delta(content="lo"),
        delta(finish="stop"),
        {"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
        DONE,
    )
    assert answer == Answer(
        "chat",
        (Choice("Hello", "Hm. ", finish_reason="stop"),),
        Usage(3, 5),
        model="m",
        is_streamed=True,
        is_complete=True,
        content_at_s=(2.0, 3.0, 4.0),
    )


@pytest.mark.parametrize(
    ("fields", "is_content"),
    [
        ({"content": "a"}, True),
        ({"content": " "}, True),
        ({"content": ""}, False),
        ({"content": None}, False),
        ({"content": 7}, False),
        ({"content": []}, False),
        ({"content": [{"type": "text", "text": "a"}]}, True),
        ({"role": "assistant"}, False),
        ({"reasoning": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [tool(0, "f", "", "a")]}, True),
        ({"tool_calls": [tool(0, None, "{")]}, True),
        ({"tool_calls": [tool(0, None, "")]}, False),
        ({"tool_calls": [tool(0, None, None, "a")]}, False),
        ({"function_call": {"name": "f"}}, True),
    ],
)
def test_what_counts_as_content(fields: dict[str, Any], is_content: bool) -> None:
    assert streamed(delta(**fields)).content_at_s == ((1.0,) if is_content else ())


def test_an_event_for_several_choices_is_one_moment() -> None:
    both = {"choices": [delta(index, content="x")["choices"][0] for index in (0, 1)]}
    answer = streamed(both, both, DONE)
    assert answer.content_at_s == (1.0, 2.0)
    assert [choice.text for choice in answer.choices] == ["xx", "xx"]


def test_an_event_has_the_time_of_the_read_that_completed_it() -> None:
    body = _event(delta(content="a"))
    reads = ((0.1, body[:9]), (0.2, body[9:-1]), (0.3, body[-1:] + body), (0.4, b"data: [DONE]\n\n"))
    answer = read_answer(REQUEST, Reply(200, ((b"content-type", b"text/event-stream"),), reads))
    assert (answer.ttft_s, answer.content_at_s, answer.text) == (0.3, (0.3, 0.3), "aa")


@pytest.mark.parametrize(
    ("events", "is_complete"),
    [
        pytest.param([delta(content="a"), DONE], True, id="done"),
        pytest.param([delta(content="a", finish="stop")], True, id="finish without done"),
        pytest.param([delta(content="a")], False, id="neither"),
        pytest.param([delta(0, "stop"), delta(1, content="a")], False, id="one of two choices finished"),
        pytest.param([delta(0, "stop"), delta(1, "stop")], True, id="both finished"),
        pytest.param([], False, id="nothing"),
        pytest.param([{"choices": []}], False, id="no choices"),
        pytest.param([DONE], True, id="only done"),
        pytest.param([delta(content="a"), b"data: [DONE]"], False, id="done without its blank line"),
        pytest.param([delta(content="a"), b"data:[DONE]\r\n\r\n"], True, id="done with other blanks"),
        pytest.param([b": OPENROUTER PROCESSING\n\n", delta(finish="stop"), b": ping\n\n"], True, id="comments"),
    ],
)
def test_when_a_stream_is_complete(events: list[Any], is_complete: bool) -> None:
    answer = streamed(*events)
    assert (answer.is_complete, answer.is_streamed) == (is_complete, True)


def test_nothing_is_read_past_done() -> None:
    assert streamed(delta(content="a"), DONE, delta(content="b"), {"error": "late"}).choices == (Choice("a"),)


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [[tool(0, "f", "", "a")], [tool(0, None, '{"x"')], [tool(0, None, ": 1}")]],
            [ToolCall("f", '{"x": 1}', "a")],
            id="merged by index",
        ),
        pytest.param(
            [[tool(0, "f", "", "a")], [tool(1, "g", "", "b")], [tool(1, None, "2")], [tool(0, None, "1")]],
            [ToolCall("f", "1", "a"), ToolCall("g", "2", "b")],
            id="parallel, in turns",
        ),
        pytest.param(
            [[tool(0, "f", "1", "a"), tool(1, "g", "2", "b")]],
            [ToolCall("f", "1", "a"), ToolCall("g", "2", "b")],
            id="parallel, in one delta",
        ),
        pytest.param(
            [[tool(1, "g", "2", "b")], [tool(0, "f", "1", "a")]],
            [ToolCall("f", "1", "a"), ToolCall("g", "2", "b")],
            id="index gives the order",
        ),
        pytest.param(
            [[tool(None, "f", "1", "a")], [tool(None, "f", "2", "b")], [tool(None, "f", "3")], [tool(None, "f", "4")]],
            [ToolCall("f", "1", "a"), ToolCall("f", "2", "b"), ToolCall("f", "3"), ToolCall("f", "4")],
            id="whole calls without index",
        ),
        pytest.param(
            [[tool(None, "f", "", "a")], [tool(None, None, "1", "a")], [tool(None, None, "2")]],
            [ToolCall("f", "12", "a")],
            id="pieces without index",
        ),
        pytest.param(
            [[tool(0, "f", "1", "a")], [tool(0, "g", "2", "b")]],
            [ToolCall("f", "1", "a"), ToolCall("g", "2", "b")],
            id="every call has index 0",
        ),
        pytest.param(
            [[tool(0, "f", "", "a")], [tool(0, None, "1", "b")], [tool(0, None, "2", "c")]],
            [ToolCall("f", "12", "a")],
            id="an id per piece",
        ),
        pytest.param(
            [[tool(0, "f", "", "a")], [tool(0, "f", "1", "a")], [tool(0, "", "2", "")]], [ToolCall("f", "12", "a")], id="name repeated"
        ),
        pytest.param([[tool(0, "get_", "", "a")], [tool(0, "time", "1")]], [ToolCall("get_time", "1", "a")], id="name in pieces"),
        pytest.param([[tool(0, None, None, "a")], [tool(0, "f", "1")]], [ToolCall("f", "1", "a")], id="id first"),
        pytest.param(
            [[tool(0, "f", '{"x":"'), tool(0, None, "\u00fc")], [tool(0, None, '"}')]], [ToolCall("f", '{"x":"\u00fc"}')], id="no id at all"
        ),
        pytest.param([[tool(None, None, "1")]], [ToolCall("", "1")], id="arguments of nobody"),
    ],
)
def test_tool_call_deltas_merge(pieces: list[list[dict[str, Any]]], calls: list[ToolCall]) -> None:
    answer = streamed(*(delta(tool_calls=piece) for piece in pieces), delta(finish="tool_calls"))
    assert list(answer.first.tool_calls) == calls
    assert answer.is_complete


def test_a_tool_name_in_endless_pieces_is_bounded() -> None:
    (call,) = streamed(*(delta(tool_calls=[tool(0, f"name{number}")]) for number in range(500)), DONE).first.tool_calls
    assert len(call.name) == MAX_CALL_NAME_CHARS


def test_legacy_function_call_deltas_merge() -> None:
    answer = streamed(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{"}),
        delta(function_call={"arguments": "}"}),
        DONE,
    )
    assert answer.first.tool_calls == (ToolCall("f", "{}"),)
    assert answer.content_at_s == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("usages", "usage"),
    [
        ([None, {"prompt_tokens": 1, "completion_tokens": 2}], Usage(1, 2)),
        ([{"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 2}, None], Usage(1, 2)),
        ([{"prompt_tokens": 5, "total_tokens": 5}], Usage(5, 0)),
        ([{}], None),
        (["12"], None),
        ([{"prompt_tokens": "1", "completion_tokens": -2}], None),
        ([{"prompt_tokens": True, "completion_tokens": 1.5}], None),
        ([{"prompt_tokens": 2**70, "completion_tokens": 1}], Usage(0, 1)),
    ],
)
def test_usage_is_the_last_one_given(usages: list[Any], usage: Usage | None) -> None:
    chunks = [
        b'data: {"choices": null, "usage": %s}\n\n' % str(found).replace("'", '"').replace("None", "null").replace("True", "true").encode()
        for found in usages
    ]
    assert streamed(delta(content="a"), *chunks, DONE).usage == usage


def test_a_closing_message_does_not_double_the_text() -> None:
    """Perplexity sends the whole message so far beside each delta, others send it once at the end."""
    beside = {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {"content": "ab"}}]}
    at_end = {"choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert streamed(delta(content="a"), beside, at_end).text == "ab"
    assert streamed(at_end).text == "ab"


def test_an_emoji_cut_in_two_by_the_server_is_mended() -> None:
    """Servers that escape JSON byte by byte send the halves of a surrogate pair in two events; strict parsers refuse both."""
    halves = [
        b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % half for half in (b"a\\ud83c", b"\\udf88b", b"\\ud83c")
    ]
    assert streamed(*halves, DONE).text == "a\U0001f388b\ufffd"


def test_not_a_number_does_not_cost_the_chunk() -> None:
    chunk = b'{"choices": [{"index": 0, "message": {"content": "a"}, "logprobs": {"x": NaN}}]}'
    assert whole(chunk).text == "a"


def test_unknown_fields_and_events_are_named() -> None:
    chunk = delta(content="a", encrypted={}) | {"citations": []}
    chunk["choices"][0]["native_finish_reason"] = None
    answer = streamed(chunk, b'event: ping\ndata: {"type": "ping"}\n\n', "7", "no json", chunk, DONE)
    assert answer.unknown == ("citations", "choices.native_finish_reason", "delta.encrypted", "event ping", "type", "event message")
    assert (answer.error, answer.text) == (None, "aa")
    assert whole(message(content=[{"type": "image_url"}], annotations=[])).unknown == ("message.annotations", "content.image_url")


def test_unknown_names_are_bounded() -> None:
    names = streamed({f"{'x' * 500}{number}": 1 for number in range(500)}, {f"y{number}": 1 for number in range(500)}, DONE).unknown
    assert len(names) == MAX_UNKNOWN_NAMES
    assert max(map(len, names)) <= 80


@pytest.mark.parametrize("wrong", [None, 7, 1.5, True, "x", [], {}, [7], [[]], [{}], {"a": 7}, [None]])
@pytest.mark.parametrize(
    "field",
    [
        "choices",
        "usage",
        "model",
        "index",
        "delta",
        "message",
        "finish_reason",
        "content",
        "tool_calls",
        "function_call",
        "refusal",
        "reasoning",
    ],
)
def test_a_wrong_type_costs_only_its_field(field: str, wrong: Any) -> None:
    chunk = delta(content="a")
    choice = chunk["choices"][0]
    for place in (chunk, choice, choice["delta"]):
        if field in place or place is choice["delta"]:
            place[field] = wrong
            break
    answer = streamed(chunk, delta(content="b"), DONE)
    assert answer.error is None
    assert "b" in "".join(choice.text for choice in answer.choices)
