"""The model server where ``tools/upstream.c`` cannot be compiled: healthy, or misbehaving in one way. Counts requests; ``/counts`` tells.

Streams are written by one wheel of millisecond slots rather than by a timer per stream, so that a thousand of them cost little.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import time
from collections import Counter
from typing import ClassVar, cast

import messages
import uvloop

_MAX_TOKENS = re.compile(rb'"max_tokens":\s*(\d+)')
_ARM = re.compile(rb"\r\nx-shadowproxy-arm:[ \t]*([^\r]*)")
_BEFORE, _, _AFTER = messages.REPLY.partition(messages.REPLY_NUMBER)


class Wheel:
    """Writes the next chunk of every open stream, each once per interval."""

    def __init__(self, interval_ms: int) -> None:
        self._slots: list[set[Answers]] = [set() for _ in range(interval_ms)]
        self._at_ms = 0
        self.open = 0

    def add(self, stream: Answers) -> None:
        loop = asyncio.get_running_loop()
        if self.open == 0:
            self._at_ms = int(loop.time() * 1000)
            loop.call_later(0.001, self._turn)
        self.open += 1
        stream.slot = self._slots[self._at_ms % len(self._slots)]
        stream.slot.add(stream)

    def remove(self, stream: Answers) -> None:
        if stream.slot is not None:
            stream.slot.discard(stream)
            stream.slot = None
            self.open -= 1

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now_ms = int(loop.time() * 1000)
        while self._at_ms < now_ms:
            self._at_ms += 1
            slot = self._slots[self._at_ms % len(self._slots)]
            if slot:
                chunk = messages.stamped_chunk(time.monotonic_ns())
                for stream in tuple(slot):
                    stream.send_chunk(chunk)
        if self.open:
            loop.call_later(0.001, self._turn)


class Answers(asyncio.Protocol):
    """One connection."""

    count = waiting = 0
    arms: ClassVar[Counter[str]] = Counter()
    paths: ClassVar[Counter[str]] = Counter()
    delay_s = 0.2
    mode = "healthy"
    wheel = Wheel(20)

    def __init__(self) -> None:
        self.buffer = b""
        self.slot: set[Answers] | None = None
        self.chunks_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.wheel.remove(self)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + size:
                return
            body = self.buffer[end + 4 : end + 4 + size]
            self.buffer = self.buffer[end + 4 + size :]
            if head.startswith(b"get /counts "):
                answering = self.wheel.open + Answers.waiting
                counts = {"requests": Answers.count, "answering": answering, "arms": Answers.arms, "paths": Answers.paths}
                text = json.dumps(counts).encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
            else:
                Answers.count += 1
                arm = _ARM.search(head)
                Answers.arms[arm[1].decode() if arm else "none"] += 1
                Answers.paths[head.split(b" ", 2)[1].decode()] += 1
                self.answer(body)

    def answer(self, body: bytes) -> None:
        if self.mode == "hanging":
            return
        if self.mode == "failing":
            self.transport.write(messages.FAILURE)
        elif b'"stream"' in body and (asked := _MAX_TOKENS.search(body)):
            self.start_stream(int(asked[1]))
        elif self.mode == "slow":
            Answers.waiting += 1
            asyncio.get_running_loop().call_later(self.delay_s, self.reply_late)
        else:
            self.reply()

    def reply_late(self) -> None:
        Answers.waiting -= 1
        self.reply()

    def reply(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"%b%012d%b" % (_BEFORE, Answers.count, _AFTER))

    def start_stream(self, chunks: int) -> None:
        self.chunks_left = chunks - 1
        first = messages.STREAM_HEAD + messages.stamped_chunk(time.monotonic_ns())
        if chunks <= 1:
            self.transport.write(first + messages.STREAM_END)
        else:
            self.transport.write(first)
            self.wheel.add(self)

    def send_chunk(self, chunk: bytes) -> None:
        self.chunks_left -= 1
        if self.chunks_left > 0:
            self.transport.write(chunk)
        else:
            self.wheel.remove(self)
            self.transport.write(chunk + messages.STREAM_END)


async def main(port: int, mode: str, interval_ms: int, delay_ms: int) -> None:
    Answers.mode = mode
    Answers.delay_s = delay_ms / 1000
    Answers.wheel = Wheel(interval_ms)
    gc.disable()  # nothing here makes cycles, and a collection would show up in the latencies of what is measured
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("--mode", choices=("healthy", "slow", "hanging", "failing"), default="healthy")
    options.add_argument("--interval-ms", type=int, default=20)
    options.add_argument("--delay-ms", type=int, default=200, help="of every answer, where the mode is slow")
    chosen = options.parse_args()
    uvloop.run(main(chosen.port, chosen.mode, chosen.interval_ms, chosen.delay_ms))
