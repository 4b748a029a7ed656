"""An upstream whose reply is a function of the request alone, in every framing HTTP/1 has.

Ask it directly and through the proxy and compare the bytes; ``raw`` reads its requests.

The request chooses with headers:

==================== ==================================================================================================
``x-echo``           framing, see :class:`Framing`; default ``length``
``x-echo-status``    status of the reply; default 200
``x-echo-bytes``     pad the body to at least this many bytes
``x-echo-events``    number of events of ``sse``; default 3
``x-echo-interval-ms`` pause before each event or chunk; default 0
==================== ==================================================================================================
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus

import orjson

from shadowproxy.testing.raw import LAST_CHUNK, RawRequest, chunk, read_body, read_head
from shadowproxy.testing.rawserver import RawServer

#: Fields that belong to one connection or to the framing, not to the request (RFC 9110, section 7.6.1), and the name of the server asked.
HOP_FIELDS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
MAX_REPLY_BYTES = 256 * 1024 * 1024
_CHUNK_BYTES = 61  # of ``chunked``: a prime, so that chunk ends fall into the middle of words and never on a round boundary
_KEPT_REQUESTS = 256


class Framing(StrEnum):
    """How the end of the reply's body is told."""

    LENGTH = "length"
    """By content-length."""
    CHUNKED = "chunked"
    """By chunked transfer coding, in many small chunks."""
    SSE = "sse"
    """Server-sent events, one in a chunk."""
    CLOSE = "close"
    """By the end of the connection."""
    NO_CONTENT = "204"
    """A 204: no body, no length."""
    NOT_MODIFIED = "304"
    """A 304: no body, although content-length tells what a 200 would have had."""
    HEAD = "head"
    """The reply to HEAD: content-length and no body. To any other method a 400."""


@dataclass(frozen=True, slots=True)
class EchoReply:
    """A reply as pieces to write, with a pause before each but the first (which is the head)."""

    pieces: tuple[bytes, ...]
    pause_s: float
    closes: bool


def describe(request: RawRequest) -> bytes:
    """The JSON that tells what was received, in every framing the same.

    Left out are the fields of the connection, which a proxy must change, and ``x-echo*``.
    """
    decoded = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
    headers = [field for field in decoded if field[0].lower() not in HOP_FIELDS and not field[0].lower().startswith("x-echo")]
    seen = {
        "method": request.method,
        "target": request.target,
        "headers": headers,
        "body_bytes": len(request.body),
        "body_sha256": hashlib.sha256(request.body).hexdigest(),
    }
    return orjson.dumps(seen) + b"\n"


def echo(request: RawRequest) -> EchoReply:
    """The reply to ``request``. Wrong ``x-echo`` headers give a 400 that says which."""
    try:
        return _echo(request, Framing(request.header("x-echo") or "length"))
    except ValueError as exc:
        text = f"{exc}\n".encode()
        head = _head(400, (b"content-type: text/plain", b"content-length: %d" % len(text)))
        return EchoReply((head + (b"" if request.method == "HEAD" else text),), 0.0, closes=not request.keeps_alive)


def _echo(request: RawRequest, framing: Framing) -> EchoReply:
    if framing is Framing.HEAD and request.method != "HEAD":
        raise ValueError("x-echo: head is for the method HEAD")
    body = _padded(describe(request), _number(request, "x-echo-bytes", 0))
    pieces = tuple(_events(request)) if framing is Framing.SSE else _cut(body, framing)
    head = _head(_status(request, framing), _fields(framing, len(body)))
    closes = framing is Framing.CLOSE or not request.keeps_alive
    if request.method == "HEAD" or framing in (Framing.NO_CONTENT, Framing.NOT_MODIFIED):
        pieces = ()
    return EchoReply((head, *pieces), _number(request, "x-echo-interval-ms", 0) / 1000, closes)


def _number(request: RawRequest, name: str, default: int) -> int:
    text = request.header(name) or str(default)
    if not text.isdecimal() or int(text) > MAX_REPLY_BYTES:
        raise ValueError(f"{name}: {text} is not a number up to {MAX_REPLY_BYTES}")
    return int(text)


def _status(request: RawRequest, framing: Framing) -> int:
    if framing in (Framing.NO_CONTENT, Framing.NOT_MODIFIED):
        return int(framing)
    return HTTPStatus(_number(request, "x-echo-status", 200)).value


def _padded(body: bytes, to_bytes: int) -> bytes:
    """``body`` followed by numbered lines, so that a piece lost or moved shows."""
    missing = to_bytes - len(body)
    if missing <= 0:
        return body
    return body + b"".join(b"%08d\n" % line for line in range(missing // 9 + 1))[:missing]


def _events(request: RawRequest) -> Iterator[bytes]:
    digest = hashlib.sha256(request.body).hexdigest()
    for number in range(_number(request, "x-echo-events", 3)):
        yield chunk(b'data: {"event":%d,"body_sha256":"%s"}\n\n' % (number, digest.encode()))
    yield chunk(b"data: [DONE]\n\n")
    yield LAST_CHUNK


def _cut(body: bytes, framing: Framing) -> tuple[bytes, ...]:
    """The body in the pieces it is written in."""
    if framing is not Framing.CHUNKED:
        return (body,)
    size = max(_CHUNK_BYTES, len(body) // 64)
    return (*(chunk(body[start : start + size]) for start in range(0, len(body), size)), LAST_CHUNK)


def _fields(framing: Framing, body_bytes: int) -> tuple[bytes, ...]:
    """Header lines. Repeated and oddly written ones are meant: they must arrive as they are."""
    kind = b"text/event-stream" if framing is Framing.SSE else b"application/json"
    fixed = (b"Content-Type: " + kind, b"set-cookie: first=1", b"Set-Cookie: second=2", b"X-Odd-Case:   kept", b"x-empty:")
    match framing:
        case Framing.LENGTH | Framing.HEAD:
            return (*fixed, b"Content-Length: %d" % body_bytes)
        case Framing.CHUNKED | Framing.SSE:
            return (*fixed, b"Transfer-Encoding: chunked")
        case Framing.CLOSE:
            return (*fixed, b"Connection: close")
        case Framing.NO_CONTENT:
            return fixed[1:]
        case Framing.NOT_MODIFIED:
            return (*fixed, b'etag: "echo"', b"Content-Length: %d" % body_bytes)


def _head(status: int, fields: tuple[bytes, ...]) -> bytes:
    phrase = HTTPStatus(status).phrase.encode()
    return b"\r\n".join((b"HTTP/1.1 %d %s" % (status, phrase), *fields, b"", b""))


class EchoServer(RawServer):
    """``async with EchoServer() as upstream: upstream.url``. ``received`` holds the newest requests exactly as they came."""

    def __init__(self, *, lifetime_s: float = 60.0) -> None:
        super().__init__(lifetime_s=lifetime_s)
        self.received: deque[RawRequest] = deque(maxlen=_KEPT_REQUESTS)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await read_head(reader)) is not None:
            if head.header("expect").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request = replace(head, body=await read_body(reader, head))
            self.requests += 1
            self.received.append(request)
            if await self._write(writer, echo(request)):
                return

    async def _write(self, writer: asyncio.StreamWriter, reply: EchoReply) -> bool:
        """Write a reply; True where the connection is to be closed."""
        for number, piece in enumerate(reply.pieces):
            if number and reply.pause_s:
                await asyncio.sleep(reply.pause_s)
            writer.write(piece)
            await writer.drain()
        return reply.closes
