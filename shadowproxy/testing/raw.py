"""Reads HTTP/1 requests off a socket for the fakes that must control every byte of their replies: ``faults`` and ``echo``.

Deliberately small: it serves tests on loopback, accepts what the package's own clients and common libraries send, and keeps header
names as they came, so that a test sees exactly what crossed the wire.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

STREAM_LIMIT_BYTES = 1024 * 1024  # longest request head that is read
MAX_BODY_BYTES = 64 * 1024 * 1024  # four times what the production path takes, so that the fake is never the narrow place


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it was received."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """First value of the header called ``name`` (lower case); empty where it is missing."""
        wanted = name.encode("latin-1")
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), "")

    @property
    def keeps_alive(self) -> bool:
        """True where the client expects to use the connection again (RFC 9112, section 9.3)."""
        return self.version == "HTTP/1.1" and "close" not in self.header("connection").lower()


async def read_head(reader: asyncio.StreamReader) -> RawRequest | None:
    """The next request without its body; None where the client closed instead. Raises :class:`ValueError` for what is no request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise ValueError("the connection was closed within a request head") from exc
        return None
    except asyncio.LimitOverrunError as exc:
        raise ValueError(f"request head above {STREAM_LIMIT_BYTES} bytes") from exc
    request_line, *lines = head[:-4].split(b"\r\n")
    method, target, version = request_line.decode("latin-1").split(" ")
    headers = tuple((name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines))
    return RawRequest(method, target, version, headers)


async def read_body(reader: asyncio.StreamReader, head: RawRequest) -> bytes:
    """The body that belongs to ``head``. Raises :class:`ValueError` where it is cut, malformed or above the bound."""
    try:
        if head.header("transfer-encoding").lower() == "chunked":
            return await _read_chunks(reader)
        length = int(head.header("content-length") or 0)
        if length > MAX_BODY_BYTES:
            raise ValueError(f"request body above {MAX_BODY_BYTES} bytes")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as exc:
        raise ValueError("the connection was closed within a request body") from exc


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).partition(b";")[0], 16):
        if len(body) + size > MAX_BODY_BYTES:
            raise ValueError(f"request body above {MAX_BODY_BYTES} bytes")
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readline()).strip():
        pass  # trailers
    return bytes(body)


def chunk(data: bytes) -> bytes:
    """``data`` as one chunk of chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
