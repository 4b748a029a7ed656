"""Replies that no dialect claims: JSON values, text, bytes, streams."""

from __future__ import annotations

import hashlib

import pytest

from shadowproxy.exchange import Answer, Media, Read, Reply, ReplyError, Request
from shadowproxy.wire.reading import read_answer

JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream")


def _read(body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> Answer:
    """Read ``body`` as the reply to a request that no dialect claims, come after 0.5 s."""
    return _read_all(((0.5, body),) if body else (), *headers, status=status)


def _read_all(reads: tuple[Read, ...], *headers: tuple[bytes, bytes], status: int = 200) -> Answer:
    return read_answer(Request("POST", "/v1/anything", (), b"{}"), Reply(status, headers, reads))


@pytest.mark.parametrize(
    ("content_type", "body", "dialect", "text"),
    [
        (b"application/json", b'{"b": 1, "a": [2, 3]}', "json", '{"a":[2,3],"b":1}'),
        (b"application/problem+json; charset=utf-8", b'{"a": 1}', "json", '{"a":1}'),
        (b"application/json", b"[1, 2", "text", "[1, 2"),
        (b"application/json", b"null", "text", "null"),
        (b"application/json", b"[" * 500 + b"]" * 500, "text", "[" * 500 + "]" * 500),
        (b"application/json", b'{"a": NaN}', "json", '{"a":null}'),
        (b"application/octet-stream", b'{"a": 1}', "json", '{"a":1}'),
        (b"text/plain", b" [1, 2]", "json", "[1,2]"),
        (b"text/plain", b"12", "text", "12"),
        (b"text/plain", b"gr\xc3\xbc\xc3\x9fe \xff", "text", "grüße \ufffd"),
        (b'text/plain; Charset="ISO-8859-1"', b"gr\xfc\xdfe", "text", "grüße"),
        (b"text/plain; charset=rot13", b"hello", "text", "hello"),
        (b"text/html", b"<p>{</p>", "text", "<p>{</p>"),
        (b"application/x-ndjson", b'{"a": 1}\n{"a": 2}\n', "text", '{"a": 1}\n{"a": 2}\n'),
        (None, b"plain", "text", "plain"),
        (None, b"", "text", ""),
    ],
)
def test_other_replies_with_text(content_type: bytes | None, body: bytes, dialect: str, text: str) -> None:
    headers = () if content_type is None else ((b"content-type", content_type),)
    answer = _read(body, *headers)
    assert (answer.dialect, answer.text, answer.error, answer.is_complete) == (dialect, text, None, True)
    assert answer.content_at_s == ((0.5,) if body else ())


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        (b"image/png", b"\x89PNG", "image"),
        (b"audio/mpeg; rate=1", b"\xff\xfb", "audio"),
        (b"video/mp4", b"\0", "video"),
        (b"application/octet-stream", b"abc", "file"),
        (b"", b"\0", "file"),
        (b"", b"\xff", "file"),
    ],
)
def test_binary_replies_are_told_apart_by_their_digest(content_type: bytes, body: bytes, kind: str) -> None:
    answer, digest = _read(body, (b"content-type", content_type)), hashlib.sha256(body).hexdigest()
    assert (answer.dialect, answer.text, answer.unknown) == ("bytes", "", (f"sha256:{digest}",))
    assert answer.first.media == (Media(kind, digest, len(body)),)


def test_other_failed_requests_have_their_error() -> None:
    assert _read(b'{"error": "no such model"}', JSON, status=404).error == ReplyError("no such model")
    assert _read(b'{"error": "a model may say so"}', JSON).error is None


def test_other_streams_have_times_and_an_end() -> None:
    reads: tuple[Read, ...] = ((0.1, b"event: a\n"), (0.2, b"data: 1\n\n: ping\n\n"), (0.3, b"data: 2\n\ndata:\n\n"))
    answer = _read_all(reads, STREAM)
    assert (answer.dialect, answer.is_streamed, answer.content_at_s, answer.is_complete) == ("text", True, (0.2, 0.3), True)
    assert not _read_all((*reads, (0.4, b"data: 3\n")), STREAM).is_complete
