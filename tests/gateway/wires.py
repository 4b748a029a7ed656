"""A scripted upstream and a raw client: gateway tests read as a script of what the wire saw."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Self

from shadowproxy.config import build
from shadowproxy.gateway.gateway import Gateway
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.sockets import bind
from shadowproxy.tasks import Tasks

DEADLINE_S = 20.0


class Recorder:
    """Stands in for the hand-over: keeps every frame."""

    def __init__(self) -> None:
        self.frames: list[ExchangeFrame] = []
        self.handed_over = 0
        self.refusal = ""

    def offer(self, frame: ExchangeFrame) -> None:
        self.frames.append(frame)


class Upstream:
    """A server that plays bytes. ``play`` gets each connection; default: read one request, send ``reply``, again and again."""

    def __init__(self, reply: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", play: Callable | None = None) -> None:
        self.reply = reply
        self.play = play
        self.requests: list[bytes] = []
        self.connections = 0
        self.lost = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            if self.play is not None:
                await self.play(self, reader, writer)
            else:
                while request := await read_message(reader):
                    self.requests.append(request)
                    writer.write(self.reply)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.lost.set()
            writer.close()


async def read_message(reader: asyncio.StreamReader, *, has_body: bool = True) -> bytes:
    """One whole HTTP message with its framing as sent; b"" at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        return exc.partial
    lower = head.lower()
    if not has_body:
        return head
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            body += line
            size = int(line.split(b";")[0], 16)
            body += await reader.readexactly(size + 2)
            if size == 0:
                return head + body
    for line in lower.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self, *, has_body: bool = True) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await read_message(self.reader, has_body=has_body)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    async def ask(self, data: bytes) -> bytes:
        self.send(data)
        return await self.reply()


@dataclass
class Bench:
    """A gateway on loopback."""

    gateway: Gateway
    handover: Recorder
    port: int
    tasks: Tasks
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def bench(upstream_url: str, **sections: object) -> AsyncIterator[Bench]:
    sections.setdefault("candidates", [{"name": "v2", "url": "http://127.0.0.1:9"}])
    primary = {"url": upstream_url, **sections.pop("primary", {})}  # type: ignore[dict-item]
    config = build({"listen": "127.0.0.1:0", "primary": primary, **sections})
    tasks = Tasks()
    recorder = Recorder()
    gateway = Gateway(config, recorder, tasks, "gateway-0")  # type: ignore[arg-type]
    sockets = bind("127.0.0.1:0", 1)
    await gateway.listen(sockets)
    tasks.start("sweep", gateway.sweep_forever())
    made = Bench(gateway, recorder, sockets[0].getsockname()[1], tasks)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        await gateway.drain(0.2)
        await tasks.close()


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def until(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def split(message: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """First line, headers (lower-case names), body as framed."""
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines}, body


def post(body: bytes, *headers: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"POST %b HTTP/1.1\r\nhost: test\r\n%bcontent-length: %d\r\n\r\n%b" % (path, lines, len(body), body)
