"""An upstream that misbehaves in one named way, so that the failure paths of the proxy and of the mirror are tested against the real thing.

Speaks through raw sockets: no HTTP library would agree to send what this must send.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shadowproxy.testing.raw import LAST_CHUNK, RawRequest, chunk, read_body, read_head
from shadowproxy.testing.rawserver import RawServer, until_closed


class Fault(StrEnum):
    """What goes wrong. Unless said otherwise the whole request is read first, and the connection serves one request."""

    NONE = "none"
    """Nothing: a good reply, for the time before or after a fault."""
    HANG = "hang"
    """Accepts and never answers."""
    HANG_MID_STREAM = "hang_mid_stream"
    """Two events of a stream, then silence."""
    RESET = "reset"
    """The connection is reset (RST) once the request head is there."""
    CLOSE_MID_REPLY = "close_mid_reply"
    """The connection is closed after half of the announced body."""
    GARBAGE = "garbage"
    """Bytes that are not HTTP."""
    ENDLESS = "endless"
    """A body that goes on for ``endless_bytes`` and never ends properly."""
    SLOW_DRIP = "slow_drip"
    """A good reply, one byte every ``drip_interval_s``."""
    BAD_CHUNK = "bad_chunk"
    """A chunked body whose second chunk has a size that is no number."""
    ERROR_500 = "error_500"
    """A well-formed 500."""
    ERROR_IN_STREAM = "error_in_stream"
    """Status 200, a piece of the answer, then an error event instead of the rest."""
    EARLY_REPLY = "early_reply"
    """A complete 413 before any of the request body is read; what the client goes on sending is dropped."""
    NO_LENGTH_CLOSE = "no_length_close"
    """A good reply without length: it ends where the connection ends."""
    HTTP10 = "http10"
    """A good reply in HTTP/1.0."""
    STALE = "stale"
    """Answers the first request of a connection well and keeps it open; closes it without a byte when a second one comes."""


GOOD_BODY = (
    b'{"id":"chatcmpl-fault","object":"chat.completion","created":0,"model":"faulty","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}'
)
ERROR_BODY = b'{"error":{"message":"the model crashed","type":"server_error","param":null,"code":null}}'
_GARBAGE = bytes(range(128, 256)) * 4  # no byte of it may start an HTTP message
_ENDLESS_PIECE = b"endless " * 8192


def _event(text: bytes) -> bytes:
    """One chunk that holds one event of a streamed answer."""
    start = b'data: {"id":"chatcmpl-fault","object":"chat.completion.chunk","created":0,"model":"faulty","choices":[{"index":0,"delta":'
    return chunk(start + b'{"content":"%s"},"finish_reason":null}]}\n\n' % text)


def _head(status: bytes, *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join((b"%s %s" % (version, status), *lines, b"", b""))


_JSON = b"content-type: application/json"
_CLOSE = b"connection: close"
_STREAM_HEAD = _head(b"200 OK", b"content-type: text/event-stream", b"transfer-encoding: chunked")


def _whole(status: bytes, body: bytes, *lines: bytes) -> bytes:
    return _head(status, _JSON, b"content-length: %d" % len(body), *lines) + body


@dataclass(frozen=True, slots=True)
class Victim:
    """One connection to play a fault on, and the sizes it is played with."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    endless_bytes: int
    drip_interval_s: float

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        await until_closed(self.reader)


Play = Callable[[Victim], Awaitable[None]]


def _sending(data: bytes) -> Play:
    """The fault that consists of these bytes and the end of the connection."""

    async def play(victim: Victim) -> None:
        await victim.send(data)

    return play


async def _hang(victim: Victim) -> None:
    await victim.hang()


async def _hang_mid_stream(victim: Victim) -> None:
    await victim.send(_STREAM_HEAD + _event(b"Hello"))
    await victim.send(_event(b" there"))
    await victim.hang()


async def _reset(victim: Victim) -> None:
    # Lingering for zero seconds turns the close into a reset (socket(7), SO_LINGER).
    victim.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    victim.writer.transport.abort()


