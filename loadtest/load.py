"""A closed loop of keep-alive connections, for machines without wrk; prints one JSON line in the form that ``wrk.py`` gives, too."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import cast

import messages
import uvloop
from percentiles import milliseconds

_REQUEST = messages.request(messages.question())


class Client(asyncio.Protocol):
    def __init__(self, latencies: list[float], until: float) -> None:
        self.latencies = latencies
        self.until = until
        self.done = asyncio.get_running_loop().create_future()
        self.errors = 0
        self.left = 0
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        self.started = time.perf_counter()
        self.left = -1
        self.head = b""
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.head.startswith(b"HTTP/1.1 200"):
                self.errors += 1
            at = self.head.lower().find(b"content-length:")
            self.left = int(self.head[at + 15 : self.head.find(b"\r\n", at)]) - (len(self.head) - end - 4)
        else:
            self.left -= len(data)
        if self.left == 0:
            now = time.perf_counter()
            self.latencies.append(now - self.started)
            if now < self.until:
                self.ask()
            else:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self.until:
            self.errors += 1
        if not self.done.done():
            self.done.set_result(None)


async def main(port: int, connections: int, seconds: float) -> None:
    gc.disable()
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(latencies, started + seconds), "127.0.0.1", port)
        clients.append(client)
    _, unfinished = await asyncio.wait([client.done for client in clients], timeout=seconds + 10)
    took = time.perf_counter() - started
    errors = sum(client.errors for client in clients) + len(unfinished)
    print(json.dumps({"requests": len(latencies), "seconds": took, "errors": errors, **milliseconds(latencies)}))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
