"""A raw HTTP/1.1 client for comparing replies byte by byte, whichever way they are framed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from shadowproxy.testing.echo import HOP_FIELDS

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply without what belongs to one connection. ``headers`` keep order, case and repetitions."""

    status_line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    closes: bool

    @property
    def status(self) -> int:
        return int(self.status_line.split(b" ")[1])

    @property
    def seen(self) -> tuple[object, ...]:
        """What must be the same directly and through the proxy."""
        return self.status_line, self.headers, self.body


#: What the echo server answers is no chat completion, so it is asked under a name of its own; see ``ECHO_ROUTE``.
ECHO_PATH = "/v1/echo"
ECHO_ROUTE = {"name": "echo", "path": ECHO_PATH}


def echo_tree(primary: str, candidate: str, **more: object) -> dict[str, object]:
    """A configuration with echo servers as primary and candidate ``v2``, compared without vectors."""
    return {
        "primary": {"url": primary},
        "candidates": [{"name": "v2", "url": candidate}],
        "embed": {"backend": "none"},
        "routes": [ECHO_ROUTE],
        **more,
    }


def request(method: str, body: bytes = b"", *lines: str, target: str = ECHO_PATH, chunked: bool = False) -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: test", *lines]
    if chunked:
        head.append("Transfer-Encoding: chunked")
        middle = len(body) // 2
        pieces = [piece for piece in (body[:middle], body[middle:]) if piece]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif method == "POST":
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def read_reply(reader: asyncio.StreamReader, method: str = "POST") -> Reply:
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head[:-4].split(b"\r\n")
    if status_line.startswith(b"HTTP/1.1 1"):
        return await read_reply(reader, method)
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    lower = {name.lower(): value.lower() for name, value in fields}
    ends_with_connection = False
    status = int(status_line.split(b" ")[1])
    if method == "HEAD" or status in (204, 304):
        body = b""
    elif lower.get(b"transfer-encoding") == b"chunked":
        body = b"".join([piece async for piece in chunks(reader)])
    elif b"content-length" in lower:
        body = await reader.readexactly(int(lower[b"content-length"]))
    else:
        body, ends_with_connection = await reader.read(), True
    kept = tuple((name, value) for name, value in fields if name.lower().decode() not in HOP_FIELDS)
    return Reply(status_line, kept, body, ends_with_connection or lower.get(b"connection") == b"close")


async def chunks(reader: asyncio.StreamReader):
    """Chunks of a chunked body as they come."""
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readline()


class Caller:
    """A client that keeps its connection and opens a new one where the last was closed."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self.opened += 1
            if self._address.startswith("unix:"):
                self._streams = await asyncio.open_unix_connection(self._address[5:])
            else:
                host, _, port = self._address.removeprefix("http://").rpartition(":")
                self._streams = await asyncio.open_connection(host, int(port))
        return self._streams

    async def ask(self, data: bytes) -> Reply:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await self.open()
            writer.write(data)
            reply = await read_reply(reader, "HEAD" if data.startswith(b"HEAD ") else "POST")
            if reply.closes:
                await self.close()
        return reply

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def ask(address: str, data: bytes) -> Reply:
    """One request on a connection of its own."""
    async with Caller(address) as caller:
        return await caller.ask(data)