async def _endless(victim: Victim) -> None:
    await victim.send(_head(b"200 OK", b"content-type: text/plain", b"transfer-encoding: chunked"))
    for _ in range(max(1, victim.endless_bytes // len(_ENDLESS_PIECE))):
        await victim.send(chunk(_ENDLESS_PIECE))


async def _slow_drip(victim: Victim) -> None:
    for byte in _whole(b"200 OK", GOOD_BODY, _CLOSE):
        await victim.send(bytes((byte,)))
        await asyncio.sleep(victim.drip_interval_s)


async def _early_reply(victim: Victim) -> None:
    await victim.send(_whole(b"413 Content Too Large", ERROR_BODY, _CLOSE))
    # Only our side is closed: closing both with unread bytes would reset the connection and might take the reply with it.
    victim.writer.write_eof()
    await victim.hang()


_PLAYS: Mapping[Fault, Play] = {
    Fault.NONE: _sending(_whole(b"200 OK", GOOD_BODY, _CLOSE)),
    Fault.HANG: _hang,
    Fault.HANG_MID_STREAM: _hang_mid_stream,
    Fault.RESET: _reset,
    Fault.CLOSE_MID_REPLY: _sending(_whole(b"200 OK", GOOD_BODY)[: -len(GOOD_BODY) // 2]),
    Fault.GARBAGE: _sending(_GARBAGE),
    Fault.ENDLESS: _endless,
    Fault.SLOW_DRIP: _slow_drip,
    Fault.BAD_CHUNK: _sending(_STREAM_HEAD + _event(b"Hello") + b"zz\r\nno size\r\n"),
    Fault.ERROR_500: _sending(_whole(b"500 Internal Server Error", ERROR_BODY, _CLOSE)),
    Fault.ERROR_IN_STREAM: _sending(_STREAM_HEAD + _event(b"Hello") + chunk(b"data: %s\n\n" % ERROR_BODY) + LAST_CHUNK),
    Fault.EARLY_REPLY: _early_reply,
    Fault.NO_LENGTH_CLOSE: _sending(_head(b"200 OK", _JSON, _CLOSE) + GOOD_BODY),
    Fault.HTTP10: _sending(_head(b"200 OK", _JSON, version=b"HTTP/1.0") + GOOD_BODY),
    Fault.STALE: _sending(_whole(b"200 OK", GOOD_BODY)),
}
#: Faults that come when only the head of the request has been read.
BEFORE_THE_BODY = frozenset({Fault.RESET, Fault.EARLY_REPLY})


async def play(fault: Fault, victim: Victim) -> None:
    """Answer one request, already read (its head only for :data:`BEFORE_THE_BODY`), in the way ``fault`` names. The caller closes."""
    await _PLAYS[fault](victim)


class FaultyServer(RawServer):
    """``async with FaultyServer("hang") as server: server.url``.

    ``fault`` may be changed at any time and holds from the next request on. No connection outlives ``lifetime_s``.
    """

    def __init__(
        self,
        fault: Fault | str,
        *,
        endless_bytes: int = 100 * 1024 * 1024,
        drip_interval_s: float = 0.05,
        lifetime_s: float = 60.0,
    ) -> None:
        super().__init__(lifetime_s=lifetime_s)
        self.fault = Fault(fault)
        self._endless_bytes = endless_bytes
        self._drip_interval_s = drip_interval_s

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await self._play_once(reader, writer) is Fault.STALE and await self._next_request(reader) is not None:
            return  # the second request of a stale connection: closed without a byte

    async def _play_once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Fault | None:
        """Read a request and play the fault of the moment. None where no request came."""
        request = await self._next_request(reader)
        if request is None:
            return None
        fault = self.fault
        if fault not in BEFORE_THE_BODY:
            await read_body(reader, request)
        await play(fault, Victim(reader, writer, self._endless_bytes, self._drip_interval_s))
        return fault

    async def _next_request(self, reader: asyncio.StreamReader) -> RawRequest | None:
        request = await read_head(reader)
        self.requests += request is not None
        return request
