"""A raw socket client: sends bytes, returns every byte that came back and how the connection ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    data: bytes
    was_reset: bool

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    def fields(self, name: bytes) -> list[bytes]:
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip() for key, _, value in lines if key.lower() == name]

    def dechunked(self) -> bytes:
        body, rest = b"", self.body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if int(size, 16) == 0:
                assert rest == b"\r\n"
                return body
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


class RawClient:
    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_to_end(self) -> Received:
        """Read until the server closes or resets."""
        data = bytearray()
        async with asyncio.timeout(DEADLINE_S):
            try:
                while piece := await self.reader.read(65536):
                    data += piece
            except ConnectionResetError:
                return Received(bytes(data), was_reset=True)
        return Received(bytes(data), was_reset=False)

    async def read_until(self, end: bytes) -> Received:
        async with asyncio.timeout(DEADLINE_S):
            return Received(await self.reader.readuntil(end), was_reset=False)

    def is_silent(self) -> bool:
        """True where nothing more has come and the connection is open."""
        return not self.reader.at_eof() and self.reader.exception() is None


def request(method: str = "GET", *fields: str, body: bytes = b"", target: str = "/v1/x?y=1", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: upstream", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(port: int, data: bytes) -> Received:
    """Send and read until the server ends the connection."""
    async with RawClient(port) as client:
        client.send(data)
        return await client.read_to_end()


async def until(condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.005)
