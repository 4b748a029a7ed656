"""Event-stream clients where ``tools/load.c`` cannot be compiled: so many at once for a while, or at given moments.

Each chunk carries its send time, so its transit is measured. Reads ``{"port", "streams", "chunks", "seconds", "interval_ms"}`` or
``{"port", "arrivals": [[at_s, chunks, body_bytes], …]}`` as one JSON text from standard input; prints one JSON line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from itertools import islice
from typing import cast

import messages
import uvloop
from percentiles import milliseconds

_STAMP_BYTES = len(messages.STAMP_MARK) + messages.STAMP_DIGITS
_GRACE_S = 20.0
_END = b"0\r\n\r\n"


class Seen:
    """What all streams of a run have in common: the measurements."""

    def __init__(self) -> None:
        self.first_cold: list[float] = []
        self.first_warm: list[float] = []
        self.transits_ns: list[int] = []
        self.gaps: list[float] = []
        self.late: list[float] = []
        self.streams = self.chunks = self.errors = 0

    def report(self, seconds: float) -> dict[str, float]:
        return {
            "streams": self.streams,
            "chunks": self.chunks,
            "seconds": seconds,
            "errors": self.errors,
            **milliseconds(self.first_cold + self.first_warm, "ttft_"),
            **milliseconds(self.first_cold, "ttft_cold_"),
            **milliseconds(self.first_warm, "ttft_warm_"),
            **milliseconds((each / 1e9 for each in self.transits_ns), "transit_"),
            **milliseconds(self.gaps, "gap_"),
            **milliseconds(self.late, "generator_lag_"),
        }


class Client(asyncio.Protocol):
    """One connection, one stream at a time. ``ended`` is called after each, with whether the connection can serve another."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.ended: Callable[[Client, bool], None] = lambda *_: None
        self.is_warm = False
        self.is_busy = False
        self.tail = b""
        self.sent_at = self.read_at = 0.0
        self.chunks_left = 0
        self.is_first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, chunks: int) -> None:
        self.is_busy = self.is_first = True
        self.chunks_left = chunks
        self.tail = b""
        self.sent_at = time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        now = now_ns / 1e9
        if self.tail:
            data = self.tail + data
        at = 0
        while (mark := data.find(messages.STAMP_MARK, at)) >= 0 and mark + _STAMP_BYTES <= len(data):
            at = mark + _STAMP_BYTES
            self.seen.transits_ns.append(now_ns - int(data[mark + 2 : at]))
            self.chunks_left -= 1
        if at:
            self.count_read(now)
        # What may still become a stamp, or the end of the stream, is kept for the next read.
        self.tail = data[max(at, len(data) - _STAMP_BYTES) :]
        if self.chunks_left <= 0 and data.endswith(_END):
            self.finish(usable=True)

    def count_read(self, now: float) -> None:
        if self.is_first:
            self.is_first = False
            (self.seen.first_warm if self.is_warm else self.seen.first_cold).append(now - self.sent_at)
        else:
            self.seen.gaps.append(now - self.read_at)
        self.read_at = now

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_busy:
            self.seen.errors += 1
            self.finish(usable=False)

    def finish(self, *, usable: bool) -> None:
        self.is_busy = False
        self.is_warm = True
        self.seen.streams += usable
        self.ended(self, usable)


async def connect(port: int, seen: Seen) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(seen), "127.0.0.1", port)
    return client


async def many(seen: Seen, port: int, streams: int, chunks: int, seconds: float, interval_ms: int) -> None:
    """Keep so many streams open until the time is up, then let them end. They begin spread over one stream's length."""
    request = messages.request(messages.question(chunks=chunks))
    until = time.monotonic() + seconds
    spread_s = min(chunks * interval_ms / 1000, seconds / 2)

    async def one(index: int) -> None:
        # Put off by a share of the interval that never lines up: else all pieces come in a few large bursts.
        await asyncio.sleep(spread_s * index / streams + index * 0.6180339887498949 % 1 * interval_ms / 1000)
        client = await connect(port, seen)
        turn = asyncio.Event()

        def ended(client: Client, usable: bool) -> None:
            if usable and time.monotonic() < until:
                client.ask(request, chunks)
            else:
                turn.set()

        client.ended = ended
        client.ask(request, chunks)
        await turn.wait()
        client.transport.close()

    await finish(seen, [asyncio.create_task(one(index)) for index in range(streams)], seconds)


async def at_moments(seen: Seen, port: int, arrivals: list[tuple[float, int, int]]) -> None:
    """Begin each stream at its moment, on an idle connection where there is one."""
    idle: list[Client] = []
    started = time.monotonic() + 0.1

    async def one(at_s: float, chunks: int, body_bytes: int) -> None:
        request = messages.request(messages.question(body_bytes, chunks=chunks))
        await asyncio.sleep(started + at_s - time.monotonic())
        client = idle.pop() if idle else await connect(port, seen)
        turn = asyncio.Event()

        def ended(client: Client, usable: bool) -> None:
            if usable:
                idle.append(client)
            turn.set()

        client.ended = ended
        seen.late.append(time.monotonic() - started - at_s)
        client.ask(request, chunks)
        await turn.wait()

    await finish(seen, [asyncio.create_task(one(*arrival)) for arrival in arrivals], max(arrival[0] for arrival in arrivals) + 60)
    for client in idle:
        client.transport.close()


async def finish(seen: Seen, tasks: list[asyncio.Task[None]], seconds: float) -> None:
    done, pending = await asyncio.wait(tasks, timeout=seconds + _GRACE_S)
    for task in pending:
        task.cancel()
    seen.errors += len(pending) + sum(1 for task in done if task.exception() is not None)
    for failed in islice((task.exception() for task in done if task.exception() is not None), 3):
        print(f"a stream failed: {failed!r}", file=sys.stderr)


async def main(order: dict[str, object]) -> None:
    gc.disable()
    seen = Seen()
    started = time.monotonic()
    port = order.pop("port")
    if "arrivals" in order:
        await at_moments(seen, port, order["arrivals"])  # type: ignore[arg-type]
    else:
        await many(seen, port, **order)  # type: ignore[arg-type]
    seen.chunks = len(seen.transits_ns)
    print(json.dumps(seen.report(time.monotonic() - started)))


if __name__ == "__main__":
    uvloop.run(main(json.load(sys.stdin)))
