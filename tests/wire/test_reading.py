"""Choosing the dialect, undoing codings, and never raising."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Answer, Choice, Headers, Outcome, Reply, ReplyError, Request
from shadowproxy.wire import decoded as decoded_module
from shadowproxy.wire.reading import UNDECODABLE, outcome_of, read_answer

CHAT = Request("POST", "/v1/chat/completions", (), b"{}")
OTHER = Request("POST", "/v1/anything", (), b"{}")
JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream")
HELLO = b'{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}'


def _reply(body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> Reply:
    return Reply(status, headers, ((0.5, body),) if body else ())


# --- dialect and coding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "dialect"),
    [
        ("POST", 200, "chat"),
        ("POST", 400, "chat"),
        ("POST", 502, "chat"),
        ("POST", 204, "text"),
        ("POST", 307, "text"),
        ("OPTIONS", 200, "text"),
        ("GET", 404, "text"),
    ],
)
def test_only_an_answer_to_a_post_is_read_as_chat(method: str, status: int, dialect: str) -> None:
    """A preflight request or a redirect has no choices and is no failure of the model."""
    answer = read_answer(Request(method, CHAT.target, (), b""), _reply(b"", status=status))
    assert answer.dialect == dialect


def test_a_preflight_reply_is_fine() -> None:
    reply = _reply(b"", status=204)
    assert outcome_of(reply, read_answer(Request("OPTIONS", CHAT.target, (), b""), reply)) is Outcome.OK


@pytest.mark.parametrize(
    ("coding", "coder"), [(b"gzip", gzip.compress), (b"x-gzip", gzip.compress), (b"deflate", zlib.compress), (b"identity", bytes)]
)
def test_content_codings_are_undone(coding: bytes, coder: Any) -> None:
    answer = read_answer(CHAT, _reply(coder(HELLO), JSON, (b"content-encoding", coding)))
    assert answer == Answer("chat", (Choice("Hello", finish_reason="stop"),), content_at_s=(0.5,))


def test_a_coding_header_given_twice_is_one_list() -> None:
    headers = (JSON, (b"content-encoding", b"deflate"), (b"content-encoding", b"gzip"))
    assert read_answer(CHAT, _reply(gzip.compress(zlib.compress(HELLO)), *headers)).text == "Hello"


def test_a_compressed_stream_keeps_its_times() -> None:
    engine = zlib.compressobj(wbits=31)
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    pieces = [engine.compress(event) + engine.flush(zlib.Z_SYNC_FLUSH) for _ in range(3)]
    reads = tuple((float(second), piece) for second, piece in enumerate(pieces))
    answer = read_answer(CHAT, Reply(200, (STREAM, (b"content-encoding", b"gzip")), reads))
    assert (answer.text, answer.content_at_s) == ("aaa", (0.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("coding", "body", "code", "words"),
    [(b"br", b"x", "unknown_coding", "br"), (b"zstd", b"x", "unknown_coding", "zstd"), (b"gzip", b"plain text", "damaged", "gzip")],
)
def test_what_cannot_be_decoded_is_an_error_of_the_answer(coding: bytes, body: bytes, code: str, words: str) -> None:
    reply = _reply(body, JSON, (b"content-encoding", coding))
    for request, dialect in ((CHAT, "chat"), (OTHER, "generic")):
        answer = read_answer(request, reply)
        assert answer.error is not None
        assert (answer.dialect, answer.error.type, answer.error.code, answer.is_complete) == (dialect, UNDECODABLE, code, False)
        assert words in answer.error.message
        assert outcome_of(reply, answer) is Outcome.STREAM_ERROR


def test_a_decoded_body_past_the_bound_is_too_large() -> None:
    engine = zlib.compressobj(wbits=31)
    bomb = b"".join(engine.compress(bytes(1024 * 1024)) for _ in range(65)) + engine.flush()
    answer = read_answer(CHAT, _reply(bomb, JSON, (b"content-encoding", b"gzip")))
    assert answer.error is not None
    assert (answer.error.type, answer.error.code) == (UNDECODABLE, "too_large")
    assert str(decoded_module.MAX_DECODED_BYTES) in answer.error.message


def test_an_event_past_the_bound_is_too_large() -> None:
    reply = _reply(b"data: " + b"x" * decoded_module.MAX_EVENT_BYTES, STREAM)
    for request in (CHAT, OTHER):
        error = read_answer(request, reply).error
        assert error is not None
        assert (error.type, error.code) == (UNDECODABLE, "too_large")


# --- outcome ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, Answer("chat"), Outcome.OK),
        (302, Answer("text"), Outcome.HTTP_ERROR),
        (304, Answer("json"), Outcome.HTTP_ERROR),
        (200, Answer("chat", error=ReplyError("x")), Outcome.STREAM_ERROR),
        (200, Answer("chat", is_complete=False), Outcome.STREAM_ERROR),
        (400, Answer("chat", error=ReplyError("x")), Outcome.HTTP_ERROR),
        (500, Answer("chat", is_complete=False), Outcome.HTTP_ERROR),
        (404, Answer("json"), Outcome.HTTP_ERROR),
    ],
)
def test_outcome_of_a_reply_that_arrived(status: int, answer: Answer, outcome: Outcome) -> None:
    assert outcome_of(Reply(status, (), ()), answer) is outcome


# --- whatever a peer may send -----------------------------------------------------------------------------------------------

_NAMES = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "function",
    "function_call",
    "custom",
    "input",
    "name",
    "arguments",
    "id",
    "index",
]
_NAMES += [
    "finish_reason",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "error",
    "type",
    "code",
    "detail",
    "msg",
    "text",
    "thinking",
    "refusal",
]
_NAMES += ["reasoning", "reasoning_content", "model", "object", "logprobs"]
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["error", "text", "thinking"])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)
_CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": _LEAVES,
        "id": _LEAVES,
        "type": _LEAVES,
        "function": st.dictionaries(st.sampled_from(["name", "arguments"]), _JSON) | _LEAVES,
    },
)
_DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": _JSON,
        "reasoning": _LEAVES,
        "refusal": _LEAVES,
        "tool_calls": st.lists(_CALL | _LEAVES, max_size=3),
        "function_call": _JSON,
    },
)
_CHOICE = st.fixed_dictionaries(
    {}, optional={"index": _LEAVES, "delta": _DELTA | _JSON, "message": _DELTA | _JSON, "finish_reason": _LEAVES, "error": _LEAVES}
)
_CHUNK = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(_CHOICE | _LEAVES, max_size=3) | _JSON, "usage": _JSON, "model": _LEAVES, "error": _JSON}
)
_ESCAPED = st.sampled_from(
    [
        b'{"choices":[{"delta":{"content":"\\ud83c"}}],"\\ud800":1}',
        b'{"model":"\\udfff","error":"\\ud800"}',
        b'{"choices":[{"finish_reason":"\\ud800"}]}',
    ]
)
_BODIES = st.one_of(
    st.binary(max_size=100),
    (_CHUNK | _JSON).map(orjson.dumps),
    st.lists(_CHUNK.map(orjson.dumps) | _ESCAPED | st.sampled_from([b"[DONE]", b"", b"x"]), max_size=5).map(
        lambda events: b"".join(b"data: %s\n\n" % event for event in events)
    ),
    _ESCAPED,
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"choices":' + b"[" * 900 + b"]" * 900 + b"}",
            b'{"usage": {"prompt_tokens": 1' + b"0" * 4000 + b'}, "x": NaN}',
            b'{"error":' + b'{"a":' * 500 + b"1" + b"}" * 501,
        ]
    ),
)
_HEADERS = st.tuples(
    st.sampled_from([b"content-type"]).flatmap(
        lambda name: st.tuples(
            st.just(name),
            st.sampled_from([b"application/json", b"text/event-stream", b"text/plain; charset=utf-16", b"", b"\xff;charset"])
            | st.binary(max_size=20),
        )
    ),
    st.tuples(st.just(b"content-encoding"), st.sampled_from([b"", b"identity", b"", b"gzip", b"deflate", b"br"]) | st.binary(max_size=8)),
)
_STATUS = st.sampled_from([200, 200, 204, 302, 400, 503, 999, 0])


def _cut(body: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    return tuple(body[start:end] for start, end in itertools.pairwise(places))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([CHAT, OTHER]), _STATUS, _HEADERS, _BODIES, st.booleans(), st.lists(st.integers(0, 300), max_size=20))
def test_reading_never_raises_and_no_cut_changes_the_answer(
    request_: Request, status: int, headers: Headers, body: bytes, is_gzipped: bool, cuts: list[int]
) -> None:
    if is_gzipped:
        headers = (headers[0], (b"content-encoding", b"gzip"))
        body = gzip.compress(body)
    answer = read_answer(request_, Reply(status, headers, ((1.0, body),)))
    assert read_answer(request_, Reply(status, headers, tuple((1.0, piece) for piece in _cut(body, cuts)))) == answer
    assert orjson.dumps(answer), "every part of an answer can be encoded"
    assert outcome_of(Reply(status, headers, ()), answer) in (Outcome.OK, Outcome.HTTP_ERROR, Outcome.STREAM_ERROR)
    assert len(answer.unknown) <= 20
