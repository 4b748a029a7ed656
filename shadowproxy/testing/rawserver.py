"""What ``faults`` and ``echo`` share: a raw socket server that counts, limits every connection's life, and closes them all at its end."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Self

from shadowproxy.tasks import Tasks
from shadowproxy.testing.raw import STREAM_LIMIT_BYTES

CLOSE_TIMEOUT_S = 5.0  # for the peer to take what is still unsent after a reply


class RawServer(ABC):
    """A server on a free port of loopback. Subclasses say in :meth:`talk` what happens on a connection.

    ``connections`` and ``requests`` count since the start; ``open_connections`` is how many are open now.
    """

    def __init__(self, *, lifetime_s: float = 60.0) -> None:
        self._lifetime_s = lifetime_s
        self._tasks = Tasks()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.url = ""
        self.port = 0
        self.connections = 0
        self.requests = 0

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url or 'stopped'} connections={self.connections} requests={self.requests}>"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=STREAM_LIMIT_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._tasks.close()
        await self._server.wait_closed()

    @abstractmethod
    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it shall be closed."""

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        self._tasks.start(f"{type(self).__name__} connection", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._lifetime_s):
                await self.talk(reader, writer)
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, ConnectionError, ValueError):
            pass  # its life is over, the client left, or what it sent is no request: in each case the connection just ends
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Read and drop whatever comes until the client closes."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass
