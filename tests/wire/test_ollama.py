"""Ollama's lines of JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shadowproxy.exchange import Answer, Choice, ReplyError, ToolCall, Usage
from shadowproxy.wire.media import media_of_base64
from tests.wire.samples import LINES, events, lines, read, read_all

CHAT, GENERATE = "/api/chat", "/api/generate"
END = {"model": "m", "done": True, "done_reason": "stop", "total_duration": 9, "prompt_eval_count": 3, "eval_count": 5, "eval_duration": 7}


def said(content: str = "", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "created_at": "x", "message": {"role": "assistant", "content": content, **fields}, "done": False}


def test_a_chat_in_full() -> None:
    call = {"function": {"name": "f", "arguments": {"b": 1, "a": 2}}}
    pieces = [said(thinking="hm"), said("Hel"), said("lo"), said(tool_calls=[call]), said() | END]
    reads = tuple((float(at), orjson.dumps(each) + b"\n") for at, each in enumerate(pieces))
    choice = Choice("Hello", "hm", (ToolCall("f", '{"a":2,"b":1}'),), "stop")
    expected = Answer("ollama", (choice,), Usage(3, 5), model="m", is_streamed=True, content_at_s=(0.0, 1.0, 2.0, 3.0))
    assert read_all(CHAT, reads, (LINES,)) == expected


def test_a_whole_chat_has_the_shape_of_its_last_line() -> None:
    answer = read(CHAT, said("Hello", thinking="hm") | END)
    assert answer == Answer("ollama", (Choice("Hello", "hm", finish_reason="stop"),), Usage(3, 5), model="m", content_at_s=(0.5,))


def test_generated_text_and_thoughts() -> None:
    pieces = [{"response": "", "thinking": "hm"}, {"response": "Hel"}, {"response": "lo"}, {"response": "", "context": [1, 2]} | END]
    answer = read(GENERATE, lines(*pieces), LINES)
    assert (answer.first, answer.usage, answer.unknown) == (Choice("Hello", "hm", finish_reason="stop"), Usage(3, 5), ())


def test_pictures_are_known_by_their_digest() -> None:
    picture = media_of_base64("image", "aGk=")
    assert read(CHAT, said(images=["aGk=", 7]) | END).first.media == (picture,)
    assert read(GENERATE, {"image": "aGk=", "response": ""} | END).first.media == (picture,)


@pytest.mark.parametrize(
    ("body", "text", "is_complete"),
    [
        (lines(said("a")), "a", False),
        (lines(said("a"), said() | END), "a", True),
        (lines(said("a"), said("b") | END)[:-1], "ab", True),
        (lines(said("a"), said("b") | END)[:-9], "a", False),
        (b"\n\r\n" + lines(said("a") | END).replace(b"\n", b"\r\n\n"), "a", True),
    ],
)
def test_when_lines_are_complete(body: bytes, text: str, is_complete: bool) -> None:
    answer = read(CHAT, body, LINES)
    assert (answer.text, answer.is_complete) == (text, is_complete)


def test_an_error_in_a_line_keeps_what_came_before() -> None:
    answer = read(CHAT, lines(said("a"), {"error": "out of memory"}), LINES)
    assert (answer.text, answer.error, answer.is_complete) == ("a", ReplyError("out of memory"), False)


def test_a_failed_request_says_why() -> None:
    for header in ((b"content-type", b"application/json"), LINES):
        answer = read(CHAT, b'{"error":"model \\"m\\" not found"}', header, status=404)
        assert answer.error == ReplyError('model "m" not found')


@pytest.mark.parametrize("body", [b'{"reply": "a"}', events({"reply": "a"}), b"a"])
def test_other_services_answer_at_this_path_too(body: bytes) -> None:
    content_type = b"text/event-stream" if body.startswith(b"data") else b"application/json" if body.startswith(b"{") else b"text/plain"
    answer = read(CHAT, body, (b"content-type", content_type))
    assert (answer.dialect in ("json", "text"), answer.error, answer.is_complete) == (True, None, True)


def test_unknown_fields_are_named() -> None:
    assert read(CHAT, said("a", mood="x") | END | {"gpu": 1}).unknown == ("gpu", "message.mood")
