"""What a client does wrong. Nobody else notices, and nothing it holds grows without bound."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from shadowproxy.testing.faults import Victim
from shadowproxy.testing.raw import LAST_CHUNK, chunk
from tests.faults.fault import Answered, Counted, CutOff, Effect, Fault, Inject, Seen, Unharmed
from tests.faults.scene import ASKED, Scene, received
from tests.faults.scenes import CLIENT_IDLE_S, MAX_BODY_BYTES, MAX_CONNECTIONS
from tests.faults.upstreams import Trick
from tests.serve.wire import request

#: A stream of 40 MiB: far more than the buffers of all sockets on its way take.
EVENTS = 640
EVENT = b"data: " + b"x" * (64 * 1024 - 8) + b"\n\n"
#: What a gateway worker may grow by while a client does not read 40 MiB: its write buffers, one read, and what the tee keeps (1 MiB).
GROWTH_BYTES = 12 * 1024 * 1024

OTHERS = Unharmed("that client is gone; for others: none")


@contextlib.asynccontextmanager
async def connected(scene: Scene, *, receive_bytes: int = 0) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client; ``receive_bytes`` makes its socket's buffer small."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", scene.serve.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=64 * 1024)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def saying(data: bytes) -> Inject:
    """A client that sends this and waits."""

    async def inject(scene: Scene) -> Sequence[Seen]:
        return [await scene.send(data)]

    return inject


async def _leave_mid_request(scene: Scene) -> Sequence[Seen]:
    async with connected(scene) as (reader, writer), asyncio.timeout(30):
        writer.write(request("POST", b"x" * 1000)[:-500])
        writer.write_eof()
        assert await reader.read() == b""
    return [await scene.ask()]


async def _leave_mid_stream(scene: Scene) -> Sequence[Seen]:
    with scene.primary.broken(_long_stream([], pause_s=0.02)):
        async with connected(scene) as (reader, writer), asyncio.timeout(10):
            writer.write(ASKED)
            await reader.readuntil(b"data: ")
            scene.primary.cancelled.clear()
            writer.close()
            await scene.primary.cancelled.wait()  # the primary is not kept working for nobody
    return [await scene.ask()]


async def _half_close(scene: Scene) -> Sequence[Seen]:
    expected = (await scene.ask()).expected
    async with connected(scene) as (reader, writer), asyncio.timeout(30):
        writer.write(ASKED)
        writer.write_eof()
        return [await received(reader, expected)]


async def _pause_while_reading(scene: Scene) -> Sequence[Seen]:
    sent: list[int] = []
    with scene.primary.broken(_long_stream(sent)):
        expected = (await scene.ask()).expected
        sent.clear()
        before = _resident_bytes(scene)
        async with connected(scene, receive_bytes=4096) as (reader, writer), asyncio.timeout(20):
            writer.write(ASKED)
            await reader.readuntil(b"\r\n\r\n")  # and no further for a while
            pause_until = time.monotonic() + CLIENT_IDLE_S / 2
            grown = 0
            while time.monotonic() < pause_until:
                grown = max(grown, _resident_bytes(scene) - before)
                await asyncio.sleep(0.05)
            assert len(sent) < EVENTS, "the primary was not held back"
            body = [piece async for piece in _pieces(reader)]
    assert grown < GROWTH_BYTES
    assert expected is not None
    assert b"".join(body) == expected.body
    return [await scene.ask()]


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def _read_nothing(scene: Scene) -> Sequence[Seen]:
    with scene.primary.broken(_long_stream([])):
        async with connected(scene, receive_bytes=4096) as (reader, writer), asyncio.timeout(CLIENT_IDLE_S + 10):
            writer.write(ASKED)
            await reader.readuntil(b"\r\n\r\n")
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            scene.primary.cancelled.clear()
            await scene.primary.cancelled.wait()
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            return [Seen(None, partial=await _rest(reader))]


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes before the connection ends, with or without a reset."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            data += piece
    return data


def _long_stream(sent: list[int], pause_s: float = 0.0) -> Trick:
    """``sent`` grows with every event that the socket took."""

    async def play(victim: Victim) -> None:
        await victim.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(EVENTS):
            await victim.send(chunk(EVENT))
            sent.append(number)
            if pause_s:
                await asyncio.sleep(pause_s)
        await victim.send(LAST_CHUNK)

    return Trick(play)


def _resident_bytes(scene: Scene) -> int:
    pages = Path(f"/proc/{scene.pid_of('gateway')}/statm").read_text().split()[1]
    return int(pages) * 4096


async def _too_many(scene: Scene) -> Sequence[Seen]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            await stack.enter_async_context(connected(scene))
        seen = [await scene.send(ASKED)]
    await scene.until(lambda now: now.value("shadowproxy_open_connections") == 0)
    return seen


def row(name: str, injection: str, client: Effect, shows: Counted, inject: Inject) -> Fault:
    return Fault(f"client-{name}", "client", injection, client, shows, inject, "edges")


def refused(reason: str) -> Counted:
    return Counted("bad_requests_total", reason=reason)


FAULTS = (
    row("leaves-mid-request", "disconnects within its request", OTHERS, Counted("client_aborts_total", route="echo"), _leave_mid_request),
    row(
        "leaves-mid-stream",
        "disconnects within a stream; the primary's call is cancelled",
        OTHERS,
        Counted("not_mirrored_total", reason="client_gone"),
        _leave_mid_stream,
    ),
    row(
        "reads-slowly",
        "pauses within a stream of 40 MiB; the primary is held back, and the worker grows by less than 12 MiB",
        Unharmed("none: the whole stream, when it reads on"),
        Counted("not_mirrored_total", reason="reply_too_large"),
        _pause_while_reading,
    ),
    row(
        "reads-nothing",
        "reads nothing of a stream for `limits.client_idle_timeout_s`; the primary's call is cancelled",
        CutOff("that client is cut off; for others: none"),
        Counted("client_aborts_total", route="echo"),
        _read_nothing,
    ),
    row(
        "stops-sending-head",
        "stops within its request head for `limits.client_idle_timeout_s`",
        Answered(408, "request_timeout", "the request head stopped arriving"),
        refused("idle"),
        saying(ASKED[:30]),
    ),
    row(
        "stops-sending-body",
        "stops within its request body for `limits.client_idle_timeout_s`",
        Answered(408, "request_timeout", "the request body stopped arriving"),
        refused("idle"),
        saying(request("POST", b"x" * 100)[:-50]),
    ),
    row(
        "half-closes",
        "closes its sending side behind its request, and reads",
        Unharmed(),
        Counted("requests_total", route="echo"),
        _half_close,
    ),
    row(
        "garbage",
        "sends bytes that are not HTTP",
        Answered(400, "bad_request", "the request is not valid HTTP/1.1: invalid method encountered"),
        refused("protocol"),
        saying(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    ),
    row(
        "two-framings",
        "sends both `content-length` and `transfer-encoding`: request smuggling",
        Answered(400, "bad_request", "the request is not valid HTTP/1.1: transfer-encoding can't be present with content-length"),
        refused("protocol"),
        saying(b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET "),
    ),
    row(
        "huge-head",
        "sends a request head without end",
        Answered(431, "headers_too_large", "request line and headers are longer than 65536 bytes"),
        refused("header_bytes"),
        saying(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 100_000),
    ),
    row(
        "huge-body",
        "announces a body of more than `limits.max_body_bytes`",
        Answered(413, "body_too_large", f"the request body is longer than {MAX_BODY_BYTES} bytes"),
        refused("body_bytes"),
        saying(b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)),
    ),
    row(
        "too-many",
        "opens more than `limits.max_connections`",
        Answered(503, "too_many_connections", "too many open connections", "; those before are served"),
        refused("connection_limit"),
        _too_many,
    ),
)
